"""``aegis demo``: the product doing its job, for real, in a few seconds."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aegis import Policy, Runtime
from aegis.adapters.mcp import govern_session
from aegis.demo.agent import FILES, connect, steps, text_of
from aegis.runtime.approval import CallbackApprovalHandler, TerminalApprovalHandler
from aegis.runtime.audit import AuditLogger
from aegis_core.text import visible

if TYPE_CHECKING:
    from aegis.runtime.approval import ApprovalHandler, ApprovalRequest

__all__ = ["demo"]

_COLOURS = {"success": "green", "blocked": "red", "denied": "yellow"}


@click.command()
def demo() -> int:
    """See it work: a real MCP server, a scripted agent, a policy, a trail.

    On a terminal you are asked to approve what the agent wants to write. Needs the extra `mcp`.

    Exit codes: 0 fine; 1 the files are not what the trail says; 2 the extra is missing.
    """
    if find_spec("mcp") is None:
        raise click.ClickException("the demo needs the MCP SDK: pip install 'aegis-agents[mcp]'")
    home = Path(tempfile.mkdtemp(prefix="aegis-demo-")).resolve()
    folder, policy, database = home / "files", home / "policy.yaml", home / "aegis_audit.db"
    _lay_out(folder, policy)

    console = Console(highlight=False)
    handler = _introduce(console, folder, policy)
    trail = AuditLogger(db_path=database)
    try:
        runtime = Runtime(
            policy=Policy.from_yaml(policy), approval_handler=handler, audit_logger=trail, agent="demo-agent"
        )
        asyncio.run(_play(console, runtime, trail, folder))
        log = trail.get_log()
    finally:
        trail.close()
    agree = _show_files(console, folder, log)
    _show_trail(console, log)
    console.print("See it again, or ask the policy yourself:", style="bold")
    console.print(f"  aegis audit --db {database}", soft_wrap=True)
    console.print(f"  aegis check {policy} delete_file filesystem", soft_wrap=True)
    return 0 if agree else 1


def _lay_out(folder: Path, policy: Path) -> None:
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(content, encoding="utf-8")
    example = Path(__file__).parents[1] / "demo" / "policy.yaml"
    policy.write_text(example.read_text(encoding="utf-8").replace("/srv/demo", str(folder)), encoding="utf-8")


def _introduce(console: Console, folder: Path, policy: Path) -> ApprovalHandler:
    """Say what takes part, and choose who approves: a person, if there is one at the terminal; else a script."""
    parts = Table.grid(padding=(0, 2))
    parts.add_row("server", "a real MCP server over stdio: [bold]python -m aegis.demo.server[/]")
    parts.add_row("files", str(folder))
    parts.add_row("client", f"the official SDK (mcp {version('mcp')}), its session governed by one line:")
    parts.add_row("", '[bold]govern_session(session, runtime, server="filesystem")[/]')
    parts.add_row("policy", str(policy))
    if sys.stdin.isatty() and sys.stderr.isatty():
        handler: ApprovalHandler = TerminalApprovalHandler()
        parts.add_row("approver", "you")
    else:
        answers = iter([True])

        def script(_request: ApprovalRequest) -> bool:
            return next(answers, False)

        handler = CallbackApprovalHandler(script, approver="the demo's script")
        parts.add_row("approver", "[bold]a script[/], as there is no terminal: yes to the first question, then no")
    console.print(parts)
    console.print()
    return handler


async def _play(console: Console, runtime: Runtime, trail: AuditLogger, folder: Path) -> None:
    """Let the agent do what it wants to, and say what became of each call."""

    def say(*parts: Any) -> None:
        console.print(Padding(Text.assemble(*parts), (0, 0, 0, 2), expand=False))

    async with connect() as session:
        govern_session(session, runtime, server="filesystem")
        for step in steps(folder):
            console.print(f"The agent: [bold]{step.intention}[/]")
            answer = text_of(await session.call_tool(step.tool, step.arguments))
            entry = trail.get_log(limit=1)[-1]
            status = entry["result_status"]
            say(step.tool, (f"  {_shown(step.arguments, folder)}", "dim"))
            if entry["human_decision"]:
                say((f"asked: {entry['human_decision']} by {visible(entry['approver'] or 'nobody')}", "dim"))
            said = visible(answer.strip().replace("\n", ", ").replace(str(folder), folder.name))
            say(("ran" if status == "success" else status, _COLOURS.get(status, "red")), f": {said}")


def _shown(arguments: dict[str, Any], folder: Path) -> str:
    """Arguments in short, with the folder's name in place of its path."""
    return ", ".join(f"{name}={str(value).replace(str(folder), folder.name)!r}" for name, value in arguments.items())


def _show_files(console: Console, folder: Path, log: list[dict[str, Any]]) -> bool:
    """Hold the files against what the trail says ran; true if they agree."""
    expected = dict(FILES)
    for step, entry in zip(steps(folder), log, strict=True):
        if step.tool == "write_file" and entry["result_status"] == "success":
            expected[Path(step.arguments["path"]).name] = step.arguments["content"]
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    console.print("\nThe files themselves:", style="bold")
    for name in sorted({*expected, *found}):
        if found.get(name) != expected.get(name):
            console.print(f"  {name}: [red]not what the trail says[/]")
        elif found[name] == FILES.get(name):
            console.print(f"  {name}: as it was")
        else:
            console.print(f"  {name}: written, as approved")
    return found == expected


def _show_trail(console: Console, log: list[dict[str, Any]]) -> None:
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in ("time", "tool", "file", "rule", "human", "status"):
        table.add_column(column, no_wrap=True)
    for entry in log:
        status = entry["result_status"]
        table.add_row(
            entry["timestamp"][11:19],
            entry["action_type"],
            visible(Path(entry["action_params"].get("path", "")).name),
            entry["matched_rule"],
            entry["human_decision"] or "",
            Text(status, style=_COLOURS.get(status, "red")),
        )
    console.print("\nThe audit trail:", style="bold")
    console.print(Padding(table, (0, 0, 1, 2), expand=False))
