"""What the commands of ``aegis audit`` share: options, and how they open and write things."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from aegis.cli.db_option import db_option
from aegis.errors import AuditError
from aegis_core.audit.schema import NotATrail
from aegis_core.audit.sqlite import AuditLogger, spare
from aegis_core.result import ResultStatus
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = [
    "ListByDefault",
    "Time",
    "db_option",
    "filters",
    "json_option",
    "key_option",
    "length",
    "out",
    "output_option",
    "readable",
    "spare_trail",
    "trail",
]

_LENGTH = re.compile(r"(\d+)\s*(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def length(text: str) -> timedelta | None:
    """``90m``, ``24h``, ``7d`` as a length of time; None if it is something else."""
    found = _LENGTH.fullmatch(text.strip())
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


class Time(click.ParamType[datetime]):
    """A point in time, or how long ago it was."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time; ages count from now."""
        if isinstance(value, datetime):
            return value
        try:
            if (age := length(value)) is not None:
                return datetime.now(UTC) - age
            time = datetime.fromisoformat(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a time (2026-03-22T10:30) nor an age (90m, 24h, 7d).", param, ctx)
        return time if time.tzinfo else time.replace(tzinfo=UTC)


def _not_a_dash(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    return None if value == Path("-") else value


json_option = click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
output_option = click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write to FILE; - is standard output.",
    callback=_not_a_dash,
)  # fmt: skip
key_option = click.option(
    "--key", required=True, metavar="FILE", help="The private key that signs (see `aegis audit keygen`)."
)
_FILTERS = (
    click.option("--session", "session_id", metavar="ID", help="Only this session."),
    click.option("--type", metavar="NAME", help="Only this tool."),
    click.option("--target", metavar="NAME", help="Only this server or target."),
    click.option("--risk", type=click.Choice(["low", "medium", "high", "critical"], case_sensitive=False)),
    click.option(
        "--status", type=click.Choice([*(status.value for status in ResultStatus), "running"], case_sensitive=False)
    ),
    click.option("--rule", metavar="NAME", help="Only calls decided by this rule."),
    click.option("--agent", metavar="NAME", help="Only this agent."),
    click.option("--since", type=Time(), help="A time (UTC) or an age: 2026-03-22T10:30, 90m, 24h, 7d."),
    click.option("--until", type=Time(), help="Likewise; calls from then on are left out."),
    click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Only the newest N."),
)


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which calls."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


class ListByDefault(click.Group):
    """`aegis audit` alone, or with options only, lists; `--db` and `--json` may stand before the subcommand, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Find the subcommand."""
        leading: list[str] = []
        rest = list(args)
        while rest and (rest[0] in ("--db", "--json") or rest[0].startswith("--db=")):
            leading.append(rest.pop(0))
            if leading[-1] == "--db" and rest:
                leading.append(rest.pop(0))
        if rest and rest[0] in self.commands:
            return super().parse_args(ctx, [rest[0], *leading, *rest[1:]])
        if args and args[0] in ("-h", "--help"):
            return super().parse_args(ctx, args)
        if rest and not rest[0].startswith("-"):
            return super().parse_args(ctx, rest)  # no such command: click says so
        return super().parse_args(ctx, ["list", *args])


@contextlib.contextmanager
def trail(db: str) -> Generator[AuditLogger]:
    """The trail, which must be there: looking at something never makes it."""
    try:
        with AuditLogger(db) as logger:
            logger.reader.changes()
            yield logger
    except NotATrail as error:
        raise click.ClickException(visible(str(error))) from error


@contextlib.contextmanager
def out(output: Path | None, *, beside: AuditLogger) -> Generator[IO[str]]:
    """Standard output, or a file that only its owner can read if it is new; never a file of the trail it is made of."""
    if output is None:
        yield sys.stdout
        return
    spare_trail(beside, output)
    try:
        opened = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    except OSError as error:
        raise click.ClickException(f"cannot write {visible(str(output))!r}: {error.strerror}") from error
    with os.fdopen(opened, "w", encoding="utf-8", newline="") as file:
        yield file


def spare_trail(trail: AuditLogger, output: Path | None) -> None:
    """Never write over a trail, whatever somebody typed."""
    if output is not None:
        with readable():
            spare(trail.path, output)


@contextlib.contextmanager
def readable() -> Generator[None]:
    """Keys and files given by name: what cannot be used is a mistake in the command, not a failure of the store."""
    try:
        yield
    except AuditError as error:
        raise click.ClickException(visible(str(error))) from error
