"""Which tools a policy trusts to return true values, and patterns over tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from aegis_core.policy.arguments.verdict import GLOBS
from aegis_core.policy.globs import Glob, match_any, parse_glob
from aegis_core.policy.readers import one_of, the
from aegis_core.policy.reading import Document, key

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["EVERY_TOOL", "NOBODY", "ToolMatch", "ToolPattern", "Trust", "TrustDocument"]

_ANY = ("*",)
_MEMO_SIZE = 4_096
_UNTRUSTED = False


class ToolMatch(Document):
    """Which tools are meant. Both keys must match; each is a glob or a list of globs."""

    type: tuple[str, ...] = key(GLOBS, "The tool's name, e.g. 'read_*'.", default=_ANY)
    target: tuple[str, ...] = key(GLOBS, "The server or program the tool lives in, e.g. 'filesystem'.", default=_ANY)


EVERY_TOOL = ToolMatch()


class TrustDocument(Document):
    """What the results of some tools are worth."""

    match: ToolMatch = key(the(ToolMatch), "Which tools; both keys absent: every tool.")
    results: Literal["trusted", "untrusted"] = key(
        one_of("trusted", "untrusted"),
        "Whether what they return counts as trusted for param_from; the first entry that matches decides.",
    )


class ToolPattern(NamedTuple):
    """A compiled `ToolMatch`."""

    types: tuple[Glob, ...]
    targets: tuple[Glob, ...]
    text: str

    @classmethod
    def of(cls, match: ToolMatch) -> ToolPattern:
        """Compile a match."""
        text = f"{'|'.join(match.type)}@{'|'.join(match.target)}"
        return cls(tuple(map(parse_glob, match.type)), tuple(map(parse_glob, match.target)), text)

    def match(self, type: str, target: str) -> bool | None:  # noqa: A002 - as in Action
        """Whether a tool is meant; undecided where it is only after folding, or without a gateway's prefix."""
        answers = (match_any(self.types, type), match_any(self.targets, target))
        return False if False in answers else None if None in answers else True


class Trust:
    """The ``trust`` of one layer: the first entry that matches a tool decides, and no entry means untrusted."""

    __slots__ = ("_entries", "_known", "documents")

    def __init__(self, documents: Iterable[TrustDocument] = ()) -> None:
        self.documents = documents = tuple(documents)
        self._entries = tuple((ToolPattern.of(entry.match), entry.results == "trusted") for entry in documents)
        self._known: dict[tuple[str, str], bool | None] = {}

    def of(self, type: str, target: str) -> bool | None:  # noqa: A002 - as in Action
        """Whether a tool's results are trusted."""
        tool = (type, target)
        if tool not in self._known:
            if len(self._known) >= _MEMO_SIZE:
                self._known.clear()
            self._known[tool] = self._judge(type, target)
        return self._known.get(tool)

    def __reduce__(self) -> tuple[object, ...]:
        return (Trust, (self.documents,))

    def _judge(self, type: str, target: str) -> bool | None:  # noqa: A002
        doubts: set[bool] = set()
        for pattern, trusted in self._entries:
            answer = pattern.match(type, target)
            if answer is not False:
                doubts.add(trusted)
            if answer:
                break
        else:
            doubts.add(_UNTRUSTED)
        return doubts.pop() if len(doubts) == 1 else None


NOBODY = Trust()
"""The trust of a policy that names no tool."""
