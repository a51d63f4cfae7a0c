"""The options of ``aegis proxy`` about the server's tools: which lock they are held against, and what is shown."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from aegis.core.policy import Approval
from aegis.errors import AegisError
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_core.runtime import Runtime
    from aegis_mcp.proxy.tools import ToolView

__all__ = ["Pinning", "pin_options"]


class Pinning(NamedTuple):
    """What the options say.

    Attributes:
        lock: The lock file, or None for the one beside the policy.
        off: Whether tools are not pinned at all.
        locked: Whether also tools of a server the lock does not know must be accepted first.
        unaccepted: What happens to a call of a tool that is new or has changed.
        hide: Whether tools that the policy always blocks are not shown.
    """

    lock: Path | None
    off: bool
    locked: bool
    unaccepted: Approval
    hide: bool

    def file(self, policy: Path) -> Path:
        """The lock file."""
        return self.lock or policy.with_name("aegis.lock")

    def files(self, policy: Path) -> tuple[Path, ...]:
        """What must be out of the server's reach."""
        from aegis_mcp.pinning.lockfile import companions  # noqa: PLC0415 - not every proxy has a lock

        return () if self.off else companions(self.file(policy))

    def check(self, policy: Path) -> None:
        """See that the lock can be used, if there is one.

        Raises:
            click.ClickException: It cannot be trusted to say what was accepted.
        """
        file = self.file(policy)
        if self.off or not os.path.lexists(file):
            return
        from aegis_mcp.pinning.lockfile import LockFile  # noqa: PLC0415 - not every proxy has a lock

        try:
            LockFile(file).read()
        except AegisError as error:
            raise click.ClickException(visible(str(error))) from error

    def view(self, runtime: Runtime, server: str, policy: Path) -> ToolView | None:
        """What the client sees of the tools; None where their list passes untouched.

        Raises:
            click.ClickException: The lock file cannot be used.
        """
        from aegis_mcp.pinning.pins import Pins  # noqa: PLC0415 - loaded while the server starts
        from aegis_mcp.proxy.tools import ToolView  # noqa: PLC0415 - likewise

        if self.off:
            return ToolView(runtime, server, hide=True) if self.hide else None
        try:
            pins = Pins(self.file(policy), runtime, server=server, unaccepted=self.unaccepted, locked=self.locked)
        except AegisError as error:
            raise click.ClickException(visible(str(error))) from error
        return ToolView(runtime, server, pins=pins, hide=self.hide)


_OPTIONS = (
    click.option(
        "--lock", metavar="FILE", type=click.Path(path_type=Path),
        help="The tools' lock  [default: aegis.lock beside the policy]",
    ),
    click.option("--no-lock", is_flag=True, help="Do not hold the tools against a lock."),
    click.option(
        "--locked", is_flag=True, help="Write nothing into the lock by itself: a server it does not know runs nothing."
    ),
    click.option(
        "--unaccepted", default="block", show_default=True, type=click.Choice(["block", "ask"]),
        help="What happens to a tool that is new or changed since the lock was written.",
    ),
    click.option("--hide-blocked", is_flag=True, help="Do not show the client tools that the policy always blocks."),
)  # fmt: skip


def pin_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options; it gets them as ``pinning``."""

    @functools.wraps(command)
    def with_pinning(
        *args: Any, lock: Path | None, no_lock: bool, locked: bool, unaccepted: str, hide_blocked: bool, **rest: Any
    ) -> Any:
        if no_lock and (lock or locked):
            raise click.UsageError("--no-lock goes with neither --lock nor --locked.")
        approval = Approval.BLOCK if unaccepted == "block" else Approval.APPROVE
        return command(
            *args, pinning=Pinning(lock, no_lock, locked=locked, unaccepted=approval, hide=hide_blocked), **rest
        )

    options: Callable[..., Any] = with_pinning
    for option in reversed(_OPTIONS):
        options = option(options)
    return options
