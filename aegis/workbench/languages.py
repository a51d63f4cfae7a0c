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

__all__ = ["UNUSUAL", "Patterns", "TooLarge", "classes", "includes", "is_literal", "meet", "ordinary", "prefix_of"]

Patterns = tuple[str, ...]
"""Alternatives: what any one of them matches."""

MAX_STATES = 3_000
"""Combined states beyond which a question is not answered."""
UNUSUAL = "qzjxw"
"""What stands in an `ordinary` name wherever anything may."""
_WILDCARD = re.compile(r"([*?]|\[!?.[^\]]*\])", re.DOTALL)  # as in aegis_core.policy.globs
_NICE = "xyzabcdefghijklmnopqrstuvw0123456789_-"


class TooLarge(Exception):  # noqa: N818 - not an error: the answer is "unknown"
    """A question has more cases than are looked at."""


class _Automaton(NamedTuple):
    """A glob, read character by character; sets of its states are bits of an int, and state 0 is the beginning.

    Attributes:
        tokens: What must stand at each step: a character, any (None) or the text of a set.
        loops: The states that any character leads back to (a ``*`` stands there).
    """

    tokens: tuple[str | None, ...]
    loops: int


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
    return _Automaton(tuple(tokens), loops)


@lru_cache(maxsize=65536)
def is_literal(pattern: str) -> bool:
    """Whether a pattern matches one name only."""
    return _WILDCARD.search(pattern) is None


@lru_cache(maxsize=65536)
def prefix_of(pattern: str) -> str:
    """What every name that a pattern matches begins with."""
    return _WILDCARD.split(pattern, maxsplit=1)[0]


@lru_cache(maxsize=16384)
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


class _Together:
    """Several patterns read at once: the states of all of them are bits of one int.

    Attributes:
        start: The states at the beginning.
        steps: Per character, the states that it leads on from.
        loops: The states that any character leads back to.
        of: Per pattern its states; the last is the one in which it is read to its end.
        ends: Per pattern that last state.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self.start = self.loops = offset = 0
        self.of: dict[str, int] = {}
        self.ends: dict[str, int] = {}
        able: dict[str, int] = dict.fromkeys(_alphabet(patterns), 0)
        for pattern in patterns:
            automaton = _automaton(pattern)
            size = len(automaton.tokens)
            self.start |= 1 << offset
            self.loops |= automaton.loops << offset
            self.of[pattern] = ((1 << (size + 1)) - 1) << offset
            self.ends[pattern] = 1 << (offset + size)
            for number, token in enumerate(automaton.tokens):
                for character in able:
                    if _allows(token, character):
                        able[character] |= 1 << (offset + number)
            offset += size + 1
        self.steps = tuple(able.items())


def _walk(lists: Sequence[Patterns], within: Patterns) -> Iterator[tuple[frozenset[int], str]]:
    """Every combination of lists that some string matches, some more than once, and the string; shortest first.

    Strings that ``within`` cannot match any more are not followed.
    """
    both = _Together(list(dict.fromkeys(pattern for alternatives in (*lists, within) for pattern in alternatives)))
    ends = [sum(both.ends[pattern] for pattern in set(alternatives)) for alternatives in lists]
    kept = sum(both.of[pattern] for pattern in set(within))
    seen: set[int] = set()  # not the start: nothing read and something read are not the same
    queue: deque[tuple[int, str]] = deque([(both.start, "")])
    while queue:
        states, text = queue.popleft()
        if text:
            yield frozenset(n for n, end in enumerate(ends) if states & end), text
        for character, able in both.steps:
            after = ((states & able) << 1) | (states & both.loops)
            if after in seen or not after & kept:
                continue
            if len(seen) >= MAX_STATES:
                raise TooLarge
            seen.add(after)
            queue.append((after, text + character))


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
def ordinary(pattern: str) -> str:
    """A name that a pattern matches, and others hardly do by chance: something unusual stands wherever anything may."""
    tokens: list[str] = []
    for number, part in enumerate(_WILDCARD.split(pattern)):
        if number % 2 == 0:
            tokens.append(part)
        elif part == "*":
            tokens.append(UNUSUAL)
        elif part == "?":
            tokens.append("q")
        else:
            allowed = [letter for letter in "qzjxwabcdefghiklmnoprstuvy0123456789_-" if _set(part).match(letter)]
            tokens.append(allowed[0] if allowed else "q")
    return "".join(tokens)


@lru_cache(maxsize=65536)
def includes(outer: Patterns, inner: Patterns) -> bool:
    """Whether every name that ``inner`` matches is matched by ``outer``. False where that is not known."""
    if "*" in outer or set(inner) <= set(outer):
        return True
    if all(map(is_literal, inner)):
        return all(_exact(outer, name) for name in inner)
    if all(map(is_literal, outer)):
        return False
    if any(not _exact(outer, ordinary(pattern)) and _exact((pattern,), ordinary(pattern)) for pattern in inner):
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
    pairs = [(one, other) for one in first for other in second if _compatible(one, other)]
    if any(_follow(one, other) or _follow(other, one) for one, other in pairs):
        return True
    try:
        return any(len(matched) == 2 for pair in pairs for matched, _ in _walk([pair[:1], pair[1:]], pair[:1]))
    except TooLarge:
        return True


def _follow(one: str, other: str) -> bool:
    """Whether what matches the one, and behind it what matches the other, is matched by both."""
    return one.endswith("*") and other.startswith("*")


def _compatible(one: str, other: str) -> bool:
    """Whether two patterns' beginnings and endings could be one name's."""
    start, begin = prefix_of(one), prefix_of(other)
    end, finish = _WILDCARD.split(one)[-1], _WILDCARD.split(other)[-1]
    return (start.startswith(begin) or begin.startswith(start)) and (end.endswith(finish) or finish.endswith(end))
