"""Where a policy came from: its sources, and the contents of the files among them. `Policy.rebuilt` makes it anew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aegis_core.policy.document import PolicyDocument

__all__ = ["FromFile", "FromMemory", "Including", "Layered", "Merged", "Origin"]


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
    @abstractmethod
    def parts(self) -> tuple[Origin, ...]:
        """Where each document of the policy came from, layer by layer, in the order of the rules."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, absolute."""
        return tuple(self.texts())

    @property
    def included(self) -> frozenset[Path]:
        """The files among them that are there because another file includes them."""
        return frozenset()


class FromFile(Origin):
    """One file."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text

    @property
    def sources(self) -> tuple[str, ...]:
        """The file's path."""
        return (str(self.path),)

    @property
    def parts(self) -> tuple[Origin, ...]:
        """Itself."""
        return (self,)

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

    @property
    def parts(self) -> tuple[Origin, ...]:
        """Itself."""
        return (self,)

    def texts(self) -> dict[Path, str]:
        """No file."""
        return {}


class Including(Origin):
    """A policy and what it includes."""

    def __init__(self, own: Origin, others: tuple[Origin, ...]) -> None:
        self.own = own
        self.others = others

    @property
    def sources(self) -> tuple[str, ...]:
        """Its own source and those of what it includes."""
        return tuple(source for part in self.parts for source in part.sources)

    @property
    def parts(self) -> tuple[Origin, ...]:
        """Its own, then what it includes."""
        return (self.own, *self.others)

    @property
    def included(self) -> frozenset[Path]:
        """The files it includes."""
        return frozenset(path for part in self.others for path in part.texts())

    def texts(self) -> dict[Path, str]:
        """The files of all."""
        return {path: text for part in self.parts for path, text in part.texts().items()}


class Merged(Origin):
    """Two policies merged, base first."""

    def __init__(self, base: Origin, other: Origin) -> None:
        self.base = base
        self.other = other

    @property
    def sources(self) -> tuple[str, ...]:
        """The base's sources and the other's."""
        return self.base.sources + self.other.sources

    @property
    def parts(self) -> tuple[Origin, ...]:
        """The base's and the other's."""
        return self.base.parts + self.other.parts

    @property
    def included(self) -> frozenset[Path]:
        """What either includes."""
        return self.base.included | self.other.included

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

    @property
    def parts(self) -> tuple[Origin, ...]:
        """Those of all layers."""
        return tuple(part for origin in self.layers.values() for part in origin.parts)

    @property
    def included(self) -> frozenset[Path]:
        """What any layer includes."""
        return frozenset().union(*(origin.included for origin in self.layers.values()))

    def texts(self) -> dict[Path, str]:
        """The files of all layers."""
        return {path: text for origin in self.layers.values() for path, text in origin.texts().items()}
