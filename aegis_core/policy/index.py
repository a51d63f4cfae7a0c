"""Which rules can concern a name at all, found without walking all of them.

Each rule is filed under one literal part of its type or target pattern: the whole name, a prefix, a suffix, or an inner
run. What comes back is a superset in rule order; the caller still matches every candidate in full. Lookups use folded names, so a
rule that matches only after folding is found too.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from aegis_core.policy.globs import literals
from aegis_core.policy.names import folded_forms

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RuleIndex"]

_FEW = 16  # Inner runs up to this many are simply looked for.
_HEAD = 3  # Prefixes and suffixes are first told apart by this many characters.


class _Affixes:
    """Prefixes (or, of reversed names, suffixes) of a name, found with one lookup per length that occurs."""

    __slots__ = ("_by_text", "_lengths", "_short")

    def __init__(self) -> None:
        self._by_text: dict[str, list[int]] = {}
        self._lengths: dict[str, tuple[int, ...]] = {}
        self._short: tuple[int, ...] = ()

    def add(self, text: str, rule: int) -> None:
        self._by_text.setdefault(text, []).append(rule)
        size = len(text)
        if size < _HEAD:
            self._short = tuple(sorted({*self._short, size}))
        else:
            known = self._lengths.get(text[:_HEAD], ())
            if size not in known:
                self._lengths[text[:_HEAD]] = (*known, size)

    def find(self, name: str, into: list[int]) -> None:
        by_text = self._by_text
        for size in self._lengths.get(name[:_HEAD], self._short):
            rules = by_text.get(name[:size])
            if rules:
                into += rules

    def settle(self) -> None:
        """Let every list of lengths include the short ones, so that one loop serves a lookup."""
        self._lengths = {head: (*self._short, *sizes) for head, sizes in self._lengths.items()}


class _Inner:
    """Literal runs somewhere inside a name, told apart by their first three characters."""

    __slots__ = ("_by_head", "_heads", "_short")

    def __init__(self) -> None:
        self._by_head: dict[str, list[tuple[str, int]]] = {}
        self._heads: frozenset[tuple[str, ...]] = frozenset()
        self._short: list[tuple[str, int]] = []

    def add(self, text: str, rule: int) -> None:
        if len(text) < _HEAD:
            self._short.append((text, rule))
        else:
            self._by_head.setdefault(text[:_HEAD], []).append((text, rule))

    def find(self, name: str, into: list[int]) -> None:
        for text, rule in self._short:
            if text in name:
                into.append(rule)
        if not self._heads.isdisjoint(zip(name, name[1:], name[2:])):  # noqa: B905 - runs of three, to the end
            by_head = self._by_head
            for start in range(len(name) - _HEAD + 1):
                for text, rule in by_head.get(name[start : start + _HEAD], ()):
                    if name.startswith(text, start):
                        into.append(rule)

    def settle(self) -> None:
        """A few runs are looked for one by one; many by their heads."""
        if sum(map(len, self._by_head.values())) <= _FEW:
            self._short += [run for runs in self._by_head.values() for run in runs]
            self._by_head = {}
        self._heads = frozenset(map(tuple, self._by_head))


class _Axis:
    """The index over one kind of name."""

    __slots__ = ("_inner", "_prefixes", "_suffixes", "_whole")

    def __init__(self) -> None:
        self._whole: dict[str, list[int]] = {}
        self._prefixes: _Affixes | None = None
        self._suffixes: _Affixes | None = None
        self._inner: _Inner | None = None

    def add(self, pattern: str, rule: int) -> None:
        prefix, suffix, run, whole = literals(pattern)
        if whole:
            self._whole.setdefault(run, []).append(rule)
        elif prefix and len(prefix) >= len(suffix):
            self._prefixes = self._prefixes or _Affixes()
            self._prefixes.add(prefix, rule)
        elif suffix:
            self._suffixes = self._suffixes or _Affixes()
            self._suffixes.add(suffix[::-1], rule)
        else:
            self._inner = self._inner or _Inner()
            self._inner.add(run, rule)

    def settle(self) -> None:
        """Called once when everything has been added."""
        for part in (self._prefixes, self._suffixes, self._inner):
            if part is not None:
                part.settle()

    def find(self, folded: str, into: list[int]) -> None:
        rules = self._whole.get(folded)
        if rules:
            into += rules
        if self._prefixes is not None:
            self._prefixes.find(folded, into)
        if self._suffixes is not None:
            self._suffixes.find(folded[::-1], into)
        if self._inner is not None:
            self._inner.find(folded, into)


def _crowding(patterns: Sequence[str], sharing: Counter[str]) -> float:
    """How many rules would have to be looked at for a name that one of these patterns matches."""
    return max(math.inf if not literals(pattern).run else sharing[pattern] for pattern in patterns)


class RuleIndex:
    """Finds the rules that can match a (type, target) pair.

    Args:
        rules: Per rule, in order, its type patterns and its target patterns.
    """

    __slots__ = ("_count", "_everywhere", "_targets", "_types")

    def __init__(self, rules: Sequence[tuple[Sequence[str], Sequence[str]]]) -> None:
        self._count = len(rules)
        self._types: _Axis | None = None
        self._targets: _Axis | None = None
        everywhere: list[int] = []
        sharing_types = Counter(pattern for types, _ in rules for pattern in types)
        sharing_targets = Counter(pattern for _, targets in rules for pattern in targets)
        for number, (types, targets) in enumerate(rules):
            by_type = _crowding(types, sharing_types)
            by_target = _crowding(targets, sharing_targets)
            if by_type == by_target == math.inf:
                everywhere.append(number)
            elif by_type <= by_target:
                self._types = self._types or _Axis()
                for pattern in types:
                    self._types.add(pattern, number)
            else:
                self._targets = self._targets or _Axis()
                for pattern in targets:
                    self._targets.add(pattern, number)
        self._everywhere = everywhere
        for axis in (self._types, self._targets):
            if axis is not None:
                axis.settle()

    def candidates(self, type_name: str, target: str) -> Sequence[int]:
        """Numbers of the rules that may match, in order; a superset of those that do."""
        found: list[int] = []
        for axis, name in ((self._types, type_name), (self._targets, target)):
            if axis is None:
                continue
            if " " in name or not name.isascii():
                # Folding does not keep the prefixes of such names (combining marks, outer white space); rare enough to
                # look at every rule.
                return range(self._count)
            folded = name.lower()
            axis.find(folded, found)
            if "__" in folded or "." in folded or ":" in folded or "/" in folded:
                for form in folded_forms(folded)[1:]:
                    axis.find(form, found)
        if not self._everywhere:
            return found if len(found) < 2 else sorted({*found})  # noqa: PLR2004
        return sorted({*found, *self._everywhere}) if found else self._everywhere
