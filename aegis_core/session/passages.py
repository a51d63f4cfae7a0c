"""Texts that a value may have come from, indexed so that asking costs the same however much has been said.

A value counts as found where it stands in a text as a whole: ``bob@example.com`` is in ``write to bob@example.com.``
but not in ``notbob@example.com`` or ``bob@example.com.evil.org``. Case, Unicode compatibility forms and white space
make no difference.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from aegis_core.policy.names import fold

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

__all__ = ["LONGEST_VALUE", "SHORTEST_VALUE", "Passages", "Value", "words"]

SHORTEST_VALUE = 4
"""Letters and digits below which a value identifies nothing: ``50`` or ``all`` stands in many texts by chance."""
LONGEST_VALUE = 4_096
"""Characters beyond which a value is not looked for."""
MAX_PLACES = 256
"""Places of a value's rarest word that are looked at. A value made of nothing but more frequent words is undecided."""

_BREAKS = frozenset("\n\0 \"'`(){}[]<>,;|“”„‟‘’‚‛«»‹›–—…、。「」『』【】《》〈〉·•")  # noqa: RUF001 - quotes of many languages
_OPENING_TEXT, _CLOSING_TEXT = "#@*_~$€£¥", ".:!?*_~/%"
_OPENING, _CLOSING = frozenset(_OPENING_TEXT), frozenset(_CLOSING_TEXT)
_MAX_ORNAMENTS = 8  # of those, in a row, beside a value
_SPACELESS = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"  # scripts that a name stands in without spaces
)
_NO_BREAK = f"[^{re.escape(''.join(sorted(_BREAKS)))}{_SPACELESS}]"


@functools.cache  # compiled when it is needed: it takes longer than importing all that a session is made of
def _word() -> re.Pattern[str]:
    return re.compile(f"{_NO_BREAK}+(?:(?<=[0-9]),(?=[0-9]){_NO_BREAK}+)*|[{_SPACELESS}]+")


@functools.cache  # likewise
def _spaceless() -> re.Pattern[str]:
    return re.compile(f"[{_SPACELESS}]")


def normal(text: str) -> str:
    """The form in which texts and values are compared."""
    return " ".join(fold(text).split())


def words(text: str) -> Iterator[tuple[int, str]]:
    """The words of a text in `normal` form, without the punctuation around them, and where each begins."""
    for match in _word().finditer(text):
        word = match[0]
        begin = match.start()
        if word[0] in _OPENING:
            word = word.lstrip(_OPENING_TEXT)
            begin = match.end() - len(word)
        if word and word[-1] in _CLOSING:
            word = word.rstrip(_CLOSING_TEXT)
        if word:
            yield begin, word


class Value:
    """A value that is looked for.

    Attributes:
        text: Its `normal` form.
        words: Its words, and where each begins.
        problem: Why it cannot be looked for, or None.
    """

    __slots__ = ("problem", "text", "words")

    def __init__(self, value: str) -> None:
        self.text = ""
        self.words: tuple[tuple[int, str], ...] = ()
        self.problem: str | None = None
        if len(value) > LONGEST_VALUE:
            self.problem = f"it is longer than {LONGEST_VALUE} characters"
            return
        self.text = normal(value)
        if self.text[:1] in ("#", "@"):  # #general and @alice name what general and alice name
            self.text = self.text[1:]
        self.words = tuple(words(self.text))
        if "\0" in self.text:  # stands for what was left out
            self.problem = "it contains a NUL character"
        elif not self.words or sum(map(str.isalnum, self.text)) < SHORTEST_VALUE:
            self.problem = "it is too short to identify anything"


class Passages:
    """Texts of one origin. Grows only; asking looks at no more than `MAX_PLACES` places."""

    __slots__ = ("_places", "_text")

    def __init__(self) -> None:
        self._text = ""
        self._places: dict[str, list[int]] = {}

    @property
    def size(self) -> int:
        """Characters held."""
        return len(self._text)

    def add(self, texts: Iterable[str], *, without: Collection[str] = ()) -> int:
        """Add texts in `normal` form; returns how many characters more are held now.

        Args:
            texts: The texts. Nothing is found across two of them.
            without: Words that are left out, so that nothing which contains one is found.
        """
        added = "\n".join(texts)
        if without:
            added = _word().sub(
                lambda match: "\0" if any(w in without for _, w in words(match[0])) else match[0], added
            )
        offset = len(self._text) + 1
        self._text = f"{self._text}\n{added}"
        places = self._places
        for begin, word in words(added):
            known = places.get(word)
            if known is None:
                places[word] = [offset + begin]
            else:
                known.append(offset + begin)
        return len(added) + 1

    def find(self, value: Value) -> bool | None:
        """Whether the value stands in these texts as a whole; undecided where it is made of all too frequent words."""
        rarest: list[int] = []
        offset = 0
        for begin, word in value.words:
            places = self._places.get(word)
            if places is None:
                return False
            if not rarest or len(places) < len(rarest):
                rarest, offset = places, begin
        text, wanted = self._text, value.text
        for place in rarest[:MAX_PLACES]:
            begin = place - offset
            if (
                begin > 0
                and text.startswith(wanted, begin)
                and _opens(text, begin)
                and _closes(text, begin + len(wanted))
            ):
                return True
        return None if len(rarest) > MAX_PLACES else False


def _joint(text: str, at: int) -> bool:
    """Whether the script changes before ``at`` to or from one that does without spaces."""
    spaceless = _spaceless()
    return bool(spaceless.match(text[at - 1])) != bool(spaceless.match(text[at]))


def _breaks(text: str, at: int) -> bool:
    """Whether the character at ``at`` separates words."""
    if text[at] == ",":  # not within a number: 1,100
        return not (text[at - 1 : at].isdigit() and text[at + 1 : at + 2].isdigit())
    return text[at] in _BREAKS


def _opens(text: str, begin: int) -> bool:
    """Whether a word begins at ``begin``, ornaments like ``#`` aside."""
    for at in range(begin - 1, max(begin - 2 - _MAX_ORNAMENTS, -1), -1):
        if _breaks(text, at) or _joint(text, at + 1):
            return True
        if text[at] not in _OPENING:
            return False
    return False


def _closes(text: str, end: int) -> bool:
    """Whether a word ends before ``end``, punctuation aside."""
    for at in range(end, end + 1 + _MAX_ORNAMENTS):
        if at >= len(text) or _breaks(text, at):
            return True
        if _joint(text, at):
            return True
        if text[at] not in _CLOSING:
            return False
    return False
