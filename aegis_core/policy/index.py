"""Which rules can concern a name at all, found without walking all of them.

Each rule is filed under one literal part of its type or target pattern: the whole name, a prefix, a suffix, or an inner
run. What comes back is a superset in rule order; the caller still matches every candidate in full. Everything here is
folded, so that a rule which matches only after folding is found too.
"""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING

from aegis_core.policy.globs import literals
from aegis_core.policy.names import fold, folded_forms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["RuleIndex"]

_HEAD = 3
"""Many texts are first told apart by this many characters."""
_FEW = 16
"""Inner runs up to this many are looked for one by one."""
_TARGETS = 1024
"""Targets whose rules are remembered."""


class _Group:
    """Literal beginnings that have their own beginning in common."""

    __slots__ = ("_rules", "_shorter", "_texts")

    def __init__(self, by_text: dict[str, list[int]]) -> None:
        self._texts = sorted(by_text)
        # Per text, the place of the longest other one it begins with. Every text that a name begins with is the last
        # one not sorted after the name or, like everything sorted between the two, a beginning of that one.
        self._shorter: list[int] = []
        self._rules: list[list[int]] = []
        for place, text in enumerate(self._texts):
            shorter = place - 1
            while shorter >= 0 and not text.startswith(self._texts[shorter]):
                shorter = self._shorter[shorter]
            self._shorter.append(shorter)
            self._rules.append(by_text[text] if shorter < 0 else self._rules[shorter] + by_text[text])

    def find(self, name: str) -> Sequence[int]:
        """The rules of all texts the name begins with."""
        place = bisect_right(self._texts, name) - 1
        while place >= 0:
            if name.startswith(self._texts[place]):
                return self._rules[place]
            place = self._shorter[place]
        return ()


class _Runs:
    """Literal runs anywhere in a name."""

    __slots__ = ("_by_head", "_few", "_heads")

    def __init__(self, by_text: dict[str, list[int]]) -> None:
        many = {run: rules for run, rules in by_text.items() if len(run) >= _HEAD and len(by_text) > _FEW}
        self._few = [(run, rules) for run, rules in by_text.items() if run not in many]
        self._by_head = {head: list(group.items()) for head, group in _by_head(many).items()}
        self._heads = frozenset(map(tuple, self._by_head))

    def find(self, name: str, into: list[int]) -> None:
        for run, rules in self._few:
            if run in name:
                into += rules
        # Most names have the head of no run in them, and one pass over their threes of characters tells.
        if self._heads and not self._heads.isdisjoint(zip(name, name[1:], name[2:], strict=False)):
            for start in range(len(name) - _HEAD + 1):
                for run, rules in self._by_head.get(name[start : start + _HEAD], ()):
                    if name.startswith(run, start):
                        into += rules


class _Axis:
    """The index over one kind of name: types, or targets."""

    __slots__ = ("_prefixes", "_runs", "_suffixes", "_whole")

    def __init__(self, filed: Iterable[tuple[str, int]]) -> None:
        self._whole: dict[str, list[int]] = {}
        prefixes: dict[str, list[int]] = {}
        suffixes: dict[str, list[int]] = {}
        runs: dict[str, list[int]] = {}
        for pattern, rule in filed:
            prefix, suffix, run, whole = literals(pattern)
            if whole:
                self._whole.setdefault(run, []).append(rule)
            elif len(prefix) >= max(len(suffix), _HEAD):
                prefixes.setdefault(prefix, []).append(rule)
            elif len(suffix) >= _HEAD:
                suffixes.setdefault(suffix[::-1], []).append(rule)
            else:
                runs.setdefault(run, []).append(rule)
        self._prefixes = {head: _Group(group) for head, group in _by_head(prefixes).items()}
        self._suffixes = {head[::-1]: _Group(group) for head, group in _by_head(suffixes).items()}
        self._runs = _Runs(runs) if runs else None

    def find(self, name: str) -> list[int] | None:
        """The rules that may match a name; None if that cannot be told."""
        folded = name.lower() if name.isascii() else _foldable(name)
        if folded is None or folded.strip() != folded:
            return None
        forms: tuple[str, ...] = (folded,)
        if "__" in folded or "." in folded or ":" in folded or "/" in folded:
            forms = folded_forms(name)
        found: list[int] = []
        for form in forms:
            rules = self._whole.get(form)
            if rules is not None:
                found += rules
            group = self._prefixes.get(form[:_HEAD])
            if group is not None:
                found += group.find(form)
            group = self._suffixes.get(form[-_HEAD:])
            if group is not None:
                found += group.find(form[::-1])
            if self._runs is not None:
                self._runs.find(form, found)
        return found


def _by_head(by_text: dict[str, list[int]]) -> dict[str, dict[str, list[int]]]:
    """Texts told apart by their first characters."""
    heads: dict[str, dict[str, list[int]]] = {}
    for text, rules in by_text.items():
        heads.setdefault(text[:_HEAD], {})[text] = rules
    return heads


class RuleIndex:
    """Finds the rules that can match a (type, target) pair.

    Args:
        rules: Per rule, in order, its type patterns and its target patterns.
    """

    __slots__ = ("_around", "_count", "_everywhere", "_targets", "_types")

    def __init__(self, rules: Sequence[tuple[Sequence[str], Sequence[str]]]) -> None:
        self._count = len(rules)
        self._everywhere: list[int] = []
        by_type: list[tuple[str, int]] = []
        by_target: list[tuple[str, int]] = []
        sharing_types = Counter(pattern for types, _ in rules for pattern in types)
        sharing_targets = Counter(pattern for _, targets in rules for pattern in targets)
        for number, (types, targets) in enumerate(rules):
            crowd, other = _crowd(types, sharing_types), _crowd(targets, sharing_targets)
            if crowd == other == math.inf:
                self._everywhere.append(number)
            elif crowd <= other:
                by_type += [(pattern, number) for pattern in types]
            else:
                by_target += [(pattern, number) for pattern in targets]
        self._types = _Axis(by_type)
        self._targets = _Axis(by_target)
        self._around: dict[str, Sequence[int]] = {}

    def candidates(self, type_name: str, target: str) -> Sequence[int]:
        """Numbers of the rules that may match, in order; a superset of those that do."""
        around = self._around.get(target)
        if around is None:
            around = self._find_around(target)
        found = self._types.find(type_name)
        if found is None:
            return range(self._count)
        if not found:
            return around
        found += around
        return sorted({*found}) if len(found) > 1 else found

    def _find_around(self, target: str) -> Sequence[int]:
        """The rules that may match whatever the type. Remembered: there are many tools, and few targets."""
        found = self._targets.find(target)
        around = range(self._count) if found is None else sorted({*found, *self._everywhere})
        if len(self._around) >= _TARGETS:
            self._around.clear()
        if len(target) <= _TARGETS:
            self._around[target] = around
        return around


def _foldable(name: str) -> str | None:
    """The folded name, if folding keeps each of its characters where it stood; else no literal part can be trusted."""
    folded = fold(name)
    return folded if unicodedata.is_normalized("NFKC", name) and folded == name.casefold() else None


def _crowd(patterns: Sequence[str], sharing: Counter[str]) -> float:
    """How many rules would have to be looked at for a name that one of these patterns matches."""
    return max(sharing[pattern] if literals(pattern).run else math.inf for pattern in patterns)
