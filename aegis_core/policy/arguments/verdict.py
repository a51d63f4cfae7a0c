"""What the conditions about arguments have in common: how they answer, and how they compare with patterns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict

from aegis_core.policy.globs import glob_problem, parse_glob
from aegis_core.policy.names import fold
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ArgumentSpec", "ArgumentTest", "Globs", "MissingExtra", "Patterns", "Verdict", "Words", "listed"]

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


def listed(value: object) -> tuple[str, ...]:
    """A text, or a list of texts, as a tuple.

    Raises:
        ValueError: If it is neither, or empty.
    """
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"must be text or a list of texts, got {value!r}")
    if not words:
        raise ValueError("is an empty list and could never hold; name at least one, or leave the key out")
    if "" in words:
        raise ValueError("must not contain an empty text")
    return tuple(cast("list[str]", words))


def _globs(value: object) -> tuple[str, ...]:
    words = listed(value)
    for word in words:
        if problem := glob_problem(word):
            raise ValueError(f"pattern {word!r} {problem}")
    return words


Words = Annotated[tuple[str, ...], BeforeValidator(listed, json_schema_input_type=str | list[str])]
"""A text or a non-empty list of texts in a policy file; always a tuple afterwards."""

Globs = Annotated[tuple[str, ...], BeforeValidator(_globs, json_schema_input_type=str | list[str])]
"""The same, each a glob pattern."""


class ArgumentSpec(BaseModel):
    """What a policy says about an argument."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


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
