"""Finding the value or values that a dotted path names in a call's parameters, or saying why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aegis_core.policy.names import fold
from aegis_core.snapshot import FrozenDict, FrozenList

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_core.policy.conditions.truth import Truth

__all__ = ["NULL", "Missing", "ParamPath", "Several", "plainly_named"]


class Missing(NamedTuple):
    """There is no value to ask about.

    Attributes:
        truth: What every condition about it then is: False, or None where there may be one after all.
        why: One sentence.
    """

    truth: Truth
    why: str


class Several(NamedTuple):
    """The values a path with ``[]`` names; where an element has none, None."""

    values: tuple[Any, ...]


ABSENT = Missing(truth=False, why="the parameter is absent")
NULL = Missing(truth=False, why="the parameter is null")
FOLDED = Missing(truth=None, why="another spelling of the parameter's name is present, and the tool may read that one")
ASTRAY = Missing(truth=None, why="a part of the path is not a mapping, or not a list where the path says []")
AMBIGUOUS = Missing(truth=None, why="the path names both a parameter with dots in its name and a nested value")


class _Step(NamedTuple):
    key: str
    folded: str
    every: bool


class ParamPath:
    """``name``, ``message.to`` (into nested mappings) or ``items[].path`` (into every element of a list).

    Attributes:
        text: The path as the policy has it.
        plain: The name, where the path is one plain name: among plainly named parameters a simple look-up finds it.
    """

    __slots__ = ("_folded", "_steps", "plain", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._folded = fold(text)
        parts = [(part.removesuffix("[]"), part.endswith("[]")) for part in text.split(".")]
        self._steps = tuple(_Step(key, fold(key), every) for key, every in parts)
        self.plain = text if plainly_named({text: None}) else None

    def find(self, params: Mapping[str, Any]) -> Any:
        """The value, `Several` of them, or `Missing`."""
        literal = _look_up(params, self.text, self._folded)
        if len(self._steps) > 1 or self.text.endswith("[]"):
            # A parameter may itself be named with dots; both readings present is doubt.
            nested = _walk(params, self._steps)
            if literal is ABSENT:
                literal = nested
            elif nested is not ABSENT and nested is not ASTRAY:
                literal = AMBIGUOUS
        return NULL if literal is None else literal


def plainly_named(params: Mapping[str, Any]) -> bool:
    """Whether every name is lower-case ASCII letters, digits and underscores: none can be another's other spelling."""
    names = "".join(params)
    return names.isascii() and names.islower() and names.isidentifier()


def _look_up(mapping: Mapping[Any, Any], key: str, folded: str) -> Any:
    """One key of a mapping, by its exact spelling only; another that folds to the same is doubt."""
    value = mapping.get(key, ABSENT)
    if len(mapping) > (value is not ABSENT):
        for other in mapping:
            if other != key and _spelling(other) == folded:
                return FOLDED
    return value


def _spelling(key: Any) -> str:
    """A key as a tool may read it once the arguments have been JSON."""
    if key.__class__ is str:
        return fold(key)
    huge = key.__class__ is int and abs(key) > 10**100
    return "" if huge else repr(key).lower()


def _walk(value: Any, steps: tuple[_Step, ...]) -> Any:
    for number, step in enumerate(steps):
        if value.__class__ is not FrozenDict:
            return ASTRAY
        value = _look_up(value, step.key, step.folded)
        if value is None or value.__class__ is Missing:
            return value
        if step.every:
            if value.__class__ is not FrozenList and value.__class__ is not tuple:
                return ASTRAY
            return _several(value, steps[number + 1 :])
    return value


def _several(elements: Any, steps: tuple[_Step, ...]) -> Any:
    """What a path goes on to in every element. Doubt about one is doubt about all; one without a value has null."""
    found: list[Any] = []
    for element in elements:
        value = _walk(element, steps) if steps else element
        if value.__class__ is Several:
            found += value.values
        elif value.__class__ is not Missing:
            found.append(value)
        elif value.truth is None:
            return value
        else:
            found.append(None)
    return Several(tuple(found))
