"""RE2 patterns: linear in the text whatever the pattern, so that no argument can stall the program."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import re2

from aegis_core.policy.wording import shown

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["compile_regex", "finder"]


_LITERAL = re.compile(r"(?P<start>\^?)(?P<text>[A-Za-z0-9 _/,:;=@#%&~<>\"'!-]+)")


@lru_cache(maxsize=16384)
def compile_regex(pattern: str) -> Any:
    """Compile an RE2 pattern, without capturing groups.

    Raises:
        ValueError: If RE2 refuses it (look-around, back-references, bad syntax), saying why.
    """
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        detail = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    except UnicodeEncodeError:
        detail = "it has a lone surrogate"
    hint = "; RE2 has no look-around and no back-references" if "(?" in pattern or "\\" in pattern else ""
    raise ValueError(f"is not an RE2 pattern: {shown(pattern)}: {detail}{hint}")


def finder(pattern: str) -> Callable[[Any], bool | None]:
    """What tells whether a pattern is found anywhere in a text; None of what is no text, or has a lone surrogate.

    Raises:
        ValueError: As `compile_regex` does.
    """
    compiled = compile_regex(pattern)
    # The wrapper of google-re2 (1.0 to 1.1.20251105) also works out where a match is in characters, for five times the
    # price of the match. test_regex.py holds the ways taken here to the same answers.
    inner: Any = getattr(compiled, "_regexp", None)
    anchor: Any = getattr(getattr(re2, "_Anchor", None), "UNANCHORED", None)
    match: Callable[[Any, bytes, int, int], Any] = (
        _wrapped(compiled) if inner is None or anchor is None else inner.Match
    )

    def find(value: Any) -> bool | None:
        if value.__class__ is not str:
            return None
        try:
            data = value.encode()
        except UnicodeEncodeError:
            return None
        start: int = match(anchor, data, 0, len(data))[0][0]
        return start >= 0

    literal = _LITERAL.fullmatch(pattern)
    return find if literal is None else _literal_finder(literal["text"], find, beginning=bool(literal["start"]))


def _literal_finder(text: str, find: Callable[[Any], bool | None], *, beginning: bool) -> Callable[[Any], bool | None]:
    """The same for a pattern that is nothing but text, or text at the beginning: Python finds it faster."""

    def find_literal(value: Any) -> bool | None:
        if value.__class__ is str and value.isascii():
            return value.startswith(text) if beginning else text in value
        return find(value)

    return find_literal


def _wrapped(compiled: Any) -> Callable[[Any, bytes, int, int], Any]:
    """The same by the public way."""

    def match(_anchor: Any, data: bytes, _start: int, _end: int) -> tuple[tuple[int, int]]:
        found = compiled.search(data)
        return ((-1, -1),) if found is None else (found.span(),)

    return match
