"""``aegis replay``: what a policy would have said about the calls on a trail."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aegis.cli import audit_view as view
from aegis.cli.audit_options import db_option, filters, trail
from aegis.core.policy import Approval, Policy
from aegis.workbench.replay import NOW, replay
from aegis_core.audit.filters import Filters
from aegis_core.text import visible

if TYPE_CHECKING:
    from aegis.workbench.recorded import Judged
    from aegis.workbench.replay import Replay

__all__ = ["replay_command"]

_COLOURS = {"blocked": "red", "asked": "yellow", "free": "green", "unsure": "magenta"}
_PARAMS = 60
_THEN = {Approval.BLOCK: "was blocked", Approval.APPROVE: "was asked about", Approval.AUTO: "ran unasked"}


@click.command("replay")
@click.argument("trail_db", metavar="[DB]", required=False)
@db_option
@click.option(
    "--policy", required=True, envvar="AEGIS_POLICY", type=click.Path(path_type=Path), metavar="FILE",
    help="The policy to try ($AEGIS_POLICY).",
)  # fmt: skip
@filters
@click.option(
    "--show", default=5, show_default=True, type=click.IntRange(min=0), metavar="N", help="Show N calls of each change."
)
@click.option("--json", "as_json", is_flag=True, help="Print the sums and the calls shown as JSON.")
def replay_command(trail_db: str | None, db: str, policy: Path, *, show: int, as_json: bool, **filters: Any) -> int:
    r"""Judge the calls on a trail by another policy: what would now be blocked, asked about, or free.

    DB is the trail (or use --db). Nothing runs and nothing is written.

    \b
        aegis replay aegis_audit.db --policy new.yaml --since 7d

    A call is unsure where its answer hangs on what a trail does not keep: values that were masked or cut, what users
    said, how full a budget was. Unsure calls are counted as such and never guessed.

    Exit codes: 0 replayed; 2 the policy or the trail cannot be read; 3 the database failed.
    """
    judged_by = Policy.from_yaml(policy)
    with trail(trail_db or db) as logger:
        found = replay(logger, judged_by, Filters(**filters), shown=show)
    if as_json:
        view.write_json(_as_json(found, judged_by), sys.stdout)
    else:
        _print(found, visible(str(policy)))
    return 0


def _as_json(found: Replay, policy: Policy) -> dict[str, Any]:
    return {
        "policy": policy.sources[0],
        "digest": policy.digest,
        "calls": found.calls,
        "first": found.first,
        "last": found.last,
        "unchanged": found.unchanged,
        "now": {word: found.now(approval) for approval, word in NOW.items()},
        "unsure": found.unsure,
        "moves": [{"then": then, "now": now, "calls": count} for (then, now), count in found.moves.items()],
        "approvals": {
            "then": found.asked_then,
            "now": found.asked_now,
            "now_at_most": found.asked_now + found.asked_perhaps,
        },
        "free_though_denied": found.free_though_denied,
        "blocked_though_approved": found.blocked_though_approved,
        "rules": [
            {"rule": rule, **{key: getattr(tally, key) for key in ("calls", *NOW.values(), "unsure")}}
            for rule, tally in _by_effect(found)
        ],
        "examples": {kind: list(map(_example, calls)) for kind, calls in found.examples.items()},
    }


def _example(judged: Judged) -> dict[str, Any]:
    kept = ("call_id", "timestamp", "session_id", "action_type", "action_target", "action_params", "human_decision")
    return {
        **{key: judged.entry[key] for key in kept},
        "then": judged.recorded,
        "then_rule": judged.entry["matched_rule"],
        "now": sorted(judged.possible),
        "now_rule": judged.decision.matched_rule,
        "hidden": list(judged.hidden),
    }


def _print(found: Replay, policy: str) -> None:
    if not found.calls:
        click.echo("no calls on record")
        return
    click.echo(f"{found.calls} calls, {found.first} to {found.last}, judged by {policy}")
    changed = ", ".join(
        f"{found.now(approval)} now {click.style(word, fg=_COLOURS[word])}" for approval, word in NOW.items()
    )
    click.echo(f"{found.unchanged} unchanged, {changed}, {found.unsure} unsure")
    click.echo(_approvals(found))
    if found.free_though_denied:
        click.echo(click.style(f"denied by a person, and now free: {found.free_though_denied}", fg="red"))
    if found.blocked_though_approved:
        click.echo(f"approved by a person, and now blocked: {found.blocked_though_approved}")
    click.echo()
    columns = ("calls", *NOW.values(), "unsure")
    view.write_table(
        ("rule", "calls", *(f"now {word}" for word in NOW.values()), "unsure"),
        [(rule, *(getattr(tally, key) for key in columns)) for rule, tally in _by_effect(found)],
    )
    for kind, calls in found.examples.items() if found.shown else ():
        click.echo(f"\n{'unsure' if kind == 'unsure' else f'now {kind}'}, for example:")
        for judged in calls:
            click.echo("  " + _line(judged, kind))


def _approvals(found: Replay) -> str:
    least, most = found.asked_now, found.asked_now + found.asked_perhaps
    now = str(least) if least == most else f"{least} to {most}"
    change = found.asked_then - most, found.asked_then - least
    if change[0] > 0:
        said = f"{change[0]} saved" if change[0] == change[1] else f"{change[0]} to {change[1]} saved"
    elif change[1] < 0:
        said = f"{-change[1]} added" if change[0] == change[1] else f"{-change[1]} to {-change[0]} added"
    else:
        said = "no change" if change == (0, 0) else f"{-change[0]} added to {change[1]} saved"
    return f"approvals: {found.asked_then} then, {now} now: {said}"


def _line(judged: Judged, kind: str) -> str:
    entry = judged.entry
    tool = visible(f"{entry['action_type']}@{entry['action_target']}")
    params = visible(json.dumps(entry["action_params"], ensure_ascii=False, default=str))
    shown = params if len(params) <= _PARAMS else params[: _PARAMS - 1] + "…"
    what = f"{entry['timestamp'][:19]}  {entry['call_id'][-8:]}  {tool} {shown}"
    then = f"{_THEN[judged.recorded]} ({visible(entry['matched_rule'])})"
    if kind == "unsure":
        could = " or ".join(sorted(judged.possible))
        return f"{what}: {then}; {could}" + (f", hidden: {visible(', '.join(judged.hidden))}" if judged.hidden else "")
    human = f", {entry['human_decision']}" if entry["human_decision"] else ""
    return f"{what}: {then}{human}; now {visible(judged.decision.reason)}"


def _by_effect(found: Replay) -> list[tuple[str, Any]]:
    """Rules, those that change most first."""
    return sorted(
        found.rules.items(), key=lambda item: (-(item[1].blocked + item[1].asked + item[1].free), -item[1].calls)
    )
