"""``aegis tools``: what a server's tools were when they were accepted, what they are now, and accepting that."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aegis.errors import AegisError
from aegis_core.text import visible
from aegis_mcp.listing import list_tools
from aegis_mcp.naming import server_name
from aegis_mcp.pinning.changes import Change, Kind, changes
from aegis_mcp.pinning.definition import Definition, definitions_of
from aegis_mcp.pinning.lockfile import LockFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["tools"]

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_KINDS = {Kind.NEW: "green", Kind.CHANGED: "yellow", Kind.GONE: "red", Kind.TWICE: "red"}
Listed = dict[str, tuple[Definition, ...]]


@click.group()
def tools() -> None:
    """See how a server's tools differ from what was accepted, and accept them.

    The proxy holds a server's tools against aegis.lock and keeps what is new or changed from the client until somebody
    has accepted it here.
    """


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        [
            click.option("--policy", envvar="AEGIS_POLICY", type=click.Path(path_type=Path),
                         help="The policy that the lock lies beside ($AEGIS_POLICY)."),
            click.option("--lock", metavar="FILE", type=click.Path(path_type=Path),
                         help="The lock  [default: aegis.lock beside the policy, or here]"),
            click.option("--server", metavar="NAME",
                         help="The server's name in the policy. Default: from the command; without one, every server."),
            click.option("--timeout", default=60.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
                         metavar="SECONDS", help="How long the server may take to list its tools."),
            click.argument("command", nargs=-1, type=click.UNPROCESSED),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


@tools.command(context_settings={"allow_interspersed_args": False})
@_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def diff(
    command: tuple[str, ...],
    policy: Path | None,
    lock: Path | None,
    server: str | None,
    timeout: float,
    *,
    as_json: bool,
) -> int:
    r"""Show how a server's tools differ from the lock.

    With a COMMAND the server is started and asked; without one, the last list that a proxy saw counts:

    \b
        aegis tools diff --policy policy.yaml
        aegis tools diff --policy policy.yaml -- npx -y @modelcontextprotocol/server-filesystem /data

    Characters that do not show themselves are written as escapes: nothing in a description stays hidden.

    Exit codes: 0 nothing differs; 1 something does, or the server could not be asked; 2 the lock or the options cannot
    be used, or there is nothing to compare.
    """
    file = _lock_file(policy, lock)
    found = _differences(file, server, command, timeout)
    if as_json:
        click.echo(
            json.dumps(
                {"lock": str(file.path), "servers": {name: [*map(_as_json, them)] for name, them in found.items()}},
                indent=2,
            )
        )
    else:
        for name, them in found.items():
            _show(name, them)
    return 1 if any(found.values()) else 0


@tools.command(context_settings={"allow_interspersed_args": False})
@_options
@click.option("--tool", "only", multiple=True, metavar="NAME", help="Accept only this tool; repeat for more.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept(
    command: tuple[str, ...],
    policy: Path | None,
    lock: Path | None,
    server: str | None,
    timeout: float,
    only: tuple[str, ...],
    *,
    yes: bool,
) -> int:
    r"""Show how a server's tools differ from the lock, and write them into it as they are now.

    \b
        aegis tools accept --policy policy.yaml
        aegis tools accept --policy policy.yaml --tool read_file -- npx -y @modelcontextprotocol/server-filesystem /data

    What is written is what was shown. A proxy that runs takes note at once; its client sees the tools when it lists
    them again. Tools that are gone leave the lock; one that is listed twice with different definitions cannot be
    accepted.

    Exit codes: 0 accepted, or nothing to accept; 1 declined, or a tool cannot be accepted, or the server could not be
    asked; 2 the lock or the options cannot be used.
    """
    file = _lock_file(policy, lock)
    found = {name: _chosen(them, only) for name, them in _differences(file, server, command, timeout).items()}
    if only and (missing := set(only) - {change.tool for them in found.values() for change in them}):
        raise AegisError(
            f"nothing to accept of {', '.join(sorted(map(visible, missing)))}: not listed, or as in the lock"
        )
    for name, them in found.items():
        _show(name, them)
    twice = [change.tool for them in found.values() for change in them if change.kind is Kind.TWICE]
    if twice:
        raise AegisError(
            f"{', '.join(map(visible, twice))}: which of the definitions counts cannot be known; nothing was accepted"
        )
    count = sum(map(len, found.values()))
    if count == 0:
        click.echo("Nothing to accept.")
        return 0
    if not yes:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise click.UsageError("there is no terminal to ask on; look at 'aegis tools diff' and give --yes.")
        if not click.confirm(f"Accept {count} {'change' if count == 1 else 'changes'}?"):
            return 1
    for name, them in found.items():
        _write(file, name, them)
    click.echo(f"Accepted {count} {'change' if count == 1 else 'changes'} in {visible(str(file.path))}.")
    return 0


def _lock_file(policy: Path | None, lock: Path | None) -> LockFile:
    return LockFile(lock or (policy.with_name("aegis.lock") if policy else Path("aegis.lock")))


def _differences(file: LockFile, server: str | None, command: Sequence[str], timeout: float) -> dict[str, list[Change]]:
    """How servers' tools differ from the lock.

    Raises:
        click.ClickException: The lock cannot be used.
        AegisError: The server could not be asked.
    """
    try:
        accepted = file.read().servers
        seen = file.seen().read().servers
    except AegisError as error:
        raise click.ClickException(visible(str(error))) from error
    listed: Mapping[str, Listed]
    if command:
        name = server or server_name(command)
        listed = {name: definitions_of(list_tools(command, timeout=timeout).tools)}
    else:
        # Of a server whose tools are as they were accepted, nothing is kept among what was seen.
        listed = {name: {tool: (one,) for tool, one in them.items()} for name, them in {**accepted, **seen}.items()}
        if server is not None:
            if server not in listed:
                raise click.UsageError(f"no proxy has seen a server {server!r} yet; give its command after --.")
            listed = {server: listed[server]}
        if not listed:
            raise click.UsageError(
                f"no tools have been accepted in {visible(str(file.path))}, and no proxy has seen any: give a server's "
                "command after --, or say with --policy or --lock which lock is meant."
            )
    return {name: changes(accepted.get(name, {}), them) for name, them in listed.items()}


def _chosen(found: list[Change], only: tuple[str, ...]) -> list[Change]:
    return [change for change in found if not only or change.tool in only]


def _write(file: LockFile, server: str, accepted: list[Change]) -> None:
    """Put what was shown into the lock, and forget it among what waits.

    Raises:
        AegisError: The lock has changed since it was shown.
    """

    def put(before: Mapping[str, Definition] | None) -> dict[str, Definition]:
        tools = dict(before or {})
        for change in accepted:
            if tools.get(change.tool) != change.before:
                raise AegisError(f"the lock has changed meanwhile ({visible(change.tool)}); look at it again")
            tools.pop(change.tool, None)
            if change.after:
                tools[change.tool] = change.after[0]
        return tools

    tools = file.edit(server, put).of(server) or {}
    seen = file.seen()
    waiting = seen.read().of(server)
    if waiting is not None and not changes(tools, {name: (one,) for name, one in waiting.items()}):
        seen.edit(server, lambda _: None)


def _show(server: str, found: list[Change]) -> None:
    if not found:
        click.echo(f"{visible(server)}: as in the lock")
        return
    click.echo(
        click.style(f"{visible(server)}: {len(found)} {'difference' if len(found) == 1 else 'differences'}", bold=True)
    )
    for change in found:
        click.echo("  " + click.style(change.headline, fg=_KINDS[change.kind]))
        for line in change.diff():
            click.echo("    " + click.style(line, fg=_COLOURS.get(line[:1])))


def _as_json(change: Change) -> dict[str, Any]:
    return {
        "tool": change.tool,
        "kind": change.kind.value,
        "parts": list(change.parts),
        "before": None if change.before is None else change.before.content,
        "after": [tool.content for tool in change.after],
        "digest_before": None if change.before is None else change.before.digest,
        "digests_after": [tool.digest for tool in change.after],
    }
