"""Names of tools, targets, agents and users: which are refused outright, and which only *look* like a pattern's.

A server chooses its tools' names, so a name is hostile input: ``Delete_File``, a full-width or Cyrillic look-alike, or
``filesystem__delete_file`` must not slip past a rule for ``delete_file``.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["LONGEST", "fold", "fold_text", "folded_forms", "refusal"]

LONGEST = 256
"""Characters of a name beyond which nothing is remembered for it."""
_SEPARATOR_END = re.compile("[.:/]|(?<=_)_")
_PREFIXES = 8
"""Parts of a name that are looked at from either end: a target may be an address with thousands of separators."""
# Default-ignorable code points whose category is not Cf: they render as nothing.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_CATEGORIES = {
    "Cc": "a control character",
    "Cf": "an invisible or bidirectional formatting character",
    "Cs": "a lone surrogate",
    "Co": "a private-use character",
    "Cn": "an unassigned character",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
_LOOKALIKE_SCRIPTS = ("CYRILLIC", "GREEK")


def fold(name: str) -> str:
    """The form under which look-alike spellings coincide: NFKC, case-folded, no surrounding white space."""
    return fold_text(name).strip()


def fold_text(text: str) -> str:
    """`fold` for a part of a name or pattern: white space stays."""
    if text.isascii():
        lowered = text.lower()
        return text if text == lowered else lowered  # the same object wherever it can be: fewer places to look at
    # NFKC after casefold again: folding can produce decomposable characters.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def folded_forms(name: str) -> tuple[str, ...]:
    """The folded name and what is left of it without what gateways may have put before it.

    A gateway's prefix ends in ``__``, ``.``, ``:`` or ``/``. Gateways stand behind gateways (``mcp__fs__delete_file``),
    and a tool's own name may have a separator in it (``github__issues.create``), so every part after one counts.
    """
    folded = fold(name)
    cuts = [separator.end() for separator in _SEPARATOR_END.finditer(folded)]
    if len(cuts) > 2 * _PREFIXES:
        cuts[_PREFIXES:-_PREFIXES] = []
    return (folded, *filter(None, (folded[cut:].strip() for cut in cuts)))


def refusal(name: str) -> str | None:
    """Why a name is refused before any rule is asked, or None if it is a name like any other."""
    if not name:
        return "is empty"
    if name.isascii():
        return None if name.isprintable() else "contains a control character"
    for character in name:
        kind = _CATEGORIES.get(unicodedata.category(character))
        if kind is None and _INVISIBLE.match(character):
            kind = "an invisible character"
        if kind is not None:
            return f"contains {kind} (U+{ord(character):04X})"
    # Full-width and mathematical letters are letters of their script in disguise: NFKC takes it off.
    letters = filter(str.isalpha, unicodedata.normalize("NFKC", name))
    scripts = {unicodedata.name(letter, "").split(" ", 1)[0] for letter in letters}
    for script in _LOOKALIKE_SCRIPTS:
        if script in scripts and "LATIN" in scripts:
            return f"mixes Latin and {script.title()} letters"
    return None
