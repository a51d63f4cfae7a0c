"""Globs as regular languages: whether one includes or meets others, and a name that shows it.

What a pattern matches *exactly* (before folding) is a regular language over characters. The answers here are about all
strings, so "included" and "apart" are proofs; an example is a string the caller must still try on the engine, which
refuses some names outright.
"""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Patterns", "TooLarge", "classes", "includes", "is_literal", "meet", "prefix_of"]

Patterns = tuple[str, ...]
"""Alternatives: what any one of them matches."""

MAX_STATES = 4_000
"""Combined states beyond which a question is not answered."""
_WILDCARD = re.compile(r"([*?]|\[!?.[^\]]*\])", re.DOTALL)  # as in aegis_core.policy.globs
_NICE = "xyzabcdefghijklmnopqrstuvw0123456789_-"


class TooLarge(Exception):  # noqa: N818 - not an error: the answer is "unknown"
    """A question has more cases than are looked at."""


class _Automaton(NamedTuple):
    """A glob, read character by character; sets of its states are bits of an int, and state 0 is the beginning.

    Attributes:
        tokens: What must stand at each step: a character, ``?`` for any (None) or the text of a set.
        loops: The states that any character leads back to (a ``*`` stands there).
        end: The bit of the state in which the whole pattern is read.
    """

    tokens: tuple[str | None, ...]
    loops: int
    end: int

    def step(self, states: int, able: int) -> int:
        """The states after one more character that the tokens in ``able`` allow."""
        return ((states & able) << 1) | (states & self.loops)


@lru_cache(maxsize=65536)
def _automaton(pattern: str) -> _Automaton:
    tokens: list[str | None] = []
    loops = 0
    for number, part in enumerate(_WILDCARD.split(pattern)):
        if number % 2 == 0:
            tokens += part
        elif part == "*":
            loops |= 1 << len(tokens)
        else:
            tokens.append(None if part == "?" else part)
    return _Automaton(tuple(tokens), loops, 1 << len(tokens))


@lru_cache(maxsize=65536)
def is_literal(pattern: str) -> bool:
    """Whether a pattern matches one name only."""
    return _WILDCARD.search(pattern) is None


@lru_cache(maxsize=65536)
def prefix_of(pattern: str) -> str:
    """What every name that a pattern matches begins with."""
    return _WILDCARD.split(pattern, maxsplit=1)[0]


@lru_cache(maxsize=4096)
def _set(text: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(text))


def _allows(token: str | None, character: str) -> bool:
    if token is None:
        return True
    return token == character if len(token) == 1 else _set(token).match(character) is not None


def _alphabet(patterns: Sequence[str]) -> str:
    """One character of every kind that these patterns tell apart."""
    tokens = {token for pattern in patterns for token in _automaton(pattern).tokens if token is not None}
    named = {token for token in tokens if len(token) == 1}
    # Whether a set has a character can change only at the characters in its text, and right behind them.
    edges = {ord(character) + more for token in tokens if len(token) > 1 for character in token for more in (0, 1)}
    borders = [0, *sorted(edges), 0x110000]
    found = dict.fromkeys(sorted(named))
    for low, high in itertools.pairwise(borders):
        rest = next((nice for nice in _NICE if low <= ord(nice) < high and nice not in named), None)
        if rest is None:
            rest = next((chr(code) for code in range(low, min(high, low + 300)) if chr(code) not in named), None)
        if rest is not None:
            found[rest] = None
    return "".join(sorted(found, key=lambda character: (character in named, _NICE.find(character) % 99, character)))


def _walk(lists: Sequence[Patterns], within: Patterns | None) -> Iterator[tuple[frozenset[int], str]]:
    """Every combination of lists that some string matches, some more than once, and the string; shortest first.

    Strings that ``within`` cannot match any more are not followed.
    """
    patterns = list(dict.fromkeys(pattern for alternatives in lists for pattern in alternatives))
    automata = [_automaton(pattern) for pattern in patterns]
    members = [[patterns.index(pattern) for pattern in alternatives] for alternatives in lists]
    kept = None if within is None else [patterns.index(pattern) for pattern in within]
    steps = [(character, [_able(automaton, character) for automaton in automata]) for character in _alphabet(patterns)]
    start = tuple([1] * len(automata))
    seen: set[tuple[int, ...]] = set()  # not the start: nothing read and something read are not the same
    queue: deque[tuple[tuple[int, ...], str]] = deque([(start, "")])
    while queue:
        states, text = queue.popleft()
        if text:
            ends = [bool(mask & automaton.end) for mask, automaton in zip(states, automata, strict=True)]
            yield frozenset(n for n, places in enumerate(members) if any(ends[place] for place in places)), text
        for character, able in steps:
            after = tuple([a.step(s, b) for a, s, b in zip(automata, states, able, strict=True)])
            if after in seen or (kept is not None and not any(after[place] for place in kept)):
                continue
            if len(seen) >= MAX_STATES:
                raise TooLarge
            seen.add(after)
            queue.append((after, text + character))


def _able(automaton: _Automaton, character: str) -> int:
    return sum(1 << n for n, token in enumerate(automaton.tokens) if _allows(token, character))


@lru_cache(maxsize=16384)
def classes(lists: tuple[Patterns, ...], within: Patterns) -> tuple[tuple[frozenset[int], str], ...]:
    """Every combination of ``lists`` that names matched by ``within`` match, each with such a name.

    Raises:
        TooLarge: If there are too many cases.
    """
    if all(map(is_literal, within)):
        named: dict[frozenset[int], str] = {}
        for name in within:
            named.setdefault(frozenset(n for n, other in enumerate(lists) if _exact(other, name)), name)
        return tuple(named.items())
    found: dict[frozenset[int], str] = {}
    for matched, name in _walk((*lists, within), within):
        if len(lists) in matched:
            found.setdefault(matched - {len(lists)}, name)
    return tuple(found.items())


def _exact(patterns: Patterns, name: str) -> bool:
    for pattern in patterns:
        if is_literal(pattern):
            if pattern == name:
                return True
        elif _set(pattern).match(name) is not None:
            return True
    return False


@lru_cache(maxsize=65536)
def includes(outer: Patterns, inner: Patterns) -> bool:
    """Whether every name that ``inner`` matches is matched by ``outer``. False where that is not known."""
    if "*" in outer or set(inner) <= set(outer):
        return True
    if all(map(is_literal, inner)):
        return all(_exact(outer, name) for name in inner)
    if all(map(is_literal, outer)):
        return False
    try:
        return all(0 in matched for matched, _ in classes((outer,), inner))
    except TooLarge:
        return False


@lru_cache(maxsize=65536)
def meet(first: Patterns, second: Patterns) -> bool:
    """Whether some name is matched by both. True where that is not known."""
    if "*" in first or "*" in second:
        return True
    for one, other in ((first, second), (second, first)):
        if all(map(is_literal, one)):
            return any(_exact(other, name) for name in one)
    if not any(_compatible(one, other) for one in first for other in second):
        return False
    try:
        return any(0 in matched for matched, _ in classes((first,), second))
    except TooLarge:
        return True


def _compatible(one: str, other: str) -> bool:
    """Whether two patterns' beginnings and endings could be one name's."""
    start, begin = prefix_of(one), prefix_of(other)
    end, finish = _WILDCARD.split(one)[-1], _WILDCARD.split(other)[-1]
    return (start.startswith(begin) or begin.startswith(start)) and (end.endswith(finish) or finish.endswith(end))
