"""Ways to ask a person."""

from typing import TYPE_CHECKING, Any

from aegis_core.approval.asking import ApprovalHandler
from aegis_core.approval.queue import QueueApprovalHandler
from aegis_core.approval.simple import CallbackApprovalHandler, DenyAllApprovalHandler
from aegis_core.approval.terminal import TerminalApprovalHandler
from aegis_core.approval.webhook import WebhookApprovalHandler
from aegis_core.request import ApprovalAnswer, ApprovalRequest

if TYPE_CHECKING:
    from aegis_mcp.elicitation import ElicitationApprovalHandler as ElicitationApprovalHandler

__all__ = [
    "ApprovalAnswer",
    "ApprovalHandler",
    "ApprovalRequest",
    "CallbackApprovalHandler",
    "DenyAllApprovalHandler",
    "ElicitationApprovalHandler",
    "QueueApprovalHandler",
    "TerminalApprovalHandler",
    "WebhookApprovalHandler",
]


def __getattr__(name: str) -> Any:
    if name == "ElicitationApprovalHandler":
        from aegis_mcp.elicitation import ElicitationApprovalHandler  # noqa: PLC0415 - a shim is loaded when it is used

        return ElicitationApprovalHandler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
