"""What a tool's validated arguments look like to a policy, and what the tool then gets. Knows pydantic, not LangChain."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from aegis_core.snapshot import freeze, has_opaque

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Arguments"]

_TEXT = (decimal.Decimal, uuid.UUID, pathlib.PurePath)
_TIMES = (datetime.datetime, datetime.date, datetime.time)


class Arguments:
    """A call's arguments. JSON-like ones are judged and handed over as the action's own snapshot.

    A tool's schema may turn the model's JSON into objects: nested models, dates, enums. Of such an argument a private copy is taken; the data it
    holds is judged, and that very copy goes to the tool. What holds anything but data stays as it is, opaque to every condition.

    Args:
        given: By name.

    Attributes:
        judged: By name, for the `Action`.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.judged: dict[str, Any] = {}
        self._copies: dict[str, Any] = {}
        for name, value in given.items():
            self.judged[name] = value
            if not has_opaque(freeze(value)):
                continue
            try:
                private = copy.deepcopy(value)
                data = _data(private)
            except Exception:  # noqa: BLE001 - a stranger's object; what cannot be copied or read goes by reference
                continue
            if not has_opaque(freeze(data)):
                self.judged[name], self._copies[name] = data, private

    def to_run(self, approved: Mapping[str, Any]) -> dict[str, Any]:
        """What the tool gets for the arguments that may run."""
        return {name: self._copies.get(name, value) for name, value in approved.items()}


def _data(value: Any) -> Any:
    """The data in a value, as the tool sees it: fields, never what a serializer of theirs would make of them."""
    kind = type(value)
    if isinstance(value, BaseModel):
        return {name: _data(item) for name, item in BaseModel.__iter__(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _data(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return _data(value.value)
    if kind is dict:
        return {name: _data(item) for name, item in value.items()}
    if kind is list or kind is tuple:
        return kind(_data(item) for item in value)
    if kind in _TIMES:
        return value.isoformat()
    return str(value) if isinstance(value, _TEXT) else value
