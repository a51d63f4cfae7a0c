"""Two lists of rules side by side: which rules stayed, which went, which came."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from aegis.core.policy import Approval
from aegis.workbench.atoms import atoms_of
from aegis.workbench.reach import ReachIndex, reach_of
from aegis_core.policy.reading import given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis.core.policy import Policy
    from aegis.workbench.atoms import Atom
    from aegis.workbench.reach import Reach
    from aegis_core.policy.rule import Rule

__all__ = ["Alignment", "Side", "Standing", "align"]


class Standing(NamedTuple):
    """A rule where it stands.

    Attributes:
        place: Its place in its own list.
        merged: Its place in both lists put together.
        key: What it has in common with itself in the other list: equal for a rule that stayed.
        stayed: Whether the other list has it too, in the same order.
        rule: The rule.
        reach: What its match covers.
        atoms: Its conditions.
    """

    place: int
    merged: int
    key: tuple[str, int]
    stayed: bool
    rule: Rule
    reach: Reach
    atoms: tuple[Atom, ...]


class Side:
    """One of the two policies: its rules as they stand, found by what they meet."""

    def __init__(self, policy: Policy, rules: list[Standing]) -> None:
        self.policy = policy
        self.rules = rules
        default = policy.layers[0].default
        assert default is not None
        self.default = default
        self.index = ReachIndex([standing.reach for standing in rules])


class Alignment(NamedTuple):
    """Two policies side by side.

    Attributes:
        old: The one.
        new: The other.
        stayed: The rules both have, as pairs of places.
    """

    old: Side
    new: Side
    stayed: tuple[tuple[int, int], ...]


def align(old: Policy, new: Policy) -> Alignment:
    """Lay two policies side by side: as many rules as possible stay, in order. What stays means the same in both.

    Names, risks and the numbers of budgets aside: those are told apart by the caller.
    """
    before, after = [_meanings(policy) for policy in (old, new)]
    pairs = _longest_common(before, after)
    kept_old = {one: n for n, (one, _) in enumerate(pairs)}
    kept_new = {other: n for n, (_, other) in enumerate(pairs)}
    auto = [rule.approval is Approval.AUTO for rule in old.rules]
    merged_old, merged_new = _merged(auto, len(after), pairs)

    # A rule that stayed may have got another budget. The caller tells; from here on it has the new one on both sides.
    told = [atoms_of(rule, new.layers[0].trust) for rule in new.rules]

    def side(policy: Policy, merged: list[int], kept: dict[int, int], letter: str) -> Side:
        trust = policy.layers[0].trust
        standing = [
            Standing(
                place,
                merged[place],
                ("both", kept[place]) if place in kept else (letter, place),
                place in kept,
                rule,
                reach_of(rule.document.match),
                told[pairs[kept[place]][1]] if place in kept else atoms_of(rule, trust),
            )
            for place, rule in enumerate(policy.rules)
        ]
        return Side(policy, standing)

    return Alignment(side(old, merged_old, kept_old, "old"), side(new, merged_new, kept_new, "new"), tuple(pairs))


def _meanings(policy: Policy) -> list[str]:
    trust = repr(policy.layers[0].trust.documents)
    found: list[str] = []
    for rule in policy.rules:
        conditions = rule.document.conditions
        said = ""
        if conditions is not None:
            budget = rule.name if conditions.calls is not None else ""
            fields = {name: value for name, value in given(conditions).items() if name != "calls"}
            relies = any("trusted" in sources for sources in (conditions.param_from or {}).values())
            said = f"{sorted((name, repr(value)) for name, value in fields.items())} {budget} {trust if relies else ''}"
        found.append(f"{reach_of(rule.document.match)} {rule.approval} {said}")
    return found


def _longest_common(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, int]]:
    """Equal items, as many as possible in order: as pairs of places. Takes n log n."""
    where: dict[str, list[int]] = {}
    for place in range(len(before) - 1, -1, -1):
        where.setdefault(before[place], []).append(place)
    pairs = [(where[meaning].pop(), n) for n, meaning in enumerate(after) if where.get(meaning)]
    ends: list[int] = []
    chain: list[int] = []
    back: list[int] = []
    for number, (place, _) in enumerate(pairs):
        at = bisect_left(ends, place)
        back.append(chain[at - 1] if at else -1)
        ends[at : at + 1], chain[at : at + 1] = [place], [number]
    kept: list[tuple[int, int]] = []
    number = chain[-1] if chain else -1
    while number >= 0:
        kept.append(pairs[number])
        number = back[number]
    return kept[::-1]


def _merged(auto: Sequence[bool], after: int, pairs: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Places in one list of both.

    In a gap between rules that stayed: first what went and was ``auto``, as far as nothing else went before it; then
    what came; then whatever else went. (`looser` rests on this order: what makes up for a rule should stand before it.)
    """
    old, new = [0] * len(auto), [0] * after
    count, one, other = 0, 0, 0
    for stop_old, stop_new in [*pairs, (len(auto), after)]:
        while one < stop_old and auto[one]:
            old[one], one, count = count, one + 1, count + 1
        while other < stop_new:
            new[other], other, count = count, other + 1, count + 1
        while one < stop_old:
            old[one], one, count = count, one + 1, count + 1
        if stop_old < len(auto) and stop_new < after:
            old[stop_old] = new[stop_new] = count
            one, other, count = one + 1, other + 1, count + 1
    return old, new
