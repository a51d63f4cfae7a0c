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
from typing import TYPE_CHECKING, Any, Generic, TypeVar

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


class _Chain(Generic[T]):
    """Literal beginnings, sorted; of each, the place of the longest other one it begins with, and the rules of both.

    Every text that a name begins with is the last one not sorted after the name or, like everything sorted between the
    two, a beginning of that one. In tuples, for whose items no other place in memory must be looked up.
    """

    __slots__ = ("_rules", "_shorter", "_texts")

    def __init__(self, by_text: _Filed[T]) -> None:
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
        self._texts, self._shorter, self._rules = tuple(texts), tuple(places), tuple(rules)

    def find(self, name: str) -> tuple[T, ...]:
        """The rules of all texts the name begins with."""
        place = bisect_right(self._texts, name) - 1
        while place >= 0:
            if name.startswith(self._texts[place]):
                return self._rules[place]
            place = self._shorter[place]
        return ()


_Starts = dict[str, tuple[int, dict[str, _Chain[T]]]]
"""Beginnings told apart by their first character, then by as many characters as all of those have."""


def _starts(by_text: _Filed[T], step: int = 1) -> _Starts[T] | None:
    """Beginnings made easy to find; or, with a ``step`` of -1, reversed endings: then what tells them apart is not."""
    starts: _Starts[T] = {}
    for first, texts in _by_start(by_text, 1).items():
        length = min(map(len, texts))
        starts[first] = length, {start[::step]: _Chain(group) for start, group in _by_start(texts, length).items()}
    return starts or None


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


def _finder(filed: Iterable[tuple[str, T]]) -> Callable[[str], tuple[T, ...]]:
    """The index over one kind of name, types or targets: what finds the rules that may match a name's folded form.

    A closure, because a look-up is nearly all it does, and attributes cost look-ups of their own.
    """
    whole_names: _Filed[T] = {}
    beginnings: _Filed[T] = {}
    endings: _Filed[T] = {}
    runs: _Filed[T] = {}
    for pattern, rule in filed:
        prefix, suffix, run, whole = literals(pattern)
        if whole:
            whole_names.setdefault(run, []).append(rule)
        elif len(prefix) >= max(len(suffix), _HEAD):
            beginnings.setdefault(prefix, []).append(rule)
        elif len(suffix) >= _HEAD:
            endings.setdefault(suffix[::-1], []).append(rule)
        else:
            runs.setdefault(run, []).append(rule)
    of_whole = {name: tuple(rules) for name, rules in whole_names.items()}.get
    prefixes = _starts(beginnings)
    suffixes = _starts(endings, -1)
    many = {run: rules for run, rules in runs.items() if len(run) >= _HEAD and len(runs) > _FEW}
    few = {run: rules for run, rules in runs.items() if run not in many}
    of_many = _Runs(many).find if many else None
    any_of_few = re.compile("|".join(map(re.escape, few))).search if few else None

    def find(folded: str) -> tuple[T, ...]:
        found = of_whole(folded, ())
        if prefixes is not None and (group := prefixes.get(folded[:1])) is not None:
            length, chains = group
            if (chain := chains.get(folded[:length])) is not None:
                found += chain.find(folded)
        if suffixes is not None and (group := suffixes.get(folded[-1:])) is not None:
            length, chains = group
            if (chain := chains.get(folded[-length:])) is not None:
                found += chain.find(folded[::-1])
        if any_of_few is not None and any_of_few(folded) is not None:
            found += tuple(rule for run in few if run in folded for rule in few[run])
        return found if of_many is None else found + of_many(folded)

    return find


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
    """

    __slots__ = ("_around", "_everywhere", "_of_target", "_of_type", "_repeating", "_rules")

    def __init__(self, rules: Sequence[T], patterns: Sequence[tuple[Sequence[str], Sequence[str]]]) -> None:
        self._rules = tuple(rules)
        self._everywhere: list[T] = []
        by_type: list[tuple[str, T]] = []
        by_target: list[tuple[str, T]] = []
        sharing_types = Counter(pattern for types, _ in patterns for pattern in types)
        sharing_targets = Counter(pattern for _, targets in patterns for pattern in targets)
        for rule, (types, targets) in zip(self._rules, patterns, strict=True):
            crowd, other = _crowd(types, sharing_types), _crowd(targets, sharing_targets)
            if crowd == other == math.inf:
                self._everywhere.append(rule)
            elif crowd <= other:
                by_type += [(pattern, rule) for pattern in types]
            else:
                by_target += [(pattern, rule) for pattern in targets]
        self._of_type = _finder(by_type)
        self._of_target = _finder(by_target)
        self._repeating = len(by_type) + len(by_target) + len(self._everywhere) > len(self._rules)
        self._around: dict[str, Sequence[T]] = {}

    def candidates(self, type_name: str, target: str, plain: str | None = None) -> Sequence[T]:
        """The rules that may match, in order; a superset of those that do. ``plain`` is the type, if it `is_plain`."""
        around = self._around.get(target)
        if around is None:
            around = self._find_around(target)
        if plain is not None:
            found = self._of_type(plain)
        elif (forms := _forms(type_name)) is None:
            return self._rules
        else:
            found = tuple(rule for form in forms for rule in self._of_type(form))
        if not found:
            return around
        if not around and len(found) == 1:
            return found
        return self._in_order([*found, *around], once=plain is not None and not self._repeating)

    def _find_around(self, target: str) -> Sequence[T]:
        """The rules that may match whatever the type. Remembered: there are many tools, and few targets."""
        around: Sequence[T] = self._rules
        if (forms := _forms(target)) is not None:
            found = [rule for form in forms for rule in self._of_target(form)]
            around = self._in_order(found + self._everywhere, once=False)
        if len(self._around) >= _TARGETS:
            self._around.clear()
        if len(target) <= _TARGETS:
            self._around[target] = around
        return around

    @staticmethod
    def _in_order(found: list[T], *, once: bool) -> list[T]:
        """Rules in their order, each once."""
        found.sort()
        return found if once else [rule for rule, _ in itertools.groupby(found)]


def _forms(name: str) -> tuple[str, ...] | None:
    """A name's folded forms; None if folding moves its characters, and no literal part of a pattern can be trusted."""
    forms = folded_forms(name)
    in_place = forms[0] == name.casefold() and (name.isascii() or unicodedata.is_normalized("NFKC", name))
    return forms if in_place else None


def _crowd(patterns: Sequence[str], sharing: Counter[str]) -> float:
    """How many rules would have to be looked at for a name that one of these patterns matches."""
    return max(sharing[pattern] if literals(pattern).run else math.inf for pattern in patterns)
