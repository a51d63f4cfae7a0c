"""How a policy's problems are put into words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["close_to", "shown"]

_LONGEST = 60


def shown(value: object) -> str:
    """A value as a message shows it: short, on one line, in the words of a policy file."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    if isinstance(value, str):
        return ascii(value) if len(value) <= _LONGEST else f"{ascii(value[:_LONGEST])[:-1]}…'"
    if isinstance(value, (int, float)) and abs(value) < 1e60:
        return repr(value)
    return f"a {type(value).__name__}"


def close_to(word: object, known: Iterable[str]) -> str | None:
    """The known word that a word was probably meant to be."""
    if not isinstance(word, str):
        return None
    import difflib  # noqa: PLC0415 - for mistakes only

    close = difflib.get_close_matches(word[:_LONGEST].lower(), list(known), n=1, cutoff=0.65)
    return close[0] if close else None
