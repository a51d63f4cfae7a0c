"""Texts in which a regular expression is probably found: read roughly, for examples alone."""

from __future__ import annotations

import itertools
import re
from functools import lru_cache

__all__ = ["matching"]

_MOST = 12
_QUANTIFIER = re.compile(r"[*+?]\??|\{(\d+)(?:,\d*)?\}\??")
_GROUP = re.compile(r"\?(?:P?<\w+>|[a-zA-Z-]*:|[a-zA-Z-]+(?=\)))")
_CLASS = re.compile(r"\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]")
_ESCAPES = {"d": "1", "w": "a", "s": " ", "D": "a", "W": " ", "S": "a", "t": "\t", "n": "\n"}
_NOTHING = "bBAzZ"


@lru_cache(maxsize=4096)
def matching(pattern: str) -> tuple[str, ...]:
    """Guesses at texts that a pattern is found in, one for each of its alternatives; some are wrong."""
    try:
        found = _Reader(pattern).alternatives()
    except (IndexError, RecursionError):
        return ()
    ends = [f"{text}x" for text in found] if not pattern.endswith("$") else []
    return tuple(dict.fromkeys([*found, *ends, *(text.lower() for text in found), *(f"x{text}" for text in found)]))


class _Reader:
    """Reads a pattern from the left."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def alternatives(self) -> list[str]:
        """The texts of alternatives up to a closing parenthesis or the end."""
        found = self._sequence()
        while self._at < len(self._pattern) and self._pattern[self._at] == "|":
            self._at += 1
            found += self._sequence()
        return found[: _MOST * 2]

    def _sequence(self) -> list[str]:
        found = [""]
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            options = self._piece()
            found = [one + other for one, other in itertools.product(found, options)][:_MOST]
        return found

    def _piece(self) -> list[str]:
        options = self._atom()
        quantifier = _QUANTIFIER.match(self._pattern, self._at)
        if quantifier is None:
            return options
        self._at = quantifier.end()
        if quantifier[1] is not None:
            return [option * min(int(quantifier[1]), 50) for option in options]
        # The shortest that will do; of what may be there or not, both.
        return ["", *options[:2]] if quantifier[0][0] == "?" else [""] if quantifier[0][0] == "*" else options

    def _atom(self) -> list[str]:
        character = self._pattern[self._at]
        if character == "(":
            return self._group()
        if character == "[" and (found := _CLASS.match(self._pattern, self._at)):
            self._at = found.end()
            return [_member(found[0])]
        self._at += 1
        if character == "\\":
            escaped = self._pattern[self._at]
            self._at += 1
            return ["" if escaped in _NOTHING else _ESCAPES.get(escaped, escaped)]
        return ["" if character in "^$" else "a" if character == "." else character]

    def _group(self) -> list[str]:
        self._at += 1
        if head := _GROUP.match(self._pattern, self._at):
            self._at = head.end()
        found = self.alternatives()
        self._at += 1
        return found or [""]


def _member(text: str) -> str:
    """A character of a class."""
    if text.startswith("[^"):
        return next((c for c in "a1 _-/" if c not in text), "~")
    inner = re.sub(r"\[:\w+:\]", "", text[1:-1])
    if inner.startswith("\\") and len(inner) > 1:
        return _ESCAPES.get(inner[1], inner[1])
    return inner[:1] or " "
