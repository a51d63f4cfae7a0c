"""Glob patterns over names, with three answers: matches, does not match, or undecided.

``*`` any characters, ``?`` one character, ``[seq]`` and ``[!seq]`` a set; case-sensitive; the whole name must match.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from aegis_core.policy.names import fold_text, folded_forms

__all__ = ["Glob", "Literals", "glob_problem", "literal_parts", "literals", "match_any", "parse_glob"]

_META = re.compile(r"([*?[])")
_WILDCARD = re.compile(r"([*?]|\[!?.[^\]]*\])", re.DOTALL)


Test = Callable[[str, Any], bool]
"""Whether a name passes, given what the test compares it with."""


class Glob(NamedTuple):
    """A compiled pattern.

    Attributes:
        pattern: As the policy has it.
        test: The pattern holds for a name exactly if ``test(name, operand)``.
        operand: What the test compares with.
        folded: Whether it holds for a folded name.
    """

    pattern: str
    test: Test
    operand: Any
    folded: Callable[[str], bool]

    def exact(self, name: str) -> bool:
        """Whether it holds for a name as it is."""
        return self.test(name, self.operand)


def match_any(globs: tuple[Glob, ...], name: str) -> bool | None:
    """Match a list of alternatives: true if one is, else undecided if one is, else false."""
    if any(glob.exact(name) for glob in globs):
        return True
    forms = folded_forms(name)
    return None if any(glob.folded(form) for glob in globs for form in forms) else False


def glob_problem(pattern: str) -> str | None:
    """What is wrong with a pattern, or None."""
    if not pattern:
        return "is empty; use '*' to match everything"
    index = 0
    while (index := pattern.find("[", index)) != -1:
        end = pattern.find("]", index + (3 if pattern.startswith("[!", index) else 2))
        if end == -1:
            return f"has a '[' at position {index + 1} that is never closed; write '[[]' for the character itself"
        index = end + 1
    return None


@lru_cache(maxsize=65536)
def parse_glob(pattern: str) -> Glob:
    """Compile a pattern that `glob_problem` found nothing wrong with."""
    test, operand = _compile(pattern)
    # A set folded as text could turn into another set ([Z-a] -> [z-a]); the expression ignores case instead.
    folded_test, folded_operand = _compile(_folded_pattern(pattern), re.IGNORECASE)

    def folded(name: str) -> bool:
        return folded_test(name, folded_operand)

    return Glob(pattern, test, operand, folded)


def _compile(pattern: str, flags: int = 0) -> tuple[Test, Any]:
    """The cheapest test for a pattern, and what it compares with."""
    match _WILDCARD.split(pattern):
        case [whole]:
            return operator.eq, whole
        case [start, "*", ""]:
            return str.startswith, start
        case ["", "*", end]:
            return str.endswith, end
        case ["", "*", inner, "*", ""]:
            return operator.contains, inner
        case _:
            # fnmatch's translation is atomic between stars, so it cannot backtrack exponentially.
            return _matches, re.compile(fnmatch.translate(pattern), flags)


def _matches(name: str, expression: re.Pattern[str]) -> bool:
    return expression.match(name) is not None


def _folded_pattern(pattern: str) -> str:
    """The pattern that folded names are matched with: literal parts folded, sets left to the expression."""
    parts = _WILDCARD.split(pattern)
    # Folding turns a full-width asterisk into a plain one, which must stay a literal.
    parts[::2] = [_META.sub(r"[\1]", run) for run in _folded_runs(parts)]
    # What a set of other letters means for folded names is anybody's guess: any letter will do.
    parts[1::2] = [part if part.isascii() else "?" for part in parts[1::2]]
    return "".join(parts)


def _folded_runs(parts: list[str]) -> list[str]:
    """The literal parts of a split pattern, folded; white space inside the pattern stays."""
    runs = [fold_text(part) for part in parts[::2]]
    runs[0] = runs[0].lstrip()
    runs[-1] = runs[-1].rstrip()
    return runs


class Literals(NamedTuple):
    """The folded literal parts of a pattern that any name it matches must contain."""

    prefix: str
    suffix: str
    run: str
    whole: bool


@lru_cache(maxsize=65536)
def literals(pattern: str) -> Literals:
    """The literal prefix, suffix and longest run of a pattern, and whether the pattern is nothing but a literal."""
    runs = _folded_runs(_WILDCARD.split(pattern))
    return Literals(runs[0], runs[-1], max(runs, key=len), whole=len(runs) == 1)


def literal_parts(pattern: str) -> str:
    """What a pattern says literally, wildcards and sets left out."""
    return "".join(_WILDCARD.split(pattern)[::2])
