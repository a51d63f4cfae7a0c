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


_TEXT = r"[A-Za-z0-9 _/,:;=@#%&~<>\"'!-]+"
_BEGINNING = re.compile(rf"\^(?P<text>{_TEXT})")
_ANY_OF = re.compile(rf"{_TEXT}(?:\|{_TEXT})*")


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

    if beginning := _BEGINNING.fullmatch(pattern):
        return _beginning_finder(beginning["text"], find)
    return _text_finder(pattern.split("|"), find) if _ANY_OF.fullmatch(pattern) else find


def _beginning_finder(text: str, find: Callable[[Any], bool | None]) -> Callable[[Any], bool | None]:
    """The same for a pattern that is ``^`` and a text: Python finds it faster."""

    def find_beginning(value: Any) -> bool | None:
        return value.startswith(text) if value.__class__ is str and value.isascii() else find(value)

    return find_beginning


def _text_finder(texts: list[str], find: Callable[[Any], bool | None]) -> Callable[[Any], bool | None]:
    """The same for a pattern that is a text or several with ``|`` between."""

    def find_text(value: Any) -> bool | None:
        if value.__class__ is not str or not value.isascii():
            return find(value)
        for text in texts:  # noqa: SIM110 - any() and its generator would cost more than the searches
            if text in value:
                return True
        return False

    return find_text


def _wrapped(compiled: Any) -> Callable[[Any, bytes, int, int], Any]:
    """The same by the public way."""

    def match(_anchor: Any, data: bytes, _start: int, _end: int) -> tuple[tuple[int, int]]:
        found = compiled.search(data)
        return ((-1, -1),) if found is None else (found.span(),)

    return match
