"""``aegis lint``: what is wrong with a policy, or looks as if it were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aegis.errors import AegisError
from aegis.workbench.findings import CODES, Level
from aegis.workbench.lint import lint as find
from aegis.workbench.tools import ToolsError, read_tools, server_of
from aegis_core.text import visible

if TYPE_CHECKING:
    from aegis.workbench.findings import Finding
    from aegis.workbench.tools import Server

__all__ = ["lint"]

_COLOURS = {Level.ERROR: "red", Level.WARNING: "yellow", Level.INFO: "cyan"}


class _Lint(click.Command):
    """Keeps what follows ``--`` apart: the command of a server."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Cut the server's command off."""
        if "--" in args:
            cut = args.index("--")
            args, ctx.meta["command"] = args[:cut], tuple(args[cut + 1 :])
        return super().parse_args(ctx, args)


@click.command(cls=_Lint)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--tools", multiple=True, metavar="[NAME=]FILE", help="A server's tools, as tools/list gives them; repeat for more."
)
@click.option("--server", metavar="NAME", help="What the policies call the server whose COMMAND follows --.")
@click.option("--layers", is_flag=True, help="The files are layers of one hierarchy, the organisation's first.")
@click.option("--format", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--explain", metavar="CODE", help="Say what a code means, and do nothing else.")
@click.pass_context
def lint(
    ctx: click.Context,
    files: tuple[Path, ...],
    *,
    tools: tuple[str, ...],
    server: str | None,
    layers: bool,
    form: str,
    as_json: bool,
    explain: str | None,
) -> int:
    r"""Look for mistakes in policy FILES: rules that never decide, conditions that cannot hold, patterns that open too
    much, names that lie. With the tools of the servers they are for, also for tools and arguments that do not exist.

    \b
        aegis lint policy.yaml
        aegis lint policy.yaml --tools filesystem=tools.json
        aegis lint policy.yaml -- npx -y @modelcontextprotocol/server-filesystem /data
        aegis lint --layers org.yaml team.yaml agent.yaml

    After -- comes the command of an MCP server, which is started, asked for its tools and ended. A finding is ignored
    by a comment on its line, or above it: # aegis: ignore AEG009 - the reason.

    Exit codes: 0 nothing found (but infos); 1 errors or warnings found; 2 unreadable files or wrong options; 3 the
    server failed.
    """  # noqa: D205 - the text is the help
    if explain is not None:
        return _explain(explain)
    if not files:
        raise click.UsageError("name at least one policy file")
    for file in files:
        if not file.is_file():
            raise click.UsageError(f"{visible(str(file))}: there is no such file")
    policies = [file for file in files if not file.name.endswith(".aegis-test.yaml")]
    if not policies:
        raise click.UsageError("these are test files, which `aegis test` runs; name a policy file")
    command: tuple[str, ...] | None = ctx.meta.get("command")
    try:
        servers = [read_tools(given) for given in tools]
    except ToolsError as error:
        raise click.UsageError(visible(str(error))) from None
    if command is not None:
        if not command:
            raise click.UsageError("after -- comes the command that starts a server")
        try:
            servers.append(_ask(command, server))
        except AegisError as error:
            click.echo(f"aegis: {visible(str(error))}", err=True)
            return 3
    elif server is not None:
        raise click.UsageError("--server is for a server whose command follows --; for a file, write --tools NAME=FILE")
    found = find(policies, servers=servers, layered=layers)
    _print(found, "json" if as_json else form, len(policies))
    return 1 if any(finding.level is not Level.INFO for finding in found) else 0


def _ask(command: tuple[str, ...], name: str | None) -> Server:
    from aegis_mcp.listing import list_tools  # noqa: PLC0415 - starts servers; reading files needs none of it

    listed = list_tools(command)
    return server_of(listed.tools, source=command[0], name=name or "", guess=listed.name or Path(command[0]).name)


def _explain(code: str) -> int:
    known = CODES.get(code.upper())
    if known is None:
        raise click.BadParameter(f"{code!r} is none of {', '.join(CODES)}", param_hint="--explain")
    click.echo(f"{code.upper()} ({known.level.value}): {known.title}\n\n{known.why}\n{known.fix}")
    return 0


def _print(found: list[Finding], form: str, files: int) -> None:
    if form == "json":
        click.echo(json.dumps([_as_json(finding) for finding in found], indent=2))
        return
    if form == "github":
        for finding in found:
            click.echo(_as_github(finding))
        return
    explained: set[str] = set()
    for finding in found:
        where = click.style(f"{visible(finding.file)}:{finding.line}:{finding.column}", bold=True)
        level = click.style(f"{finding.level.value} {finding.code}", fg=_COLOURS[finding.level])
        click.echo(f"{where}: {level}: {visible(finding.message)}")
        if finding.code not in explained and finding.code != "AEG001":
            click.echo(f"    why: {finding.why}")
        explained.add(finding.code)
        if finding.code != "AEG001":
            click.echo(f"    fix: {visible(finding.remedy)}")
    counts = [(level, sum(finding.level is level for finding in found)) for level in Level]
    said = ", ".join(f"{count} {level.value}{'s' if count != 1 else ''}" for level, count in counts if count)
    click.echo(f"{files} file{'s' if files != 1 else ''}: {said or 'nothing found'}")


def _as_json(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "level": finding.level.value,
        "file": finding.file,
        "line": finding.line,
        "column": finding.column,
        "rule": finding.rule,
        "key": finding.key,
        "message": finding.message,
        "why": finding.why,
        "fix": finding.remedy,
    }


def _as_github(finding: Finding) -> str:
    """A workflow command: GitHub shows it at its line of the change."""
    kind = {"info": "notice"}.get(finding.level.value, finding.level.value)
    text = _escaped(f"{finding.message} {finding.why} {finding.remedy}")
    file = _escaped(finding.file).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} file={file},line={finding.line},col={finding.column},title=aegis {finding.code}::{text}"


def _escaped(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
