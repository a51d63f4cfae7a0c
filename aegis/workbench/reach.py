"""What a rule's ``match`` covers: for certain, and in doubt; and which rules meet which, found by index.

A rule's certain calls are those whose names its patterns match exactly; the engine holds a match that needs folding, or
a gateway's prefix put aside, to be undecided.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from aegis.workbench.languages import Patterns, includes, is_literal, meet, prefix_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aegis_core.policy.document import Match

__all__ = ["AXES", "Reach", "ReachIndex", "covers", "covers_doubt", "meets", "reach_of"]

AXES = ("type", "target", "agent", "user")
Reach = tuple[Patterns, Patterns, Patterns, Patterns]
"""Per axis the alternatives; ``("*",)`` where everything matches."""


def reach_of(match: Match) -> Reach:
    """A match by axis, in one form for what means the same."""
    lists = [getattr(match, axis) for axis in AXES]
    kind, target, agent, user = (("*",) if "*" in given else tuple(sorted(set(given))) for given in lists)
    return kind, target, agent, user


def covers(outer: Reach, inner: Reach) -> bool:
    """Whether ``outer`` certainly matches every call that ``inner`` certainly matches."""
    return all(map(includes, outer, inner))


def meets(first: Reach, second: Reach) -> bool:
    """Whether a call may be certainly matched by both."""
    return all(map(meet, first, second))


def covers_doubt(outer: Reach, inner: Reach) -> bool:
    """Whether ``outer`` matches, or is undecided about, every call that ``inner`` matches or is undecided about."""
    return covers(outer, inner) and all(map(_covers_folded, outer, inner))


def _covers_folded(outer: Patterns, inner: Patterns) -> bool:
    if "*" in outer:
        return True
    if "*" in inner:
        return False
    known = set(outer)
    rest = tuple(pattern for pattern in inner if pattern not in known)
    plain = all(pattern.isascii() and "[" not in pattern for pattern in (*outer, *rest))
    # Of plain patterns, folding means lower case; of others, who knows.
    return not rest or (plain and includes(_lowered(outer), _lowered(rest)))


def _lowered(patterns: Patterns) -> Patterns:
    return tuple(pattern.lower() for pattern in patterns)


class ReachIndex:
    """Finds, of many rules, those that may meet one, without looking at all of them.

    Rules are filed by their targets, and those of a target by how their types begin: two patterns can meet only if
    one's literal beginning is a beginning of the other's.
    """

    def __init__(self, reaches: Sequence[Reach]) -> None:
        self._reaches = reaches
        filed: dict[Patterns, list[int]] = {}
        for number, reach in enumerate(reaches):
            filed.setdefault(reach[1], []).append(number)
        self._types = {
            targets: _Beginnings((reaches[number][0], number) for number in numbers)
            for targets, numbers in filed.items()
        }
        self._named: dict[str, list[Patterns]] = {}
        self._open: list[Patterns] = []
        for targets in filed:
            if all(map(is_literal, targets)):
                for target in targets:
                    self._named.setdefault(target, []).append(targets)
            else:
                self._open.append(targets)

    def meeting(self, reach: Reach, *, before: int | None = None, limit: int = 400) -> list[int] | None:
        """The places of the rules that may certainly match a call that ``reach`` does, in order.

        Args:
            reach: What they are to meet.
            before: Only rules before this place.
            limit: How many rules may be looked at; None comes back if that is not enough.
        """
        files = [self._types[targets] for targets in self._around(reach[1])]
        if sum(file.count(reach[0]) for file in files) > limit:
            return None
        found = {number for file in files for number in file.find(reach[0])}
        return [n for n in sorted(found) if (before is None or n < before) and meets(self._reaches[n], reach)]

    def _around(self, targets: Patterns) -> Sequence[Patterns]:
        """The targets under which rules are filed that may be meant."""
        if all(map(is_literal, targets)):
            named = [one for target in targets for one in self._named.get(target, ())]
            return [*dict.fromkeys(named), *(one for one in self._open if meet(one, targets))]
        return [one for one in self._types if meet(one, targets)]


class _Beginnings:
    """Rules by the literal beginnings of their patterns on one axis."""

    def __init__(self, rules: Iterable[tuple[Patterns, int]]) -> None:
        open_ended: dict[str, list[int]] = {}
        whole: dict[str, list[int]] = {}
        for patterns, number in rules:
            for pattern in patterns:
                into = whole if is_literal(pattern) else open_ended
                into.setdefault(prefix_of(pattern), []).append(number)
        self._open = _Sorted(open_ended)
        self._whole = _Sorted(whole)

    def count(self, patterns: Patterns) -> int:
        """How many rules `find` would look at, some of them twice."""
        total = 0
        for pattern in patterns:
            start = prefix_of(pattern)
            total += sum(len(self._open.at(start[:end])) for end in range(len(start)))
            if is_literal(pattern):
                total += len(self._whole.at(start)) + len(self._open.at(start))
            else:
                total += self._open.count(start) + self._whole.count(start)
        return total

    def find(self, patterns: Patterns) -> list[int]:
        """The rules whose beginnings go with these patterns', in order."""
        found: set[int] = set()
        for pattern in patterns:
            start = prefix_of(pattern)
            for end in range(len(start)):
                found.update(self._open.at(start[:end]))
            if is_literal(pattern):
                found.update(self._whole.at(start), self._open.at(start))
            else:
                found.update(self._open.beginning(start), self._whole.beginning(start))
        return sorted(found)


class _Sorted:
    """Rules by text, found by what the text begins with."""

    def __init__(self, filed: dict[str, list[int]]) -> None:
        self._filed = filed
        self._texts = sorted(filed)
        self._before = [0, *accumulate(len(filed[text]) for text in self._texts)]

    def at(self, text: str) -> Sequence[int]:
        """The rules of just this text."""
        return self._filed.get(text, ())

    def count(self, start: str) -> int:
        """How many rules the texts beginning so have."""
        first, last = self._span(start)
        return self._before[last] - self._before[first]

    def beginning(self, start: str) -> Iterator[int]:
        """The rules of the texts beginning so."""
        first, last = self._span(start)
        return (number for text in self._texts[first:last] for number in self._filed[text])

    def _span(self, start: str) -> tuple[int, int]:
        if not start:
            return 0, len(self._texts)
        return bisect_left(self._texts, start), bisect_left(self._texts, start[:-1] + chr(ord(start[-1]) + 1))
