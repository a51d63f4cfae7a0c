"""Text for people's eyes: nothing invisible stays invisible, nothing steers the terminal."""

from __future__ import annotations

import unicodedata

__all__ = ["visible"]

_ESCAPED_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
# Default-ignorable code points of other categories: they render as nothing.
_INVISIBLE = frozenset((0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0)).union(
    range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e", "\x00": "\\0"}


def visible(text: str) -> str:
    """``text`` with every control, bidirectional, invisible, unassigned or surrogate character written as an escape.

    Line breaks are escaped too: what is shown as one line is one line. Backslashes stay as they are, so the result is
    for reading, not for parsing back.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if unicodedata.category(character) in _ESCAPED_CATEGORIES or code in _INVISIBLE:
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return character
