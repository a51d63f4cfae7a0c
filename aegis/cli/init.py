"""``aegis init``: a first policy for a server, drafted from what it says of its tools, and the lock that pins them."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aegis.core.policy import Approval
from aegis.errors import AegisError
from aegis_core.text import visible
from aegis_mcp.draft.proposal import Limits
from aegis_mcp.draft.text import draft
from aegis_mcp.fit import fit
from aegis_mcp.listing import list_tools
from aegis_mcp.naming import server_name
from aegis_mcp.pinning.definition import definitions_of
from aegis_mcp.pinning.lockfile import LockFile
from aegis_mcp.proxy.cage import own_files, reachable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aegis_mcp.draft.proposal import Proposal
    from aegis_mcp.draft.text import Draft
    from aegis_mcp.pinning.definition import Definition

__all__ = ["init"]

_DIALECTS = {
    "postgres": r"postgres|\bpg\b", "mysql": r"mysql|mariadb", "sqlite": r"sqlite", "duckdb": r"duckdb",
    "tsql": r"mssql|sql.?server|tsql",
}  # fmt: skip
_WORDS = {Approval.AUTO: "run unasked", Approval.APPROVE: "ask", Approval.BLOCK: "are blocked"}


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "-o", "--output", default="policy.yaml", show_default=True, type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE", help="Where the policy goes; - is standard output.",
)  # fmt: skip
@click.option(
    "--server", metavar="NAME", help="The server's name in the policy (match.target). Default: from the command."
)
@click.option(
    "--allow-path", "roots", multiple=True, metavar="DIR", type=click.Path(path_type=Path),
    help="A folder whose files may be read unasked; repeat for more. Default: the folders that COMMAND names.",
)  # fmt: skip
@click.option(
    "--lock", metavar="FILE", type=click.Path(path_type=Path),
    help="The lock the tools are pinned in  [default: aegis.lock beside the policy; with -o - none]",
)  # fmt: skip
@click.option("--no-lock", is_flag=True, help="Do not pin the tools.")
@click.option("--force", is_flag=True, help="Overwrite a policy, and what the lock holds of this server.")
@click.option(
    "--timeout", default=60.0, show_default=True, type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
    help="How long the server may take to list its tools.",
)  # fmt: skip
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def init(
    command: tuple[str, ...],
    output: Path,
    server: str | None,
    roots: tuple[Path, ...],
    lock: Path | None,
    timeout: float,
    *,
    no_lock: bool,
    force: bool,
) -> int:
    r"""Draft a policy for an MCP server from what it says of its tools, and pin them.

    \b
        aegis init -- npx -y @modelcontextprotocol/server-filesystem /data
        aegis init -o git.yaml --allow-path /home/alice/project -- uvx mcp-server-git

    The server is started and asked for its tools; nothing is called. What it says of them is a hint from a stranger:
    tools that say they only read, and nothing beyond the server, run unasked, within --allow-path where they take a
    path; everything else asks; what says that it deletes is blocked, and so is what no rule names. The draft has
    comments: read it before you rely on it.

    Exit codes: 0 drafted; 1 the server could not be asked, or nothing fit for a policy came of it; 2 a file is there
    already, or the options cannot be used.
    """
    to_stdout = str(output) == "-"
    if not (to_stdout or force) and (output.exists() or output.is_symlink()):
        raise click.UsageError(
            f"{visible(str(output))} is there already; give --force to overwrite it, or -o for another."
        )
    file = None
    if not no_lock and (lock is not None or not to_stdout):
        file = LockFile(lock or output.with_name("aegis.lock"))
    name = server or server_name(command)
    folders = _folders(roots, command)
    listed = list_tools(command, timeout=timeout)
    drafted = draft(name, listed.tools, Limits(folders, _dialect(name, listed.name)), introduction=listed.name)
    problems = fit(
        drafted.policy, name, [tool for tool in listed.tools if tool["name"] not in drafted.unnamed]
    ).problems
    if problems:
        raise AegisError(f"the draft does not fit the server, which is a mistake of ours: {problems[0]}")
    if file is not None:
        _pin(file, name, definitions_of(listed.tools), force=force)
    if to_stdout:
        click.echo(drafted.text, nl=False)
    else:
        _write(output, drafted.text)
    _report(drafted, name, command, output=None if to_stdout else output, file=file, folders=folders)
    return 0


def _folders(roots: Sequence[Path], command: Sequence[str]) -> tuple[str, ...]:
    """The folders that may be read: those asked for, else those that the server is given; absolute, links followed too.

    Raises:
        click.UsageError: One cannot stand in a policy.
    """
    from aegis_core.policy.arguments.path_text import path_problem  # noqa: PLC0415 - patterns, compiled on use

    given = [Path(root) for root in roots]
    for root in given:
        if problem := path_problem(os.path.abspath(root), "posix"):  # noqa: PTH100 - keeps links
            raise click.UsageError(f"--allow-path {visible(str(root))!r} cannot stand in a policy: {problem}")
    given = given or [Path(word) for word in command[1:] if Path(word).is_absolute() and Path(word).is_dir()]
    paths = [path for root in given for path in (os.path.abspath(root), os.path.realpath(root))]  # noqa: PTH100
    return tuple(path for path in dict.fromkeys(paths) if path != os.sep and path_problem(path, "posix") is None)


def _dialect(server: str, introduction: str | None) -> str | None:
    """The SQL dialect that the server's name names, if the parser is there to judge it."""
    if find_spec("sqlglot") is None:
        return None
    said = f"{server} {introduction or ''}".lower()
    return next((dialect for dialect, pattern in _DIALECTS.items() if re.search(pattern, said)), None)


def _pin(file: LockFile, server: str, listed: Mapping[str, Sequence[Definition]], *, force: bool) -> None:
    """Write the tools into the lock.

    Raises:
        click.ClickException: The lock cannot be used, or holds others for this server.
    """
    tools = {name: definitions[0] for name, definitions in listed.items() if len(definitions) == 1}

    def put(before: Mapping[str, Definition] | None) -> Mapping[str, Definition]:
        if before is not None and before != tools and not force:
            raise AegisError(
                f"{visible(str(file.path))} holds other tools of {visible(server)!r}: look at 'aegis tools diff', or "
                "give --force to put these in their place"
            )
        return tools

    try:
        file.edit(server, put)
    except AegisError as error:
        raise click.ClickException(visible(str(error))) from error


def _write(output: Path, text: str) -> None:
    """A file of its owner's, complete or not at all; never through a link."""
    new = output.with_name(f".{output.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            new.replace(output)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise click.ClickException(f"{visible(str(output))} cannot be written: {error.strerror}") from error


def _report(
    drafted: Draft,
    server: str,
    command: Sequence[str],
    *,
    output: Path | None,
    file: LockFile | None,
    folders: Sequence[str],
) -> None:
    """What was drafted, and what to do next; on standard error where the policy is on standard output."""

    def say(text: str) -> None:
        click.echo(text, err=output is None)

    proposals = drafted.proposals
    said = [f"{count} {word}" for approval, word in _WORDS.items() if (count := _count(proposals, approval))]
    said += [f"{len(drafted.unnamed)} cannot be named and stay blocked"] if drafted.unnamed else []
    where = "" if output is None else f"{visible(str(output))}: "
    total = len(proposals) + len(drafted.unnamed)
    say(f"{where}{total} tools of {visible(server)}: {', '.join(said) or 'none'}")
    if any(one.confined for one in proposals):
        say(f"Paths that may be read unasked: {', '.join(map(visible, folders))}")
    elif any(one.why.endswith("folders are allowed") for one in proposals):
        say("Some tools only read, and take paths: with --allow-path DIR, they need not ask in DIR.")
    if file is not None:
        say(f"{visible(str(file.path))}: the tools are pinned as they are now")
    if output is None:
        return
    ours = [*own_files([output], "aegis_audit.db"), *([file.path] if file else [])]
    for mine, theirs in reachable(command, ours)[:1]:
        say(f"Move {visible(str(mine))}: the server is given {visible(str(theirs))}, and nothing starts like that.")
    path = visible(str(output))
    say(f"Next: read it, ask it (aegis check {path} TOOL {visible(server)}), use it (aegis proxy --policy {path})")


def _count(proposals: Sequence[Proposal], approval: Approval) -> int:
    return sum(one.approval is approval for one in proposals)
