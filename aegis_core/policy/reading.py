"""Reading data from outside strictly: mappings whose keys are known, and everything that is wrong with one.

A `Document` declares the keys of a mapping, each with a `Reader` of its value (`readers` has the usual ones). `read`
makes an immutable document of plain data, or raises `Unfit` with every problem and the path to it. Readers also say
what they read as JSON Schema. Where the text came from, and the words of a policy's problems, are the business of
`checking`.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, NoReturn, TypeVar, dataclass_transform

from aegis_core.policy.wording import shown

__all__ = [
    "ANYTHING",
    "Document",
    "Found",
    "Key",
    "Path",
    "Reader",
    "Schema",
    "Unfit",
    "at",
    "dotted",
    "given",
    "key",
    "keys_of",
    "meaning",
    "of",
    "plain",
    "read",
    "replaced",
    "values",
]

Path = tuple[str | int, ...]
"""Steps from the outermost value to one inside it."""
_D = TypeVar("_D", bound="Document")
_REQUIRED: Any = object()


class Found(NamedTuple):
    """Something that is wrong.

    Attributes:
        path: Where.
        message: What.
        value: The value it is about.
        about: Whether it is the value that is wrong, or its key, or that the key is unknown or missing.
    """

    path: Path
    message: str
    value: object = None
    about: Literal["value", "key", "unknown", "missing"] = "value"


def dotted(path: Path) -> str:
    """``("match", "type", 1)`` as ``match.type[1]``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


class Unfit(ValueError):  # noqa: N818 - it says what does not fit, and becomes an error where the place is known
    """Data that does not fit.

    Attributes:
        found: Everything that is wrong with it.
    """

    def __init__(self, found: list[Found]) -> None:
        super().__init__("; ".join(f"{dotted(one.path)}: {one.message}" for one in found[:10]))
        self.found = found


class Reader(NamedTuple):
    """How a value is read.

    Attributes:
        read: Makes an immutable value of plain data (and of such a value itself); raises ValueError with what is
            wrong, in words that follow the name of a key: "must be ...", "is empty".
        schema: The same as JSON Schema; a `Document` stands for its own.
    """

    read: Callable[[Any], Any]
    schema: Schema


Schema = Mapping[str, Any] | type["Document"]


def _anything(value: Any) -> Any:
    return value


ANYTHING = Reader(_anything, {})
"""Whatever it is, null included, taken as it is."""


class Key(NamedTuple):
    """One key that a document knows.

    Attributes:
        reader: How its value is read.
        doc: What it means, in a sentence for editors.
        default: What its absence means; None also refuses an empty value.
        required: Whether it must be there.
    """

    reader: Reader
    doc: str
    default: Any
    required: bool


def key(reader: Reader, doc: str, *, default: Any = _REQUIRED) -> Any:
    """Declare a key of a document; without a default it must be there."""
    return Key(reader, doc, None if default is _REQUIRED else default, default is _REQUIRED)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(key,))
class Document:
    """A mapping whose keys are known: a value, equal to others that say the same."""

    document_keys: ClassVar[dict[str, Key]] = {}

    def __init__(self, **data: Any) -> None:
        vars(self).update(vars(read(type(self), data)))

    def __init_subclass__(cls) -> None:
        cls.document_keys = dict(cls.document_keys)
        for name, declared in list(vars(cls).items()):
            if isinstance(declared, Key):
                cls.document_keys[name] = declared
                # An instance holds what was given; what was not is the class's.
                setattr(cls, name, declared.default)

    @classmethod
    def check_related(
        cls,
        data: Mapping[str, Any],  # noqa: ARG003 - for those that look
        fit: Mapping[str, Any],  # noqa: ARG003
    ) -> Iterator[tuple[str, str]]:
        """Which keys are wrong beside others, and how: of what was given, and the part of it that could be read."""
        return iter(())

    def check_whole(self) -> None:
        """Raise ValueError if keys that are each right make no sense together."""

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} cannot be changed: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and values(self) == values(other)

    def __hash__(self) -> int:
        return hash(tuple(values(self).values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def read(model: type[_D], data: object) -> _D:
    """Read a document.

    Raises:
        Unfit: With everything that is wrong with the data.
    """
    if type(data) is model:
        return data
    if not isinstance(data, dict):
        raise Unfit([Found((), f"must be a mapping, got {shown(data)}", data)])
    found: list[Found] = []
    fit: dict[str, Any] = {}
    known = 0
    for name, declared in keys_of(model).items():
        if name in data:
            known += 1
            value = data[name]
            try:
                fit[name] = _value(declared, value)
            except ValueError as error:
                found += at(name, error, value)
        elif declared.required:
            found.append(Found((name,), f"missing key {name!r}", data, "missing"))
    if known < len(data):
        found += _unknown(model, data)
    found += [Found((name,), message, data) for name, message in model.check_related(data, fit)]
    document = of(model, fit)
    if not found:
        try:
            document.check_whole()
        except ValueError as error:
            found += [Found((), str(error), data)]
    if found:
        raise Unfit(found)
    return document


def _value(declared: Key, value: object) -> Any:
    if value is None and declared.default is None and not declared.required and declared.reader is not ANYTHING:
        raise ValueError("is empty; give it a value or leave it out")
    return declared.reader.read(value)


def _unknown(model: type[Document], data: dict[Any, Any]) -> Iterator[Found]:
    for name, value in data.items():
        if not isinstance(name, str):
            yield Found((str(name),), "must have text as keys", name, "key")
        elif name not in keys_of(model):
            yield Found((name,), f"unknown key {shown(name)}", value, "unknown")


def at(step: str | int, error: ValueError, value: object, about: Literal["value", "key"] = "value") -> list[Found]:
    """What is wrong with a part of something, as what is wrong with the whole."""
    if isinstance(error, Unfit):
        return [one._replace(path=(step, *one.path)) for one in error.found]
    return [Found((step,), str(error), value, about)]


# --- documents -------------------------------------------------------------------------------------------------------


def keys_of(model: type[Document]) -> dict[str, Key]:
    """The keys that a kind of document knows."""
    return model.document_keys


def given(document: Document) -> Mapping[str, Any]:
    """What was given, without what its absence would mean."""
    return vars(document)


def values(document: Document) -> dict[str, Any]:
    """Every key's value."""
    return {name: getattr(document, name) for name in keys_of(type(document))}


def replaced(document: _D, **changes: Any) -> _D:
    """The document with other values, which are taken as they are."""
    return of(type(document), {**vars(document), **changes})


def of(model: type[_D], fit: Mapping[str, Any]) -> _D:
    """A document of values that are taken as they are."""
    document = object.__new__(model)
    vars(document).update(fit)
    return document


def plain(value: Any, *, bare: bool = False) -> Any:
    """What a document says as plain data: what was given, in the order of its keys, ready for JSON.

    Args:
        value: The document, or a value in it.
        bare: Leave out what says what its absence would mean, so that documents that mean the same say the same.
    """
    if isinstance(value, Document):
        keys = keys_of(type(value))
        said = vars(value).items()
        return {name: plain(inner, bare=bare) for name, inner in said if not bare or inner != keys[name].default}
    if isinstance(value, Mapping):
        return {name: plain(inner, bare=bare) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, bare=bare) for inner in value]
    return value.name.lower() if isinstance(value, enum.Enum) else value


def meaning(document: Document) -> bytes:
    """What a document means, the same bytes for two that mean the same."""
    return json.dumps(plain(document, bare=True), separators=(",", ":")).encode()
