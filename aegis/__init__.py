"""Aegis: governance for AI agents' tool calls.

A policy decides every call, people approve what it says, everything is on record before it happens.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aegis_core.action import Action as Action
    from aegis_core.decision import Approval as Approval
    from aegis_core.decision import Decision as Decision
    from aegis_core.decision import RiskLevel as RiskLevel
    from aegis_core.governed import governed as governed
    from aegis_core.policy.policy import Policy as Policy
    from aegis_core.result import Result as Result
    from aegis_core.result import ResultStatus as ResultStatus
    from aegis_core.runtime import Runtime as Runtime
    from aegis_core.runtime import set_runtime as set_runtime

__all__ = [
    "Action",
    "Approval",
    "Decision",
    "Policy",
    "Result",
    "ResultStatus",
    "RiskLevel",
    "Runtime",
    "__version__",
    "governed",
    "set_runtime",
]

__version__ = "0.1.0"

# Loaded when first used (PEP 562): `aegis --version` and a hook that runs for every call should not load the engine.
_HOME = {
    "Action": "aegis_core.action",
    "Approval": "aegis_core.decision",
    "Decision": "aegis_core.decision",
    "Policy": "aegis_core.policy.policy",
    "Result": "aegis_core.result",
    "ResultStatus": "aegis_core.result",
    "RiskLevel": "aegis_core.decision",
    "Runtime": "aegis_core.runtime",
    "governed": "aegis_core.governed",
    "set_runtime": "aegis_core.runtime",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'aegis' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
