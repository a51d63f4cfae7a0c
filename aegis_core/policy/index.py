"""Which rules can concern a name at all, found without walking all of them.

Each rule is filed under one literal part of its type or target pattern: the whole name, a prefix, a suffix, or an inner
run. What comes back is a superset in rule order; the caller still matches every candidate in full. Everything here is
folded, so that a rule which matches only after folding is found too.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from aegis_core.policy.globs import literals
from aegis_core.policy.names import folded_forms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["RuleIndex"]

T = TypeVar("T", bound=tuple[Any, ...])
_Filed = dict[str, list[T]]
"""Rules by the literal part they are filed under."""

_HEAD = 3
"""Many runs are first told apart by this many characters; shorter beginnings and endings are filed as runs."""
_FEW = 16
"""Inner runs up to this many are looked for one by one."""
_TARGETS = 1024
"""Targets whose rules are remembered."""


_Chain = tuple[tuple[str, ...], tuple[int, ...], tuple[tuple[T, ...], ...]]
"""Literal beginnings, sorted; of each, the place of the longest other one it begins with, and the rules of both.

Every text that a name begins with is the last one not sorted after the name or, like everything sorted between the
two, a beginning of that one.
"""


def _chain(by_text: _Filed[T]) -> _Chain[T]:
    """The chain of these beginnings."""
    texts = sorted(by_text)
    places: list[int] = []
    rules: list[tuple[T, ...]] = []
    for place, text in enumerate(texts):
        shorter = place - 1
        while shorter >= 0 and not text.startswith(texts[shorter]):
            shorter = places[shorter]
        places.append(shorter)
        longer = rules[shorter] if shorter >= 0 else ()
        rules.append((*longer, *by_text[text]))
    return tuple(texts), tuple(places), tuple(rules)


_Groups = dict[str, tuple[slice, dict[str, _Chain[T]]]]
"""Beginnings told apart by their first character, then by as many characters as all of those have."""


def _groups(by_text: _Filed[T], step: int = 1) -> _Groups[T]:
    """Beginnings made easy to find; or, with a ``step`` of -1, reversed endings: then what tells them apart is not."""
    groups: _Groups[T] = {}
    for first, texts in _by_start(by_text, 1).items():
        length = min(map(len, texts))
        cut = slice(length) if step == 1 else slice(-length, None)
        groups[first] = cut, {start[::step]: _chain(group) for start, group in _by_start(texts, length).items()}
    return groups


class _Runs(Generic[T]):
    """Many literal runs anywhere in a name."""

    __slots__ = ("_by_head", "_heads", "_rules")

    def __init__(self, by_text: _Filed[T]) -> None:
        self._rules = by_text
        self._by_head = {head: list(group) for head, group in _by_start(by_text, _HEAD).items()}
        self._heads = frozenset(map(tuple, self._by_head))

    def find(self, name: str) -> tuple[T, ...]:
        """The rules of all runs that are in the name."""
        # Most names have the head of no run in them, and one pass over their threes of characters tells.
        if self._heads.isdisjoint(zip(name, name[1:], name[2:], strict=False)):
            return ()
        heads = {name[start : start + _HEAD] for start in range(len(name) - _HEAD + 1)}
        runs = [run for head in heads & self._by_head.keys() for run in self._by_head[head] if run in name]
        return tuple(rule for run in runs for rule in self._rules[run])


class _Literals(NamedTuple, Generic[T]):
    """Rules by the literal part of a pattern that they are filed under, and by where that part stands."""

    whole: _Filed[T]
    beginnings: _Filed[T]
    endings: _Filed[T]
    """Reversed."""
    runs: _Filed[T]


def _filed(patterns: Iterable[tuple[str, T]]) -> _Literals[T]:
    """Each rule under one part of its pattern."""
    by: _Literals[T] = _Literals({}, {}, {}, {})
    for pattern, rule in patterns:
        prefix, suffix, run, whole = literals(pattern)
        if whole:
            by.whole.setdefault(run, []).append(rule)
        elif len(prefix) >= max(len(suffix), _HEAD):
            by.beginnings.setdefault(prefix, []).append(rule)
        elif len(suffix) >= _HEAD:
            by.endings.setdefault(suffix[::-1], []).append(rule)
        else:
            by.runs.setdefault(run, []).append(rule)
    return by


def _finder(patterns: Iterable[tuple[str, T]]) -> Callable[[str, tuple[T, ...]], tuple[T, ...]]:
    """The index over one kind of name, types or targets: what adds to some rules those that may match a folded name.

    A closure, because a look-up is nearly all it does, and attributes cost look-ups of their own.
    """
    whole, beginnings, endings, runs = _filed(patterns)
    of_whole = {name: tuple(rules) for name, rules in whole.items()}.get
    start_of = _groups(beginnings).get
    end_of = _groups(endings, -1).get
    many = {run: rules for run, rules in runs.items() if len(run) >= _HEAD and len(runs) > _FEW}
    few = {run: rules for run, rules in runs.items() if run not in many}
    of_many = _Runs(many).find if many else None
    any_of_few = _search(few, Counter("".join((*whole, *beginnings, *endings)))) if few else None

    def find(name: str, so_far: tuple[T, ...]) -> tuple[T, ...]:
        found = so_far
        if (rules := of_whole(name)) is not None:
            found += rules
        if (group := start_of(name[0])) is not None:
            cut, chains = group
            if (chain := chains.get(name[cut])) is not None:
                found += _chained(name, chain)
        if (group := end_of(name[-1])) is not None:
            cut, chains = group
            if (chain := chains.get(name[cut])) is not None:
                found += _chained(name[::-1], chain)
        if any_of_few is not None and any_of_few(name) is not None:
            found += _contained(name, few)
        if of_many is not None:
            found += of_many(name)
        return found if found is so_far or len(found) < 2 else _in_order(found)

    return find


def _chained(name: str, chain: _Chain[T]) -> tuple[T, ...]:
    """The rules of all texts of a chain that the name begins with."""
    texts, shorter, rules = chain
    place = bisect_right(texts, name) - 1
    while place >= 0:
        if name.startswith(texts[place]):
            return rules[place]
        place = shorter[place]
    return ()


def _search(runs: Iterable[str], common: Counter[str]) -> Callable[[str], object]:
    """What finds out whether any of these runs may be in a name.

    The search tries every place where one of them may begin, so each is looked for from its rarest character on.
    """
    pieces = {run[min(range(max(1, len(run) - _HEAD + 1)), key=lambda at: common[run[at]]) :] for run in runs}
    return re.compile("|".join(map(re.escape, sorted(pieces)))).search


def _contained(name: str, runs: _Filed[T]) -> tuple[T, ...]:
    """The rules of all runs that are in the name."""
    return tuple([rule for run in runs if run in name for rule in runs[run]])


def _in_order(found: tuple[T, ...]) -> tuple[T, ...]:
    """Rules in their order, each once."""
    return tuple([rule for rule, _ in itertools.groupby(sorted(found))])


def _by_start(by_text: _Filed[T], length: int) -> dict[str, _Filed[T]]:
    """Texts told apart by so many first characters."""
    starts: dict[str, _Filed[T]] = {}
    for text, rules in by_text.items():
        starts.setdefault(text[:length], {})[text] = rules
    return starts


class RuleIndex(Generic[T]):
    """Finds the rules that can match a (type, target) pair.

    Args:
        rules: What stands for each rule, in order: tuples that sort in that order.
        patterns: Of each rule, its type patterns and its target patterns.

    Attributes:
        around: Of a target, the rules that may match whatever the type; there are many tools, and few targets.
        of_type: Adds to those the rules that may match a type, given in one folded form.
    """

    __slots__ = ("_everywhere", "_of_target", "_rules", "around", "of_type")

    def __init__(self, rules: Sequence[T], patterns: Sequence[tuple[Sequence[str], Sequence[str]]]) -> None:
        self._rules = tuple(rules)
        everywhere: list[T] = []
        by_type: list[tuple[str, T]] = []
        by_target: list[tuple[str, T]] = []
        sharing_types = Counter(pattern for types, _ in patterns for pattern in types)
        sharing_targets = Counter(pattern for _, targets in patterns for pattern in targets)
        for rule, (types, targets) in zip(self._rules, patterns, strict=True):
            crowd, other = _crowd(types, sharing_types), _crowd(targets, sharing_targets)
            if crowd == other == math.inf:
                everywhere.append(rule)
            elif crowd <= other:
                by_type += [(pattern, rule) for pattern in types]
            else:
                by_target += [(pattern, rule) for pattern in targets]
        self._everywhere = tuple(everywhere)
        self._of_target = _finder(by_target)
        self.of_type = _finder(by_type)
        self.around: dict[str, tuple[T, ...]] = {}

    def candidates(self, type_name: str, target: str) -> tuple[T, ...]:
        """The rules that may match, in order; a superset of those that do."""
        found = self._around(target)
        forms = _forms(type_name)
        if forms is None:
            return self._rules
        for form in forms:
            found = self.of_type(form, found)
        return found

    def _around(self, target: str) -> tuple[T, ...]:
        """The rules around a target, from now on remembered."""
        around = self.around.get(target)
        if around is not None:
            return around
        forms = _forms(target)
        around = self._rules if forms is None else self._everywhere
        for form in forms or ():
            around = self._of_target(form, around)
        if len(self.around) >= _TARGETS:
            self.around.clear()
        if len(target) <= _TARGETS:
            self.around[target] = around
        return around


def _forms(name: str) -> tuple[str, ...] | None:
    """A name's folded forms; None if folding moves its characters, and no literal part of a pattern can be trusted."""
    forms = folded_forms(name)
    # Without white space around it and with nothing left, a name has no first character to be found by.
    in_place = forms[0] == name.casefold() != "" and (name.isascii() or unicodedata.is_normalized("NFKC", name))
    return forms if in_place else None


def _crowd(patterns: Sequence[str], sharing: Counter[str]) -> float:
    """How many rules would have to be looked at for a name that one of these patterns matches."""
    return max(sharing[pattern] if literals(pattern).run else math.inf for pattern in patterns)
