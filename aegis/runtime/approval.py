"""Ways to ask a person."""

from aegis_core.approval.asking import ApprovalHandler
from aegis_core.approval.queue import QueueApprovalHandler
from aegis_core.approval.simple import CallbackApprovalHandler, DenyAllApprovalHandler
from aegis_core.approval.terminal import TerminalApprovalHandler
from aegis_core.approval.webhook import WebhookApprovalHandler
from aegis_core.request import ApprovalAnswer, ApprovalRequest

__all__ = [
    "ApprovalAnswer",
    "ApprovalHandler",
    "ApprovalRequest",
    "CallbackApprovalHandler",
    "DenyAllApprovalHandler",
    "QueueApprovalHandler",
    "TerminalApprovalHandler",
    "WebhookApprovalHandler",
]
