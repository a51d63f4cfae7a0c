"""``aegis audit``: look at the trail, follow it, count it. `audit_proof` has what proves it."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from aegis.cli import audit_proof
from aegis.cli import audit_view as view
from aegis.cli.audit_options import ListByDefault, db_option, filters, json_option, length, out, output_option, trail
from aegis_core.audit.filters import Filters
from aegis_core.text import visible

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["audit"]


@click.group(cls=ListByDefault)
def audit() -> None:
    """Look at the audit trail. Without a command: list the calls (see `aegis audit list --help`)."""


@audit.command("list")
@db_option
@click.option("--format", "kind", type=click.Choice(view.FORMATS), default="table", show_default=True)
@json_option
@output_option
@filters
@click.option("--events", is_flag=True, help="Show policy reloads, checkpoints and the like instead of calls.")
def list_(db: str, kind: str, output: Path | None, *, as_json: bool, events: bool, **filters: Any) -> int:
    """List calls, oldest first.

    As a table, JSON, JSON lines or CSV.
    """
    kind = "json" if as_json else kind
    with trail(db) as logger:
        if events:
            view.write_json(logger.reader.events(Filters(**filters)), sys.stdout)
            return 0
        with out(output, beside=logger) as file:
            count = view.write_entries(logger.chunks(**filters), kind, file)
    if output is not None:
        click.echo(f"{count} calls written to {visible(str(output))}", err=True)
    return 0


@audit.command()
@click.argument("call_id")
@db_option
@json_option
def show(call_id: str, db: str, *, as_json: bool) -> int:
    """Show everything about one call. CALL_ID may be the end of the id, as tables show it."""
    with trail(db) as logger:
        found = logger.reader.find(call_id)
        if len(found) != 1:
            many = f"{len(found)} calls end in {call_id!r}; give more of the id" if found else f"no call {call_id!r}"
            raise click.ClickException(visible(many))
        entry = logger.reader.entry(found[0])
    if as_json:
        view.write_json(entry, sys.stdout)
    elif entry is not None:
        view.write_entry(entry)
    return 0


@audit.command()
@db_option
@json_option
@click.option("-n", "--lines", default=10, show_default=True, type=click.IntRange(min=0), help="Calls to begin with.")
@click.option("-f", "--follow", is_flag=True, help="Go on as calls begin and end, until interrupted.")
def tail(db: str, lines: int, *, as_json: bool, follow: bool) -> int:
    """Show the newest calls; -f keeps watching."""
    out = view.console()

    def put(entry: dict[str, Any]) -> None:
        if as_json:
            view.write_entries([[entry]], "jsonl", sys.stdout)
        else:
            out.print(view.follow_line(entry), soft_wrap=True)
        sys.stdout.flush()

    with trail(db) as logger:
        last = logger.reader.last_row()
        for entry in logger.get_log(limit=lines):
            put(entry)
        seen = -1
        while follow:
            changes = logger.reader.changes()
            if changes != seen:
                seen = changes
                last, calls = logger.reader.calls_after(last)
                for call_id in calls:
                    if (found := logger.reader.entry(call_id)) is not None:
                        put(found)
            time.sleep(0.2)
    return 0


@audit.command()
@db_option
@json_option
@filters
def stats(db: str, *, as_json: bool, **filters: Any) -> int:
    """Count calls.

    By how they ended, risk, tool and rule; and how often people were asked and said yes, by rule and by session. A rule
    whose calls are always approved, or never, is named: it could decide by itself.
    """
    from aegis_core.approval.fatigue import fatigue  # noqa: PLC0415 - no other command needs it

    columns = ("action_type", "action_target", "risk_level", "matched_rule", "result_status")
    with trail(db) as logger:
        wanted = Filters(**filters)
        people = fatigue(logger.reader, wanted)
        found = view.totals(logger.reader.groups(columns, wanted))
        found["first"], found["last"] = logger.reader.span(wanted)
        found["approvals"] = view.asked(people.rules, "rule")
        found["approvals_by_session"] = view.asked(people.sessions, "session")
    if as_json:
        view.write_json(found, sys.stdout)
    else:
        view.stats(found)
    return 0


@audit.command()
@db_option
@json_option
@filters
@click.option("--step", metavar="AGE", help="Length of a step: 1m, 1h, 1d. Chosen to fit if not given.")
def timeline(db: str, step: str | None, *, as_json: bool, **filters: Any) -> int:
    """Plot calls over time."""
    with trail(db) as logger:
        wanted = Filters(**filters)
        bucket_us = _step(step, logger.reader.span(wanted))
        buckets: dict[int, dict[str, Any]] = {}
        for group in logger.reader.groups(("result_status",), wanted, bucket=bucket_us):
            bucket = buckets.setdefault(group["bucket"], {"at": group["bucket"], "calls": 0, "statuses": {}})
            bucket["calls"] += group["count"]
            status = group["result_status"]
            bucket["statuses"][status] = bucket["statuses"].get(status, 0) + group["count"]
    rows = [buckets[at] for at in sorted(buckets)]
    if as_json:
        view.write_json(rows, sys.stdout)
    else:
        view.timeline(rows)
    return 0


_STEPS = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 86_400, 604_800)


def _step(given: str | None, span: tuple[str | None, str | None]) -> int:
    """The length of a step in microseconds: as asked for, or so that about 30 steps show everything."""
    if given is not None:
        step = length(given)
        if not step:
            raise click.BadParameter(f"{given!r} is not a length like 1m, 1h or 1d.", param_hint="--step")
        return int(step.total_seconds()) * 1_000_000
    if span[0] is None or span[1] is None:
        return 1_000_000
    seconds = (datetime.fromisoformat(span[1]) - datetime.fromisoformat(span[0])).total_seconds()
    return next((step for step in _STEPS if seconds / step <= 30), _STEPS[-1]) * 1_000_000


for _command in audit_proof.COMMANDS:
    audit.add_command(_command)
