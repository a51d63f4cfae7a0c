"""What changed in meaning between two policies: looser, stricter, or not known which; with calls that show it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aegis.workbench.edits import align
from aegis.workbench.examples import Example
from aegis.workbench.looser import loosened
from aegis_core.errors import PolicyError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aegis.core.policy import Policy
    from aegis.workbench.edits import Alignment
    from aegis.workbench.looser import Loosened
    from aegis_core.policy.rule import Rule

__all__ = ["Change", "Direction", "compare"]


class Direction(enum.StrEnum):
    """Which way a change goes."""

    LOOSER = "looser"
    MAYBE_LOOSER = "maybe looser"
    STRICTER = "stricter"
    MAYBE_STRICTER = "maybe stricter"
    OTHER = "other"


@dataclass(frozen=True)
class Change:
    """One change in meaning.

    Attributes:
        direction: Which way it goes.
        what: What was changed, in words.
        example: A call that shows it: both policies were asked about it. None where there is none, or none was found.
        why: Why it is not known, or what it means.
        rule: The rule concerned, or None.
    """

    direction: Direction
    what: str
    example: Example | None = None
    why: str = ""
    rule: str | None = None


def compare(old: Policy, new: Policy) -> list[Change]:
    """Everything that changed in meaning.

    If nothing in it is `LOOSER` or `MAYBE_LOOSER`, no call whatever is decided less strictly than before, and no result
    is screened less; likewise the other way round.

    Raises:
        PolicyError: A policy is layered.
    """
    for policy in (old, new):
        if policy.layered:
            raise PolicyError(Problem("a layered policy cannot be compared: compare its layers", policy.sources[0]))
    alignment = align(old, new)
    words = _Words(alignment)
    found = _each_once(_told(one, words, looser=True) for one in loosened(alignment))
    found += _each_once(_told(one, words, looser=False) for one in loosened(align(new, old)))
    found += _budgets(alignment)
    found += _screening(old, new)
    found += _risks(alignment)
    order = list(Direction)
    return sorted(found, key=lambda change: order.index(change.direction))


class _Words:
    """How a change to a rule is called."""

    def __init__(self, alignment: Alignment) -> None:
        sides = (alignment.old, alignment.new)
        self._meanings = [{s.rule.name: (s.reach, s.rule.document.conditions, s.rule.approval)
                           for s in side.rules if not s.stayed} for side in sides]  # fmt: skip

    def of(self, rule: Rule) -> str:
        name, (before, after) = rule.name, self._meanings
        if name in before and name in after:
            return f"rule {name!r} {'was moved' if before[name] == after[name] else 'changed'}"
        if name in before:
            return f"rule {name!r} ({rule.approval.value}) went"
        return f"rule {name!r} ({rule.approval.value}) came"


def _told(one: Loosened, words: _Words, *, looser: bool) -> Change:
    """What was found out, with old and new the right way round."""
    sure, unsure = (
        (Direction.LOOSER, Direction.MAYBE_LOOSER) if looser else (Direction.STRICTER, Direction.MAYBE_STRICTER)
    )
    example = one.example
    if example is not None and not looser:
        example = Example(example.call, example.new, example.old)
    direction = sure if example is not None else unsure
    if one.standing is None:
        return Change(direction, "the default changed", example, one.why)
    rule = one.standing.rule
    return Change(direction, words.of(rule), example, one.why, rule.name)


def _each_once(changes: Iterable[Change]) -> list[Change]:
    """One change of each kind: a rule that changed has gone and come, and one call is enough to show it."""
    best: dict[str, Change] = {}
    for change in changes:
        known = best.get(change.what)
        if known is None or (known.example is None and change.example is not None):
            best[change.what] = change
    return list(best.values())


def _budgets(alignment: Alignment) -> Iterator[Change]:
    """Rules that have another budget than before, and are otherwise the same."""
    for one, other in alignment.stayed:
        rule = alignment.new.rules[other].rule
        before, after = _budget(alignment.old.rules[one].rule), _budget(rule)
        if before == after:
            continue
        what = f"rule {rule.name!r} has another budget: {_said(before)}, now {_said(after)}"
        wider = after is None or (before is not None and _as_wide(after, before))
        narrower = before is None or (after is not None and _as_wide(before, after))
        if wider or not narrower:
            direction = Direction.LOOSER if wider else Direction.MAYBE_LOOSER
            yield Change(direction, what, why="it shows once the smaller budget is used up", rule=rule.name)
        if narrower or not wider:
            direction = Direction.STRICTER if narrower else Direction.MAYBE_STRICTER
            yield Change(direction, what, why="it shows once the smaller budget is used up", rule=rule.name)


def _budget(rule: Rule) -> Any:
    return rule.document.conditions.calls if rule.document.conditions is not None else None


def _as_wide(one: Any, other: Any) -> bool:
    return bool(one.by == other.by and one.max >= other.max and one.per <= other.per)


def _said(budget: Any) -> str:
    return "none" if budget is None else f"{budget.max} calls per {budget.per} s by {budget.by}"


def _screening(old: Policy, new: Policy) -> Iterator[Change]:
    """What happens to results, and what is masked: everything there tightens, so what went loosens."""
    documents = [policy.layers[0].documents for policy in (old, new)]
    before, after = [{rule.name: rule for one in some for rule in one.results} for some in documents]
    for name in [*before, *(name for name in after if name not in before)]:
        what = f"result rule {name!r}"
        if name not in after:
            yield Change(Direction.LOOSER, f"{what} went", why="what it did to results is no longer done", rule=name)
        elif name not in before:
            yield Change(Direction.STRICTER, f"{what} came", rule=name)
        elif before[name] != after[name]:
            yield Change(
                Direction.MAYBE_LOOSER,
                f"{what} changed",
                why="result rules are compared as they are written",
                rule=name,
            )
    orders = [[name for name in some if name in other] for some, other in ((before, after), (after, before))]
    if orders[0] != orders[1]:
        why = "a cut and a mask do not do the same in another order"
        yield Change(Direction.MAYBE_LOOSER, "the result rules stand in another order", why=why)
    masks = [[one.redact for one in some if one.redact is not None] for some in documents]
    for kind in ("keys", "patterns"):
        had, has = [{entry for redact in some for entry in getattr(redact, kind)} for some in masks]
        for entry in sorted(had - has):
            yield Change(Direction.LOOSER, f"redact {kind}: {entry!r} went", why="it reaches the trail from now on")
        for entry in sorted(has - had):
            yield Change(Direction.STRICTER, f"redact {kind}: {entry!r} came")


def _risks(alignment: Alignment) -> Iterator[Change]:
    """Risks that changed where the approval did not; they change nothing but what people are shown."""
    for one, other in alignment.stayed:
        before, after = alignment.old.rules[one].rule, alignment.new.rules[other].rule
        if before.risk_level is not after.risk_level:
            risks = f"{before.risk_level.name.lower()}, now {after.risk_level.name.lower()}"
            yield Change(Direction.OTHER, f"rule {after.name!r} has another risk: {risks}", rule=after.name)
        if before.name != after.name:
            yield Change(Direction.OTHER, f"rule {before.name!r} is called {after.name!r} now", rule=after.name)
    was, now = alignment.old.default.risk_level, alignment.new.default.risk_level
    if was is not now:
        risks = f"{was.name.lower()}, now {now.name.lower()}"
        yield Change(Direction.OTHER, f"the default has another risk: {risks}")
