"""``aegis wrap`` and ``aegis unwrap``: put the proxy into a client's settings, and take it out again."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aegis.clients.cage import breaches, explained
from aegis.clients.jsontext import parse
from aegis.clients.locations import CLIENTS, user_settings
from aegis.clients.servers import Server, servers
from aegis.clients.settingsfile import SettingsFile
from aegis.clients.wrapping import Fate, own_program, unwrap_all, wrap_all
from aegis.core.policy import Policy
from aegis.errors import AegisError
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["chosen", "client_option", "opened", "unwrap", "wrap", "writing"]


client_option = click.option(
    "--client", type=click.Choice(CLIENTS), help="The settings of this client's user, wherever they are."
)


def _settings_argument(command: Callable[..., object]) -> Callable[..., object]:
    """Give a command the file it is about: by path, or by the client whose file it is."""
    return click.argument("path", required=False, type=click.Path(path_type=Path))(client_option(command))


_server = click.option("--server", "only", multiple=True, metavar="NAME", help="Only this server; repeat for more.")
_dry_run = click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
_json = click.option("--json", "as_json", is_flag=True, help="Print what became of each server as one JSON object.")


@click.command()
@_settings_argument
@click.option(
    "--policy",
    envvar="AEGIS_POLICY",
    required=True,
    type=click.Path(path_type=Path),
    help="The policy ($AEGIS_POLICY).",
)
@click.option("--db", envvar="AEGIS_DB", metavar="FILE", help="The trail ($AEGIS_DB). Default: beside the policy.")
@_server
@click.option("--allow-writable-policy", is_flag=True, help="Also servers that may write to our own files.")
@_dry_run
@_json
def wrap(
    path: Path | None,
    client: str | None,
    policy: Path,
    db: str | None,
    *,
    only: tuple[str, ...],
    allow_writable_policy: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    r"""Put the proxy in front of the MCP servers in a client's settings.

    \b
        aegis wrap --client claude-desktop --policy ~/aegis/policy.yaml
        aegis wrap .vscode/mcp.json --policy ~/aegis/policy.yaml --server filesystem

    PATH is a JSON file with servers under mcpServers or servers. Each server that is started by a command runs through
    `aegis proxy` from then on. Nothing else in the file changes, not even a comment or a blank, and `aegis unwrap`
    restores it byte for byte; what it held is kept beside it, in a file that ends in .before-aegis. Doing it twice
    changes nothing; with another policy or trail, it puts in that one and leaves the proxy's other options. A server
    that is reached over HTTP is left alone, and so is one that may write to the files that govern it. Restart the
    client afterwards.

    Exit codes: 0 every server asked for runs through the proxy; 1 some do not, and it says why; 2 the settings, the
    policy or the options cannot be used.
    """
    file = opened(path, client)
    sources = Policy.from_yaml(policy).sources
    rules = _absolute(policy)
    trail = db if db is not None and "://" in db else _absolute(Path(db)) if db is not None else _beside(rules)
    options: list[tuple[str, ...]] = [("--policy", rules), ("--db", trail)]
    if allow_writable_policy:
        options.append(("--allow-writable-policy",))

    def refusal(server: Server) -> str | None:
        if allow_writable_policy:
            return None
        command = server.behind or server.command or ()
        settings = [file.path, file.backup]
        within = breaches(command, sources, trail, environment=server.environment, settings=settings)
        return explained(*within[0]) if within else None

    new, fates = wrap_all(file.text, chosen(file, only), program=own_program(), options=options, refusal=refusal)
    if new != file.text and not dry_run:
        with writing():
            if not (file.backup.exists() and any(server.behind for server in servers(parse(file.text)))):
                file.keep()
            file.replace(file.encoded(new))
    _report(file, fates, new, dry_run=dry_run, as_json=as_json)
    return 1 if any(fate.done == "left" for fate in fates) else 0


@click.command()
@_settings_argument
@_server
@_dry_run
@_json
def unwrap(path: Path | None, client: str | None, *, only: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    r"""Take the proxy out of a client's settings.

    \b
        aegis unwrap --client claude-desktop
        aegis unwrap .vscode/mcp.json --server filesystem

    What `aegis wrap` put in is taken out; everything else stays, also what was changed since. If that restores the file
    as it was before, its backup is removed. Restart the client afterwards: its servers are no longer governed.

    Exit codes: 0 none of the servers asked for runs through the proxy any more; 2 the settings or the options cannot be
    used.
    """
    file = opened(path, client)
    new, fates = unwrap_all(file.text, chosen(file, only))
    if new != file.text and not dry_run:
        data = file.encoded(new)
        with writing():
            file.replace(data)
        backup = SettingsFile.read(file.backup, missing="")
        if backup.data == data:
            backup.remove()
    _report(file, fates, new, dry_run=dry_run, as_json=as_json)
    return 0


def opened(path: Path | None, client: str | None) -> SettingsFile:
    """The settings a command is about.

    Raises:
        click.UsageError: They are not said, cannot be read or are broken.
    """
    if (path is None) == (client is None):
        raise click.UsageError("say whose settings: a PATH, or --client with the name of one")
    place = user_settings(client) if client is not None else path
    assert place is not None
    try:
        file = SettingsFile.read(place)
    except AegisError as problem:
        raise click.UsageError(visible(str(problem))) from None
    try:
        parse(file.text)
    except AegisError as problem:
        raise click.UsageError(visible(f"{file.path}:{problem}")) from None
    return file


@contextlib.contextmanager
def writing() -> Generator[None]:
    """Settings that cannot be written end the command as those that cannot be read do."""
    try:
        yield
    except AegisError as problem:
        raise click.ClickException(visible(str(problem))) from None


def chosen(file: SettingsFile, only: tuple[str, ...]) -> list[Server]:
    """The servers asked for."""
    found = servers(parse(file.text))
    if not found:
        raise click.UsageError(visible(f"{file.path}: there are no MCP servers in it, under mcpServers or servers"))
    names = {server.name for server in found}
    if missing := [name for name in only if name not in names]:
        there = ", ".join(sorted(names))
        raise click.UsageError(visible(f"{file.path}: there is no server {missing[0]!r}; there are: {there}"))
    return [server for server in found if not only or server.name in only]


def _absolute(path: Path) -> str:
    """A path that means the same wherever the client starts us; links in it stay."""
    absolute = os.path.abspath(path.expanduser())  # noqa: PTH100 - Path.absolute keeps `..`
    if "${" in absolute:
        raise click.UsageError(
            visible(f"{absolute}: clients put something else in place of ${{...}}; choose another path")
        )
    return absolute


def _beside(policy: str) -> str:
    return str(Path(policy).with_name("aegis_audit.db"))


_SAID = {
    "wrapped": ("runs through the proxy", "would run through the proxy"),
    "unchanged": ("runs through the proxy already", "runs through the proxy already"),
    "unwrapped": ("starts by itself again", "would start by itself again"),
    "left": ("not governed", "not governed"),
}


def _report(file: SettingsFile, fates: list[Fate], new: str, *, dry_run: bool, as_json: bool) -> None:
    changed = new != file.text
    if as_json:
        told = [{"server": f.server.name, "place": list(f.server.place), "done": f.done, "why": f.why} for f in fates]
        kept = str(file.backup) if file.backup.exists() else None
        report = {"file": str(file.path), "changed": changed and not dry_run, "backup": kept, "servers": told}
        click.echo(json.dumps(report, indent=2))
        return
    if dry_run and changed:
        for line in file.difference(new):
            click.echo(click.style(line, fg={"+": "green", "-": "red"}.get(line[:1])))
    for fate in fates:
        where = f" (of {fate.server.place[1]})" if fate.server.place[0] == "projects" else ""
        said = click.style(_SAID[fate.done][dry_run], fg="yellow" if fate.done == "left" else "green")
        click.echo(f"{visible(fate.server.name + where)}: {said}" + (f": {fate.why}" if fate.why else ""))
    if not fates:
        click.echo(visible(f"{file.path}: none of its servers runs through the proxy"))
    elif changed and not dry_run:
        kept = f", and what it held is kept in {file.backup.name}" if file.backup.exists() else ""
        click.echo(visible(f"{file.path} was changed{kept}. Restart the client."))
