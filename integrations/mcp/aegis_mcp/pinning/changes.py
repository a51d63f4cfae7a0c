"""What differs between the tools that were accepted and the tools that are there, as text for people."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aegis_mcp.pinning.definition import Definition

__all__ = ["Change", "Kind", "changed_parts", "changes", "in_short"]

_SHORT = 160
_COMPARED = 20_000
"""Characters beyond which a difference is not looked for line by line while a call waits."""
_ABSENT = object()


class Kind(StrEnum):
    """How a tool differs."""

    NEW = "new"
    CHANGED = "changed"
    GONE = "gone"
    TWICE = "twice"


class Change(NamedTuple):
    """One tool that is not as it was accepted.

    Attributes:
        tool: Its name.
        kind: ``new``; ``changed``; ``gone``: accepted, and not listed any more; ``twice``: listed with different
            definitions under one name, so that nobody can say which one a call is about.
        before: What was accepted, if anything.
        after: What is listed; more than one where it is listed twice.
    """

    tool: str
    kind: Kind
    before: Definition | None = None
    after: tuple[Definition, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The keys of the definition that differ."""
        return changed_parts(self.before, self.after[0]) if self.before and self.after else ()

    @property
    def headline(self) -> str:
        """One line: the tool, and what became of it."""
        name = visible(self.tool)
        match self.kind:
            case Kind.NEW:
                return f"{name}: new"
            case Kind.GONE:
                return f"{name}: not listed any more"
            case Kind.TWICE:
                return f"{name}: listed {len(self.after)} times with different definitions"
            case Kind.CHANGED:
                return f"{name}: changed ({', '.join(map(visible, self.parts))})"

    def diff(self) -> Iterator[str]:
        """Lines as of a unified diff: ``-`` was accepted, ``+`` is listed, ``@@`` names the part. All visible."""
        if self.before is None or self.kind is Kind.TWICE:
            for definition in self.after:
                yield from (f"+ {line}" for line in _text(definition.content))
            return
        if not self.after:
            return
        old, new = self.before.content, self.after[0].content
        for part in self.parts:
            yield f"@@ {visible(part)} @@"
            yield from _difference(_lines(old.get(part, _ABSENT)), _lines(new.get(part, _ABSENT)))


def changes(accepted: Mapping[str, Definition], listed: Mapping[str, Sequence[Definition]]) -> list[Change]:
    """What differs, in the order of the list, then what is gone.

    Args:
        accepted: The definitions that were accepted, by tool.
        listed: The definitions that are listed, by tool.
    """
    found: list[Change] = []
    for name, definitions in listed.items():
        before = accepted.get(name)
        if len(definitions) > 1:
            found.append(Change(name, Kind.TWICE, before, tuple(definitions)))
        elif before is None:
            found.append(Change(name, Kind.NEW, None, tuple(definitions)))
        elif definitions[0] != before:
            found.append(Change(name, Kind.CHANGED, before, tuple(definitions)))
    return found + [Change(name, Kind.GONE, before) for name, before in accepted.items() if name not in listed]


def changed_parts(before: Definition, after: Definition) -> tuple[str, ...]:
    """The keys of two definitions of a tool that differ, the ones a model reads first."""
    keys = dict.fromkeys(("title", "description", "inputSchema", *sorted({*before.content, *after.content})))
    old, new = before.content, after.content
    return tuple(key for key in keys if _canonical(old.get(key, _ABSENT)) != _canonical(new.get(key, _ABSENT)))


def in_short(before: Definition, after: Definition) -> str:
    """What differs, in one line."""
    said: list[str] = []
    for part in changed_parts(before, after):
        old, new = (definition.content.get(part, _ABSENT) for definition in (before, after))
        text = ""
        if max(len(_canonical(old)), len(_canonical(new))) <= _COMPARED:
            text = " ".join(line for line in _difference(_lines(old), _lines(new)) if line[:1] in "+-")
        said.append(f"{visible(part)} {text[:_SHORT]}{'…' if len(text) > _SHORT else ''}".rstrip())
    return "; ".join(said)


def _difference(old: list[str], new: list[str]) -> Iterator[str]:
    import difflib  # noqa: PLC0415 - few tools change

    for line in difflib.unified_diff(old, new, lineterm="", n=2):
        if not line.startswith(("---", "+++", "@@")):
            yield f"{line[:1]} {line[1:]}"


def _text(content: Mapping[str, Any]) -> Iterator[str]:
    """A whole definition, description first and line by line."""
    for part in ("title", "description"):
        if isinstance(content.get(part), str):
            yield from (f"{part}: {line}" for line in _lines(content[part]))
    rest = {key: value for key, value in content.items() if key not in ("name", "title", "description")}
    yield from _lines(rest)


def _lines(value: Any) -> list[str]:
    """A part of a definition as lines in which everything shows itself."""
    if value is _ABSENT:
        return []
    text = value if isinstance(value, str) else json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return [visible(line) for line in text.split("\n")]


def _canonical(value: Any) -> str:
    return "" if value is _ABSENT else json.dumps(value, sort_keys=True)
