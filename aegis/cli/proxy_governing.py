"""What ``aegis proxy`` governs with: the trail, the runtime and the lock. Loaded while the server starts."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from aegis_core.audit.sqlite import AuditLogger
from aegis_core.record import Event
from aegis_core.runtime import Runtime
from aegis_core.watcher import PolicyWatcher
from aegis_mcp.proxy.asking import ClientApprovalHandler
from aegis_mcp.proxy.trail import PromptTrail

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aegis.cli.proxy import Terms
    from aegis_mcp.proxy.tools import ToolView

__all__ = ["governed"]


@contextlib.asynccontextmanager
async def governed(terms: Terms, closing: contextlib.ExitStack) -> AsyncGenerator[tuple[Runtime, ToolView | None]]:
    """A runtime by some terms, whose policy is reloaded when its file changes, and what the client sees of the tools.

    Args:
        terms: What the command line says.
        closing: Closes the trail once nothing can write to it any more.

    Raises:
        click.ClickException: The lock file cannot be used.
        AuditError: The trail cannot be written.
    """
    trail = closing.enter_context(AuditLogger(terms.db, durable=not terms.fast))
    waits = not (terms.fast or "://" in terms.db)  # for the disk, and for nothing else
    runtime = Runtime(
        policy=terms.policy,
        audit_logger=[PromptTrail(trail) if waits else trail, *terms.mirrors],
        approval_handler=ClientApprovalHandler(trail, hold=terms.hold),
        approval_timeout=None,
        agent=terms.agent,
        user=terms.user,
        mode="observe" if terms.observe else "enforce",
    )
    if terms.writable:
        runtime.record(Event("writable_policy_allowed", data={"files": [str(file) for file in terms.writable]}))
    view = terms.pinning.view(runtime, terms.server, terms.file)
    async with PolicyWatcher(runtime, terms.file):
        yield runtime, view
