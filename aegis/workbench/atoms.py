"""Conditions taken apart: one question about one thing each, the same wherever two rules ask the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from aegis_core.policy.arguments import ARGUMENTS
from aegis_core.policy.conditions.comparisons import COMPARISONS
from aegis_core.policy.conditions.grammar import Conditions, compile_conditions
from aegis_core.policy.reading import of, values
from aegis_core.policy.trust import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis_core.policy.conditions.truth import Condition
    from aegis_core.policy.rule import Rule
    from aegis_core.policy.trust import Trust

__all__ = ["Atom", "atoms_of", "implies"]

Group = tuple[str, str]
"""What a question is about: ``("param", path)``, ``("clock", zone)``, ``("until", "")`` and so on."""
_CLOCK = ("time_after", "time_before", "weekdays", "timezone")


class Atom(NamedTuple):
    """One question.

    Attributes:
        group: What it is about: only questions of one group have anything to do with each other.
        kind: The condition's name in a policy.
        text: The question in full; equal texts are equal questions.
        expected: What the policy expects.
        condition: What answers it; None where only a store could.
    """

    group: Group
    kind: str
    text: str
    expected: Any
    condition: Condition | None

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Atom) and other.text == self.text

    def __ne__(self, other: object) -> bool:
        return not self == other


_known: WeakKeyDictionary[Any, tuple[Atom, ...]] = WeakKeyDictionary()
_shared: dict[str, Atom] = {}


def atoms_of(rule: Rule, trust: Trust = NOBODY) -> tuple[Atom, ...]:
    """The questions of a rule; all must be answered yes for it to hold."""
    conditions = rule.document.conditions
    return () if conditions is None else tuple(_taken_apart(rule, conditions, trust))


def _taken_apart(rule: Rule, conditions: Conditions, trust: Trust) -> Iterator[Atom]:
    if conditions.after is not None:
        yield _atom(("after", ""), "after", conditions.after, trust)
    clock = {name: getattr(conditions, name) for name in _CLOCK if getattr(conditions, name) is not None}
    if clock:
        yield _atom(("clock", conditions.timezone or "UTC"), "clock", clock, trust)
    if conditions.until is not None:
        yield _atom(("until", ""), "until", conditions.until, trust)
    if conditions.param_names is not None:
        yield _atom(("names", ""), "param_names", conditions.param_names, trust)
    for kind in (*COMPARISONS, *ARGUMENTS):
        for path, expected in (getattr(conditions, kind) or {}).items():
            yield _atom(("param", path), kind, {path: expected}, trust)
    for path, sources in (conditions.param_from or {}).items():
        yield _atom(("from", path), "param_from", {path: sources}, trust)
    if conditions.calls is not None:
        # Budgets are counted by rule: two rules with the same numbers have two budgets.
        yield Atom(("calls", rule.name), "calls", f"calls {rule.name} {conditions.calls!r}", conditions.calls, None)


def _atom(group: Group, kind: str, expected: Any, trust: Trust) -> Atom:
    trusted = repr(trust.documents) if kind == "param_from" else ""
    text = f"{group} {kind} {expected!r} {trusted}"
    known = _shared.get(text)
    if known is None:
        fields = expected if kind == "clock" else {kind: expected}
        conditions = of(Conditions, fields)
        (compiled,) = compile_conditions(conditions, None, trust)
        value = next(iter(expected.values())) if isinstance(expected, dict) and kind != "clock" else expected
        known = _shared[text] = Atom(group, kind, text, value, compiled)
        if len(_shared) > _MOST:
            _shared.clear()
    return known


_MOST = 65_536

_LISTS = {
    "param_path": ("under", "name"),
    "param_sql": ("statements", "tables", "functions"),
    "param_url": ("schemes", "hosts", "ports", "paths"),
    "param_shell": ("programs",),
    "param_email": ("domains", "addresses"),
}
"""What widens a condition that parses: the more is listed, the more texts satisfy it."""


def implies(first: Atom, second: Atom) -> bool:
    """Whether whatever certainly satisfies ``first`` certainly satisfies ``second``; False if not known.

    Known of conditions that parse, where one lists more and is otherwise the same, and of two budgets of a rule.
    """
    if first == second:
        return True
    if first.kind == second.kind == "calls" and first.group == second.group:
        one, other = first.expected, second.expected
        return one.by == other.by and one.max <= other.max and one.per >= other.per  # type: ignore[no-any-return]
    if first.kind != second.kind or first.group != second.group or first.kind not in _LISTS:
        return False
    ours, theirs = values(first.expected), values(second.expected)
    for name, value in theirs.items():
        if value == ours[name]:
            continue
        if name not in _LISTS[first.kind] or ours[name] is None:
            return False
        # Of a path, a key left out is not asked; elsewhere it may mean something of its own.
        if first.kind != "param_path" if value is None else not set(ours[name]) <= set(value):
            return False
    # Among relative and absolute folders, paths are compared otherwise.
    return first.kind != "param_path" or _one_kind_of_folder(second.expected)


def _one_kind_of_folder(spec: Any) -> bool:
    folders = [str(folder) for folder in spec.under or ()]
    return spec.base is not None or len({folder.startswith("/") for folder in folders}) <= 1
