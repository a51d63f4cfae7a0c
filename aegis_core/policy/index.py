"""Which rules can concern a name at all, found without walking all of them.

Each rule is filed under one literal part of its type or target pattern: the whole name, a prefix, a suffix, or an inner
run. What comes back is a superset in rule order; the caller still matches every candidate in full. Everything here is
folded, so that a rule which matches only after folding is found too.
"""

from __future__ import annotations

import itertools
import math
import unicodedata
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aegis_core.policy.globs import literals
from aegis_core.policy.names import folded_forms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["RuleIndex"]

T = TypeVar("T", bound=tuple[Any, ...])
_Filed = dict[str, list[T]]
"""Rules by the literal part they are filed under."""

_HEAD = 3
"""Many texts are first told apart by this many characters."""
_FEW = 16
"""Inner runs up to this many are looked for one by one."""
_TARGETS = 1024
"""Targets whose rules are remembered."""


class _Group(Generic[T]):
    """Literal beginnings that have their own beginning in common."""

    __slots__ = ("_rules", "_shorter", "_texts")

    def __init__(self, by_text: _Filed[T]) -> None:
        self._texts = sorted(by_text)
        # Per text, the place of the longest other one it begins with. Every text that a name begins with is the last
        # one not sorted after the name or, like everything sorted between the two, a beginning of that one.
        self._shorter: list[int] = []
        self._rules: list[tuple[T, ...]] = []
        for place, text in enumerate(self._texts):
            shorter = place - 1
            while shorter >= 0 and not text.startswith(self._texts[shorter]):
                shorter = self._shorter[shorter]
            self._shorter.append(shorter)
            longer = self._rules[shorter] if shorter >= 0 else ()
            self._rules.append((*longer, *by_text[text]))

    def find(self, name: str) -> Sequence[T]:
        """The rules of all texts the name begins with."""
        place = bisect_right(self._texts, name) - 1
        while place >= 0:
            if name.startswith(self._texts[place]):
                return self._rules[place]
            place = self._shorter[place]
        return ()


class _Runs(Generic[T]):
    """Literal runs anywhere in a name."""

    __slots__ = ("_by_head", "_few", "_heads", "_many")

    def __init__(self, by_text: _Filed[T]) -> None:
        self._many = {run: rules for run, rules in by_text.items() if len(run) >= _HEAD and len(by_text) > _FEW}
        self._few = {run: rules for run, rules in by_text.items() if run not in self._many}
        self._by_head = {head: list(group) for head, group in _by_head(self._many).items()}
        self._heads = frozenset(map(tuple, self._by_head))

    def find(self, name: str, into: list[T]) -> None:
        """Add the rules of all runs that are in the name."""
        for run in self._few:
            if run in name:
                into += self._few[run]
        # Most names have the head of no run in them, and one pass over their threes of characters tells.
        if self._heads and not self._heads.isdisjoint(zip(name, name[1:], name[2:], strict=False)):
            heads = {name[start : start + _HEAD] for start in range(len(name) - _HEAD + 1)}
            for head in heads & self._by_head.keys():
                for run in self._by_head[head]:
                    if run in name:
                        into += self._many[run]


class _Axis(Generic[T]):
    """The index over one kind of name: types, or targets."""

    __slots__ = ("_prefixes", "_runs", "_suffixes", "_whole")

    def __init__(self, filed: Iterable[tuple[str, T]]) -> None:
        whole_names: _Filed[T] = {}
        prefixes: _Filed[T] = {}
        suffixes: _Filed[T] = {}
        runs: _Filed[T] = {}
        for pattern, rule in filed:
            prefix, suffix, run, whole = literals(pattern)
            if whole:
                whole_names.setdefault(run, []).append(rule)
            elif len(prefix) >= max(len(suffix), _HEAD):
                prefixes.setdefault(prefix, []).append(rule)
            elif len(suffix) >= _HEAD:
                suffixes.setdefault(suffix[::-1], []).append(rule)
            else:
                runs.setdefault(run, []).append(rule)
        self._whole = {name: tuple(rules) for name, rules in whole_names.items()}
        self._prefixes = {head: _Group(group) for head, group in _by_head(prefixes).items()}
        self._suffixes = {head[::-1]: _Group(group) for head, group in _by_head(suffixes).items()}
        self._runs = _Runs(runs) if runs else None

    def find(self, folded: str) -> list[T]:
        """The rules that may match a name with this folded form."""
        found: list[T] = []
        rules = self._whole.get(folded)
        if rules is not None:
            found += rules
        group = self._prefixes.get(folded[:_HEAD])
        if group is not None:
            found += group.find(folded)
        group = self._suffixes.get(folded[-_HEAD:])
        if group is not None:
            found += group.find(folded[::-1])
        if self._runs is not None:
            self._runs.find(folded, found)
        return found


def _by_head(by_text: _Filed[T]) -> dict[str, _Filed[T]]:
    """Texts told apart by their first characters."""
    heads: dict[str, _Filed[T]] = {}
    for text, rules in by_text.items():
        heads.setdefault(text[:_HEAD], {})[text] = rules
    return heads


class RuleIndex(Generic[T]):
    """Finds the rules that can match a (type, target) pair.

    Args:
        rules: What stands for each rule, in order: tuples that sort in that order.
        patterns: Of each rule, its type patterns and its target patterns.
    """

    __slots__ = ("_around", "_everywhere", "_repeating", "_rules", "_targets", "_types")

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
        self._types = _Axis(by_type)
        self._targets = _Axis(by_target)
        self._repeating = len(by_type) + len(by_target) + len(self._everywhere) > len(self._rules)
        self._around: dict[str, Sequence[T]] = {}

    def candidates(self, type_name: str, target: str, *, plain: bool = False) -> Sequence[T]:
        """The rules that may match, in order; a superset of those that do. ``plain`` says that the type `is_plain`."""
        around = self._around.get(target)
        if around is None:
            around = self._find_around(target)
        if plain:
            found = self._types.find(type_name)
        elif (forms := _forms(type_name)) is None:
            return self._rules
        else:
            found = [rule for form in forms for rule in self._types.find(form)]
        if not found:
            return around
        found += around
        return self._in_order(found, once=plain and not self._repeating) if len(found) > 1 else found

    def _find_around(self, target: str) -> Sequence[T]:
        """The rules that may match whatever the type. Remembered: there are many tools, and few targets."""
        around: Sequence[T] = self._rules
        if (forms := _forms(target)) is not None:
            found = [rule for form in forms for rule in self._targets.find(form)]
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
