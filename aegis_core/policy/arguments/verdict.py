"""What the conditions about arguments have in common: how they answer, and how they compare with patterns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, cast

from aegis_core.policy.globs import glob_problem, parse_glob
from aegis_core.policy.names import fold
from aegis_core.policy.readers import one_or_more
from aegis_core.policy.wording import shown
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aegis_core.policy.reading import Reader

__all__ = ["GLOBS", "WORDS", "ArgumentTest", "MissingExtra", "Patterns", "Verdict", "words", "words_read_by"]

Verdict = tuple[bool | None, str, str]
"""The answer, the reason, and a detail of the value that illustrates it (shown shortened), or ``""``."""

_SHOWN = 60


class MissingExtra(Exception):  # noqa: N818 - it says what is missing, and becomes a PolicyError where file and line are known
    """A condition needs a parser that is not installed.

    Attributes:
        extra: The extra of the distribution that brings it.
    """

    def __init__(self, condition: str, extra: str) -> None:
        super().__init__(f"{condition} needs the extra {extra!r}: pip install 'aegis-agents[{extra}]'")
        self.extra = extra


def words(value: object) -> tuple[str, ...]:
    """A text, or a list of texts, as a tuple.

    Raises:
        ValueError: If it is neither, or empty.
    """
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not all(isinstance(word, str) for word in found):
        raise ValueError(f"must be text or a list of texts, got {shown(value)}")
    if not found:
        raise ValueError("is an empty list and could never hold; name at least one, or leave the key out")
    if "" in found:
        raise ValueError("must not contain an empty text")
    return tuple(cast("list[str]", found))


def _globs(value: object) -> tuple[str, ...]:
    found = words(value)
    for word in found:
        if problem := glob_problem(word):
            raise ValueError(f"pattern {word!r} {problem}")
    return found


def words_read_by(reads: Callable[[object], tuple[str, ...]]) -> Reader:
    """A reader of a text or a non-empty list of texts; always a tuple afterwards."""
    return one_or_more(reads, {"type": "string"})


WORDS = words_read_by(words)
GLOBS = words_read_by(_globs)
"""Words, each a glob pattern."""


class Patterns:
    """Globs of which one must match the whole text: True as written, None only after folding, else False."""

    __slots__ = ("_exact", "_folded")

    def __init__(self, patterns: Iterable[str]) -> None:
        globs = [parse_glob(pattern) for pattern in patterns]
        self._exact = tuple(glob.exact for glob in globs)
        self._folded = tuple(glob.folded for glob in globs)

    def match(self, text: str) -> bool | None:
        """Whether one of them matches; None if that needs case and look-alike characters not to count."""
        for exact in self._exact:
            if exact(text):
                return True
        folded = fold(text)
        for match in self._folded:
            if match(folded):
                return None
        return False


class ArgumentTest(ABC):
    """Judges one value of an argument. Implements `aegis_core.policy.conditions.params.ValueTest`."""

    __slots__ = ()

    limit: ClassVar[int]
    """Longer texts (in characters) are undecided, unparsed."""

    def judge(self, value: object) -> bool | None:
        """Whether the value satisfies the condition; None if that cannot be told. Never raises."""
        return self.verdict(value)[0]

    def why(self, value: object) -> str:
        """The reason for the answer in one short sentence; of the value it shows a short, escaped part at most."""
        _, reason, detail = self.verdict(value)
        return f"{reason} ({_shortened(detail)})" if detail else reason

    def verdict(self, value: object) -> Verdict:
        """The answer with its reason. Never raises."""
        if type(value) is not str:  # a subclass may lie about its own characters
            return None, "the value is not text", type(value).__name__
        if len(value) > self.limit:
            return None, f"the text is longer than {self.limit} characters", ""
        try:
            return self._look(value)
        except Exception as problem:  # noqa: BLE001 - a parser that trips over hostile input is doubt, not a crash
            return None, "the parser failed", type(problem).__name__

    @abstractmethod
    def _look(self, value: str) -> Verdict:
        """Judge a text of bearable length."""


def _shortened(detail: str) -> str:
    shown = visible(detail[: _SHOWN + 1])
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
