"""Policies and what they answer."""

from aegis_core.decision import Approval, Decision, RiskLevel
from aegis_core.policy.policy import Policy

__all__ = ["Approval", "Decision", "Policy", "RiskLevel"]
