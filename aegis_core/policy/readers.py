"""Readers of what stands in documents: text, numbers, lists, mappings and the like, each with its JSON Schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis_core.policy.reading import ANYTHING, Reader, Unfit, at, read
from aegis_core.policy.wording import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_core.policy.reading import Document, Found, Schema

__all__ = ["ANYTHING", "FLAG", "any_case", "listed", "mapped", "one_of", "one_or_more", "text", "the", "whole"]


def any_case(word: str) -> str:
    """A pattern of JSON Schema for a word in any case."""
    return "".join(f"[{letter.upper()}{letter}]" if letter.isalpha() else letter for letter in word)


def text(*, longest: int | None = None, empty: bool = False) -> Reader:
    """Text of at most so many characters; empty only where that is said."""

    def reads(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"must be text, got {shown(value)}")
        if not value and not empty:
            raise ValueError("must not be empty")
        if longest is not None and len(value) > longest:
            raise ValueError(f"must have at most {longest} characters")
        return str(value)

    limits = {**({} if longest is None else {"maxLength": longest}), **({} if empty else {"minLength": 1})}
    return Reader(reads, {"type": "string", **limits})


_LARGEST = 2**63 - 1


def whole(*, least: int) -> Reader:
    """A whole number of at least so much."""

    def reads(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"must be a whole number, got {shown(value)}")
        if value < least:
            raise ValueError(f"must be at least {least}, got {shown(value)}")
        if value > _LARGEST:
            raise ValueError(f"must be at most {_LARGEST}, got {shown(value)}")
        return value

    return Reader(reads, {"type": "integer", "minimum": least})


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, got {shown(value)}")
    return value


FLAG = Reader(_flag, {"type": "boolean"})
"""True or false."""


def one_of(*choices: str | bool) -> Reader:
    """One of some words, or the one value there is."""
    *others, last = (repr(choice) if isinstance(choice, str) else shown(choice) for choice in choices)
    expected = f"{', '.join(others)} or {last}" if others else last

    def reads(value: object) -> str | bool:
        for choice in choices:
            if type(value) is type(choice) and value == choice:
                return choice
        raise ValueError(f"must be {expected}, got {shown(value)}")

    kind = {"type": "string" if isinstance(choices[0], str) else "boolean"}
    return Reader(reads, {**kind, **({"enum": [*choices]} if others else {"const": choices[0]})})


def the(model: type[Document]) -> Reader:
    """A document."""

    def reads(value: object) -> Document:
        return read(model, value)

    return Reader(reads, model)


def listed(item: Reader, *, empty: bool = True) -> Reader:
    """A list, as a tuple."""

    def reads(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError(f"must be a list, got {shown(value)}")
        if not value and not empty:
            raise ValueError("must not be empty")
        fit: list[Any] = []
        found: list[Found] = []
        for number, inner in enumerate(value):
            try:
                fit.append(item.read(inner))
            except ValueError as error:
                found += at(number, error, inner)
        if found:
            raise Unfit(found)
        return tuple(fit)

    return Reader(reads, {"type": "array", "items": item.schema, **({} if empty else {"minItems": 1})})


def one_or_more(reads: Callable[[Any], tuple[Any, ...]], item: Schema) -> Reader:
    """One thing, or a list of at least one: always a tuple afterwards.

    Args:
        reads: Reads either.
        item: What one of them is.
    """
    return Reader(reads, {"anyOf": [item, {"type": "array", "minItems": 1, "items": item}]})


def mapped(name: Reader, item: Reader, make: Callable[[dict[str, Any]], Any] = dict) -> Reader:
    """A mapping whose keys are not known beforehand.

    Args:
        name: Reads its keys.
        item: Reads its values.
        make: Makes what it becomes.
    """

    def reads(value: object) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"must be a mapping, got {shown(value)}")
        fit: dict[str, Any] = {}
        found: list[Found] = []
        for outer, inner in value.items():
            step = str(outer)
            try:
                name.read(outer)
            except ValueError as error:
                found += at(step, error, outer, "key")
            try:
                fit[step] = item.read(inner)
            except ValueError as error:
                found += at(step, error, inner)
        if found:
            raise Unfit(found)
        return make(fit)

    return Reader(reads, {"type": "object", "additionalProperties": item.schema})
