"""``aegis hook``: put the hook that governs Claude Code's own tools into its settings, and take it out again."""

from __future__ import annotations

import os
from pathlib import Path

import click

from aegis.cli.wrap import writing
from aegis.clients.claude_code.event import Event
from aegis.clients.claude_code.hook import answer
from aegis.clients.claude_code.rules import draft, writable
from aegis.clients.claude_code.settings import command_line, installed, uninstalled
from aegis.clients.jsontext import parse
from aegis.clients.locations import hook_settings
from aegis.clients.settingsfile import SettingsFile
from aegis.core.policy import Policy
from aegis.errors import AegisError
from aegis_core.text import visible

__all__ = ["hook"]

_EMPTY = "{}\n"
_settings = click.option(
    "--settings", type=click.Path(path_type=Path), metavar="FILE",
    help="The settings. Default: the user's, ~/.claude/settings.json; a project's are .claude/settings.json in it.",
)  # fmt: skip
_dry_run = click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")


@click.group()
def hook() -> None:
    """Govern Claude Code's own tools, which no proxy sees."""


@hook.command(
    "claude-code",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    short_help="Answer one event on standard input; the client's settings run this.",
)
@click.pass_context
def _claude_code(ctx: click.Context) -> None:
    answer(ctx.args)


@hook.command()
@_settings
@click.option(
    "--policy", envvar="AEGIS_POLICY", type=click.Path(path_type=Path), metavar="FILE",
    help="The policy ($AEGIS_POLICY). Default: ~/.aegis/claude-code.yaml. If there is none, one is drafted.",
)  # fmt: skip
@click.option("--db", envvar="AEGIS_DB", metavar="FILE", help="The trail ($AEGIS_DB). Default: beside the policy.")
@click.option("--allow", is_flag=True, help='Say "allow" to what may run, so that the client does not ask about it.')
@click.option("--queue", is_flag=True, help="File what needs approval with `aegis approvals` instead of asking there.")
@click.option("--observe", is_flag=True, help="Decide and record, ask nobody, let everything run.")
@click.option("--allow-writable-policy", is_flag=True, help="Also with a policy that does not protect itself.")
@_dry_run
def install(
    settings: Path | None,
    policy: Path | None,
    db: str | None,
    *,
    allow: bool,
    queue: bool,
    observe: bool,
    allow_writable_policy: bool,
    dry_run: bool,
) -> int:
    r"""Put the hook into Claude Code's settings.

    \b
        aegis hook install --dry-run
        aegis hook install

    Every tool call of Claude Code is then judged by the policy and on record: those of its own tools (target
    claude-code, types Bash, Write, ...) and those of MCP servers (mcp__github__create_issue: target github, type
    create_issue). The policy that is drafted where there is none keeps the tools off Aegis's own files and the client's
    settings, and leaves everything else to the client's permissions. Nothing else in the settings changes; what they
    held is kept in a file that ends in .before-aegis. Doing it again puts in what the options say now.

    Exit codes: 0 it is in; 1 the policy would let the agent rewrite what governs it, or hooks are disabled; 2 the
    settings, the policy or the options cannot be used.
    """
    rules = Path(os.path.abspath((policy or Path("~/.aegis/claude-code.yaml")).expanduser()))  # noqa: PTH100 - links stay
    trail = db if db is not None and "://" in db else os.path.abspath(Path(db).expanduser()) if db else ""  # noqa: PTH100 - as above
    trail = trail or str(rules.with_name("aegis_audit.db"))
    drafted = not rules.exists()
    text = draft(rules, trail) if drafted else None
    loaded = Policy.from_yaml(rules) if text is None else Policy.from_string(text, source=str(rules))
    event = Event("PreToolUse", "install", "install", "Write", {}, None, None, interrupted=False, facts={})
    within = writable(loaded, trail, event, agent="claude-code", user=None)
    if within and not allow_writable_policy:
        raise AegisError(
            f"{rules} lets {within[0]} change {within[1]}, which governs it; add rules like those of the policy that "
            "is drafted where there is none, or install with --allow-writable-policy"
        )
    flags = {"--allow": allow, "--queue": queue, "--observe": observe, "--allow-writable-policy": allow_writable_policy}
    words = ["--policy", str(rules), "--db", trail, *(flag for flag, given in flags.items() if given)]
    file = _opened(settings)
    try:
        new = installed(file.text, command_line(words))
    except AegisError as problem:
        raise click.UsageError(visible(f"{file.path}: {problem}")) from None
    if text is not None and not dry_run:
        _create(rules, text)
    _put(file, new, dry_run=dry_run)
    click.echo(
        visible(f"{rules}: " + ("would be drafted" if drafted and dry_run else "drafted" if drafted else "in force"))
    )
    disabled = parse(new).get("disableAllHooks")
    if disabled is not None and disabled.scalar is True:
        raise AegisError(f"{file.path} says disableAllHooks: no hook runs until that is taken out")
    return 0


@hook.command()
@_settings
@_dry_run
def uninstall(settings: Path | None, *, dry_run: bool) -> int:
    """Take the hook out of Claude Code's settings; everything else stays, as do the policy and the trail.

    Exit codes: 0 it is out; 2 the settings cannot be used.
    """
    file = _opened(settings)
    try:
        new = uninstalled(file.text)
    except AegisError as problem:
        raise click.UsageError(visible(f"{file.path}: {problem}")) from None
    _put(file, new, dry_run=dry_run)
    return 0


def _opened(settings: Path | None) -> SettingsFile:
    try:
        return SettingsFile.read(settings or hook_settings(), missing=_EMPTY)
    except AegisError as problem:
        raise click.UsageError(visible(str(problem))) from None


def _create(path: Path, text: str) -> None:
    """Write the policy, for its owner only, unless somebody was faster."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _put(file: SettingsFile, new: str, *, dry_run: bool) -> None:
    name = visible(str(file.path))
    if new == file.text:
        click.echo(f"{name}: nothing to change")
        return
    if dry_run:
        click.echo("\n".join(file.difference(new)))
        return
    data = file.encoded(new)
    adding = "aegis hook claude-code" in new
    with writing():
        if adding and file.data and "aegis hook claude-code" not in file.text:
            file.keep()
        if not adding and new == _EMPTY and not file.backup.exists():
            file.remove()  # there was none before
        else:
            file.replace(data)
            backup = SettingsFile.read(file.backup, missing="")
            if not adding and backup.data == data:
                backup.remove()
    click.echo(f"{name}: the hook was {'put in' if adding else 'taken out'}. It counts from the client's next start.")
