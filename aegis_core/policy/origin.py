"""Where a policy came from: its sources, and the contents of the files among them. `Policy.rebuilt` makes it anew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aegis_core.policy.document import PolicyDocument

__all__ = ["FromFile", "FromMemory", "Layered", "Merged", "Origin"]


class Origin(ABC):
    """What a policy was made of."""

    @property
    @abstractmethod
    def sources(self) -> tuple[str, ...]:
        """Names of everything it came from."""

    @abstractmethod
    def texts(self) -> dict[Path, str]:
        """The files among them, absolute, with the contents it was made of."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, absolute."""
        return tuple(self.texts())


class FromFile(Origin):
    """One file."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text

    @property
    def sources(self) -> tuple[str, ...]:
        """The file's path."""
        return (str(self.path),)

    def texts(self) -> dict[Path, str]:
        """The file and its text."""
        return {self.path: self.text}


class FromMemory(Origin):
    """Text or data that a program gave: there is no file to read again."""

    def __init__(self, source: str, document: PolicyDocument) -> None:
        self.source = source
        self.document = document

    @property
    def sources(self) -> tuple[str, ...]:
        """What the program called it."""
        return (self.source,)

    def texts(self) -> dict[Path, str]:
        """No file."""
        return {}


class Merged(Origin):
    """Two policies merged, base first."""

    def __init__(self, base: Origin, other: Origin) -> None:
        self.base = base
        self.other = other

    @property
    def sources(self) -> tuple[str, ...]:
        """The base's sources and the other's."""
        return self.base.sources + self.other.sources

    def texts(self) -> dict[Path, str]:
        """The files of both."""
        return {**self.base.texts(), **self.other.texts()}


class Layered(Origin):
    """Policies as layers of a hierarchy, by name."""

    def __init__(self, layers: Mapping[str, Origin]) -> None:
        self.layers = dict(layers)

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources of all layers."""
        return tuple(source for origin in self.layers.values() for source in origin.sources)

    def texts(self) -> dict[Path, str]:
        """The files of all layers."""
        return {path: text for origin in self.layers.values() for path, text in origin.texts().items()}
