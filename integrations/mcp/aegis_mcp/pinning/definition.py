"""A tool's definition, and its digest: what is accepted is exactly this, key order aside."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from aegis_core.errors import AegisError
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Definition", "definition_of", "definitions_of"]

_PREFIX = "sha256:"


class Definition:
    """What a server says of one tool: everything in its entry of the list, whoever may read it.

    Attributes:
        name: The tool's name.
        content: The entry as listed, the name included.
        digest: ``sha256:`` and the hex digest of its canonical JSON (keys sorted, ASCII).
    """

    __slots__ = ("content", "digest", "name")

    def __init__(self, content: Mapping[str, Any]) -> None:
        name = content.get("name")
        if not isinstance(name, str):
            raise AegisError(f"a tool without a name cannot be pinned: {visible(repr(content)[:80])}")
        self.name: str = name
        self.content: dict[str, Any] = dict(content)
        self.digest = _PREFIX + _digest(name, content)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Definition) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Definition({self.name!r}, {self.digest[:15]})"


def definition_of(tool: Mapping[str, Any]) -> Definition:
    """A tool's definition.

    Raises:
        AegisError: It has no name, or cannot be written as JSON that every reader would read alike.
    """
    return Definition(tool)


def definitions_of(tools: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Definition, ...]]:
    """The definitions of a list of tools by name, each distinct one once; more than one under a name bodes ill."""
    found: dict[str, dict[Definition, None]] = {}
    for tool in tools:
        definition = Definition(tool)
        found.setdefault(definition.name, {})[definition] = None
    return {name: tuple(definitions) for name, definitions in found.items()}


def _digest(name: str, content: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise AegisError(
            f"the definition of tool {visible(name)!r} cannot be pinned: {visible(str(error)[:80])}"
        ) from None
    return hashlib.sha256(text.encode("ascii")).hexdigest()
