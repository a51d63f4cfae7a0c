"""Where a policy came from: its files, and how to build it again from new contents of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aegis_core.policy.document import PolicyDocument
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

    def texts(self) -> dict[Path, str]:
        """The files' contents that the policy was made of."""
        ...

    def rebuild(self, texts: Mapping[Path, str]) -> Policy:
        """The same policy from new contents of its files; parts that came from no file stay as they are.

        Raises:
            PolicyError: If a text is not a valid policy.
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

    def texts(self) -> dict[Path, str]:
        return {self.path: self.text}

    def rebuild(self, texts: Mapping[Path, str]) -> Policy:
        from aegis_core.policy.layer import Layer  # The recipe stands below what it makes.
        from aegis_core.policy.loading import load_text
        from aegis_core.policy.policy import Policy

        document, _ = load_text(texts[self.path], str(self.path))
        return Policy((Layer((document,)),), FromFile(self.path, texts[self.path]))


class FromMemory:
    """A policy given as text or data: it has no file to read again."""

    def __init__(self, source: str, document: PolicyDocument) -> None:
        self.source = source
        self.document = document

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    def texts(self) -> dict[Path, str]:
        return {}

    def rebuild(self, _texts: Mapping[Path, str]) -> Policy:
        from aegis_core.policy.layer import Layer  # The recipe stands below what it makes.
        from aegis_core.policy.policy import Policy

        return Policy((Layer((self.document,)),), self)


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

    def texts(self) -> dict[Path, str]:
        return {**self.base.texts(), **self.other.texts()}

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

    def texts(self) -> dict[Path, str]:
        return {path: text for origin in self.layers.values() for path, text in origin.texts().items()}

    def rebuild(self, texts: Mapping[Path, str]) -> Policy:
        from aegis_core.policy.policy import Policy  # The recipe stands below what it makes.

        return Policy.of_layers({name: origin.rebuild(texts) for name, origin in self.layers.items()})
