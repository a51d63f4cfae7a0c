"""``aegis diff``: what changed in meaning between two policies."""

from __future__ import annotations

import json
from datetime import datetime  # noqa: TC003 - click reads the annotations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aegis.cli.audit_options import Time, trail
from aegis.core.policy import Policy
from aegis.workbench.compare import Direction, compare
from aegis.workbench.crossing import cross
from aegis_core.audit.filters import Filters
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis.workbench.compare import Change
    from aegis.workbench.crossing import Crossing
    from aegis.workbench.examples import Call, Example
    from aegis_core.decision import Decision

__all__ = ["diff"]

_COLOURS = {
    Direction.LOOSER: "red",
    Direction.MAYBE_LOOSER: "yellow",
    Direction.STRICTER: "green",
    Direction.MAYBE_STRICTER: "cyan",
}
_LOOSENING = (Direction.LOOSER, Direction.MAYBE_LOOSER)
_TIGHTENING = (Direction.STRICTER, Direction.MAYBE_STRICTER)


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--allow-looser", is_flag=True, help="Exit with 0 although calls are, or may be, decided less strictly.")
@click.option("--audit", metavar="DB", help="Also say which calls on this trail would now go another way.")
@click.option("--since", type=Time(), help="Of the trail only calls since a time (UTC) or an age: 24h, 7d.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def diff(old: Path, new: Path, *, allow_looser: bool, audit: str | None, since: datetime | None, as_json: bool) -> int:
    r"""Say what changed in meaning between the policies OLD and NEW: which calls are decided less strictly, or more.

    What is said to be looser or stricter is shown by a call that both policies were asked about. "No call is decided
    less strictly" is proven. Where neither is possible, it is said to be not known. Comments, order that does not
    matter and other ways of saying the same are no changes.

    \b
        aegis diff main/policy.yaml policy.yaml
        aegis diff main/policy.yaml policy.yaml --audit aegis_audit.db --since 30d

    Exit codes: 0 no call is decided less strictly; 1 some are, or may be (0 with --allow-looser); 2 unreadable policy;
    3 the trail cannot be read.
    """
    if since is not None and audit is None:
        raise click.UsageError("--since says which calls of a trail: name the trail with --audit")
    policies = Policy.from_yaml(old), Policy.from_yaml(new)
    changes = compare(*policies)
    crossing = None
    if audit is not None:
        with trail(audit) as logger:
            filters = Filters(since=since)
            entries = (entry for chunk in logger.reader.chunks(filters) for entry in chunk)
            crossing = cross(*policies, entries, whole=since is None and logger.reader.cut() is None)
    if as_json:
        click.echo(json.dumps(_as_json(changes, crossing), indent=2, default=repr))
    else:
        _print(changes, crossing)
    return 1 if not allow_looser and any(change.direction in _LOOSENING for change in changes) else 0


def _print(changes: list[Change], crossing: Crossing | None) -> None:
    for change in changes:
        word = click.style(change.direction.value, fg=_COLOURS.get(change.direction), bold=True)
        click.echo(f"{word}: {visible(change.what)}")
        if change.example is not None:
            click.echo(f"    {_call(change.example.call)}")
            click.echo(f"    {_decision(change.example.old)}, now {_decision(change.example.new)}")
        if change.why:
            click.echo(f"    {visible(change.why)}")
    click.echo(_verdict(changes, _LOOSENING, "less"))
    click.echo(_verdict(changes, _TIGHTENING, "more"))
    if crossing is not None:
        for line in _recorded(crossing):
            click.echo(line)


def _verdict(changes: list[Change], directions: tuple[Direction, Direction], word: str) -> str:
    found = {change.direction for change in changes}
    if directions[0] in found:
        return f"Some calls are decided {word} strictly."
    if directions[1] in found:
        return f"It is not known whether some calls are decided {word} strictly."
    return f"No call is decided {word} strictly."


def _call(call: Call) -> str:
    action = call.action
    params = "".join(f" {name}={_value(value)}" for name, value in action.params.items())
    who = "".join(f", {kind} {name!r}" for kind, name in (("agent", action.agent), ("user", action.user)) if name)
    around = "".join(f", {text}" for text in call.around)
    return visible(f"{action.type}@{action.target}{params}{who}{around}")


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 100 else text[:100] + "…"


def _decision(decision: Decision) -> str:
    by = "by default" if decision.matched_rule == "<default>" else f"by rule {decision.matched_rule!r}"
    floors = [floor.rule for floor in decision.floors if floor.approval is decision.approval]
    if floors and decision.reason.startswith(f"rule {floors[0]!r} could not"):
        by = f"as rule {floors[0]!r} is in doubt"
    return visible(f"{decision.approval.value} ({by})")


def _recorded(crossing: Crossing) -> Iterator[str]:
    yield f"On the trail: {crossing.calls} calls, {crossing.same} decided alike, {crossing.unsure} not known."
    for kind, count in crossing.moved.most_common():
        before, after, one, other = kind
        entry = crossing.shown[kind]
        shown = f"{entry['action_type']}@{entry['action_target']}, {entry['call_id']}"
        yield visible(f"    {count} {before} by {one!r}, now {after} by {other!r} (first: {shown})")


def _as_json(changes: list[Change], crossing: Crossing | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "looser": _known(changes, _LOOSENING),
        "stricter": _known(changes, _TIGHTENING),
        "changes": [
            {
                "direction": change.direction.value,
                "what": change.what,
                "rule": change.rule,
                "why": change.why or None,
                "example": None if change.example is None else _example(change.example),
            }
            for change in changes
        ],
    }
    if crossing is not None:
        found["recorded"] = {
            "calls": crossing.calls,
            "same": crossing.same,
            "unsure": crossing.unsure,
            "moved": [
                {"old": kind[0], "new": kind[1], "old_rule": kind[2], "new_rule": kind[3], "calls": count,
                 "first": crossing.shown[kind]["call_id"]}
                for kind, count in crossing.moved.most_common()
            ],
        }  # fmt: skip
    return found


def _known(changes: list[Change], directions: tuple[Direction, Direction]) -> bool | None:
    """True, False, or None for not known."""
    found = {change.direction for change in changes}
    return True if directions[0] in found else None if directions[1] in found else False


def _example(example: Example) -> dict[str, Any]:
    action = example.call.action
    return {
        "type": action.type,
        "target": action.target,
        "params": action.params,
        "agent": action.agent,
        "user": action.user,
        "at": example.call.now.isoformat(),
        "session": list(example.call.around),
        "old": {"approval": example.old.approval.value, "rule": example.old.matched_rule},
        "new": {"approval": example.new.approval.value, "rule": example.new.matched_rule},
    }
