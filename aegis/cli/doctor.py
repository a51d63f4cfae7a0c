"""``aegis doctor``: does every server really run through the proxy, and if not, why and what to do."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aegis.cli.wrap import chosen, client_option, opened
from aegis.clients.checkup import checkup, installation
from aegis.clients.claude_code.checkup import look_at_hook
from aegis.clients.finding import Finding, Patient
from aegis.clients.servers import option
from aegis.clients.wrapping import own_program
from aegis_core.text import visible
from aegis_mcp.naming import server_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aegis.clients.servers import Server
    from aegis.clients.settingsfile import SettingsFile

__all__ = ["doctor"]

_COLOURS = {"ok": "green", "note": "cyan", "problem": "yellow", "failed": "red"}


@click.command()
@client_option
@click.option("--policy", envvar="AEGIS_POLICY", type=click.Path(path_type=Path), metavar="FILE",
              help="For a COMMAND: the policy ($AEGIS_POLICY).")  # fmt: skip
@click.option("--db", envvar="AEGIS_DB", metavar="FILE", help="For a COMMAND: the trail. Default: beside the policy.")
@click.option("--server", "only", multiple=True, metavar="NAME", help="Only this server; for a COMMAND: its name.")
@click.option("--timeout", default=60.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
              metavar="SECONDS", help="How long a server may take to list its tools.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("what", nargs=-1, type=click.UNPROCESSED, metavar="[PATH | -- COMMAND...]")
def doctor(
    client: str | None,
    policy: Path | None,
    db: str | None,
    *,
    only: tuple[str, ...],
    timeout: float,
    as_json: bool,
    what: tuple[str, ...],
) -> int:
    r"""See whether servers run through the proxy as they should.

    \b
        aegis doctor --client claude-desktop
        aegis doctor .vscode/mcp.json --server filesystem
        aegis doctor --policy policy.yaml -- npx -y @modelcontextprotocol/server-filesystem /data

    Every wrapped server in the settings, or the COMMAND, is started by itself and through the proxy, and asked for its
    tools; nothing is called. Looked at are the programs, the policy and the trail, the lock, the cage rule, and how the
    policy fits the tools: rules that match none, and tools that no rule speaks of. Of Claude Code the hook, too.

    Exit codes: 0 all is well; 1 something should be mended; 2 the settings or the options cannot be used; 3 a server or
    the trail does not work.
    """
    patients: list[tuple[str, Patient | Finding]]
    if client is not None or (len(what) == 1 and what[0].endswith(".json")):
        patients = list(_of_settings(opened(Path(what[0]) if what else None, client), only))
    else:
        described = _of_command(what, policy, db, only)
        patients = [(described.server, described)]
    found = [("aegis", ours)] if (ours := installation()) else []
    for name, patient in patients:
        found.append((name, [patient] if isinstance(patient, Finding) else list(checkup(patient, timeout=timeout))))
    if client == "claude-code" and (hook := look_at_hook()):
        found.append(("the hook", hook))
    states = {finding.state for _, findings in found for finding in findings}
    code = 3 if "failed" in states else 1 if "problem" in states else 0
    if as_json:
        told = [{"server": name, "findings": [asdict(finding) for finding in findings]} for name, findings in found]
        click.echo(json.dumps({"ok": code == 0, "servers": told}, indent=2))
    else:
        for name, findings in found:
            _show(name, findings)
    return code


def _of_command(command: tuple[str, ...], policy: Path | None, db: str | None, only: tuple[str, ...]) -> Patient:
    """A server by its command, as `aegis proxy` would be started for it."""
    if not command:
        raise click.UsageError(
            "say what to look at: a PATH, --client with the name of one, or -- and a server's COMMAND"
        )
    if policy is None:
        raise click.UsageError(
            "for a COMMAND give the --policy it is governed by; settings are a file that ends in .json"
        )
    if len(only) > 1:
        raise click.UsageError("a COMMAND is one server: give one --server")
    trail = db or str(policy.absolute().with_name("aegis_audit.db"))
    name = only[0] if only else server_name(command)
    options = ("--policy", str(policy), "--db", trail, "--server", name)
    return Patient(name, (*own_program(), "proxy"), policy, trail, command, options)


def _of_settings(file: SettingsFile, only: tuple[str, ...]) -> Iterator[tuple[str, Patient | Finding]]:
    """Every wrapped server of some settings, and a word about each that is not."""
    for server in chosen(file, only):
        place = f" (of {server.place[1]})" if server.place[0] == "projects" else ""
        yield server.name + place, _of_entry(server, file)


def _of_entry(server: Server, file: SettingsFile) -> Patient | Finding:
    words, behind = server.command, server.behind
    if words is None or behind is None:
        why = server.problem or "it does not run through the proxy"
        return Finding("wrapped", "problem", f"not governed: {why}", "" if server.problem else "see aegis wrap")
    options = server.options
    policy, db = option(options, "--policy"), option(options, "--db")
    if policy is None:
        return Finding("wrapped", "problem", "its proxy is given no --policy", "run aegis wrap again")
    start = words[: words.index("proxy") + 1]
    name = option(options, "--server") or server_name(behind)
    settings = (file.path, file.backup)
    return Patient(name, start, Path(policy), db or "aegis_audit.db", behind, options, server.environment, settings)


def _show(name: str, findings: Iterable[Finding]) -> None:
    click.echo(click.style(visible(name), bold=True))
    for finding in findings:
        state = click.style(f"{finding.state:<8}", fg=_COLOURS[finding.state])
        first, *more = finding.said.splitlines() or [""]
        click.echo(f"  {state} {finding.check:<13} {visible(first)}")
        for line in more:
            click.echo(f"{'':25}{visible(line)}")
        if finding.mend:
            click.echo(f"{'':25}to mend it: {visible(finding.mend)}")
