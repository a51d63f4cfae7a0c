"""Where a policy came from: its files, and how to build it again from new contents of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aegis_core.errors import PolicyError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aegis_core.policy.policy import Policy

__all__ = ["FromFile", "FromMemory", "Layered", "Merged", "Origin"]


class Origin(Protocol):
    """A recipe for a policy."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of everything it came from."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """The files among them, absolute."""
        ...

    def rebuild(self, texts: Mapping[Path, str]) -> Policy:
        """The same policy from new contents of its files.

        Raises:
            PolicyError: If a text is not a valid policy, or a part did not come from a file.
        """
        ...


class FromFile:
    """A policy that is one file."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text

    @property
    def sources(self) -> tuple[str, ...]:
        return (str(self.path),)

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path,)

    def rebuild(self, texts: Mapping[Path, str]) -> Policy:
        from aegis_core.policy.layer import Layer  # The recipe stands below what it makes.
        from aegis_core.policy.loading import load_text
        from aegis_core.policy.policy import Policy

        document, _ = load_text(texts[self.path], str(self.path))
        return Policy((Layer((document,)),), FromFile(self.path, texts[self.path]))


class FromMemory:
    """A policy given as text or data: it has no file to read again."""

    def __init__(self, source: str) -> None:
        self.source = source

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    def rebuild(self, texts: Mapping[Path, str]) -> Policy:
        raise PolicyError(Problem("this policy did not come from a file and cannot be read again", self.source))


class Merged:
    """Two policies merged, base first."""

    def __init__(self, base: Origin, other: Origin) -> None:
        self.base = base
        self.other = other

    @property
    def sources(self) -> tuple[str, ...]:
        return self.base.sources + self.other.sources

    @property
    def files(self) -> tuple[Path, ...]:
        return self.base.files + self.other.files

    def rebuild(self, texts: Mapping[Path, str]) -> Policy:
        return self.base.rebuild(texts).merge(self.other.rebuild(texts))


class Layered:
    """Policies as layers of a hierarchy."""

    def __init__(self, layers: Mapping[str, Origin]) -> None:
        self.layers = dict(layers)

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(source for origin in self.layers.values() for source in origin.sources)

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for origin in self.layers.values() for file in origin.files)

    def rebuild(self, texts: Mapping[Path, str]) -> Policy:
        from aegis_core.policy.policy import Policy  # The recipe stands below what it makes.

        return Policy.layered({name: origin.rebuild(texts) for name, origin in self.layers.items()})
