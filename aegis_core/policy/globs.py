"""Glob patterns over names, with three answers: matches, does not match, or undecided.

``*`` any characters, ``?`` one character, ``[seq]`` and ``[!seq]`` a set; case-sensitive; the whole name must match.
"""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from aegis_core.policy.names import fold, folded_forms

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Glob", "Literals", "glob_problem", "literals", "match_any", "parse_glob"]

_META = re.compile(r"[*?\[]")
_GLOB_PARTS = re.compile(r"[*?]|\[!?.[^\]]*\]")


class Glob(NamedTuple):
    """A compiled pattern: `exact` is the rule itself, `folded` the same for folded names."""

    pattern: str
    exact: Callable[[str], bool]
    folded: Callable[[str], bool]

    def match(self, name: str) -> bool | None:
        """True on an exact match; None if only the folded or unprefixed name matches; else False."""
        if self.exact(name):
            return True
        return None if any(self.folded(form) for form in folded_forms(name)) else False


def glob_problem(pattern: str) -> str | None:
    """What is wrong with a pattern, or None."""
    if not pattern:
        return "is empty; use '*' to match everything"
    index = 0
    while (index := pattern.find("[", index)) != -1:
        end = pattern.find("]", index + (3 if pattern.startswith("[!", index) else 2))
        if end == -1:
            return f"has a '[' at position {index} that is never closed; write '[[]' for the character itself"
        index = end + 1
    return None


def _matcher(pattern: str) -> Callable[[str], bool]:
    """The cheapest exact matcher for a pattern."""
    if pattern == "*":
        return _everything
    if not _META.search(pattern):
        return pattern.__eq__
    body = pattern.strip("*")
    if body and not _META.search(body):
        if pattern == body + "*":
            return lambda name: name.startswith(body)
        if pattern == "*" + body:
            return lambda name: name.endswith(body)
        if pattern == "*" + body + "*":
            return lambda name: body in name
    # fnmatch's translation is atomic between stars, so it cannot backtrack exponentially.
    found = re.compile(fnmatch.translate(pattern)).match
    return lambda name: found(name) is not None


def _everything(_name: str) -> bool:
    return True


@lru_cache(maxsize=65536)
def parse_glob(pattern: str) -> Glob:
    """Compile a pattern that `glob_problem` found nothing wrong with."""
    exact = _matcher(pattern)
    return Glob(pattern, exact, exact if fold(pattern) == pattern else _folded_matcher(pattern))


def _folded_matcher(pattern: str) -> Callable[[str], bool]:
    if "[" not in pattern:
        return _matcher(fold(pattern))
    # A set folded as text could turn into another set ([Z-a] -> [z-a]); ask the expression to ignore case instead.
    found = re.compile(fnmatch.translate(pattern), re.IGNORECASE).match
    return lambda name: found(name) is not None


def match_any(globs: tuple[Glob, ...], name: str) -> bool | None:
    """Match a list of alternatives: true if one is, else undecided if one is, else false."""
    truth: bool | None = False
    for glob in globs:
        answer = glob.match(name)
        if answer:
            return True
        if answer is None:
            truth = None
    return truth


class Literals(NamedTuple):
    """The folded literal parts of a pattern that any name it matches must contain."""

    prefix: str
    suffix: str
    run: str
    whole: bool


@lru_cache(maxsize=65536)
def literals(pattern: str) -> Literals:
    """The literal prefix, suffix and longest run of a pattern, and whether the pattern is nothing but a literal."""
    folded = fold(pattern)
    if not _META.search(folded):
        return Literals(folded, folded, folded, whole=True)
    runs = _GLOB_PARTS.split(folded)
    return Literals(runs[0], runs[-1], max(runs, key=len), whole=False)
