"""The plain data in a value that a schema made: what of a validated argument can be judged, shown and recorded."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import sys
import uuid
from typing import Any

__all__ = ["plain"]

_TEXT = (decimal.Decimal, uuid.UUID, pathlib.PurePath)
_TIMES = (datetime.datetime, datetime.date, datetime.time)


def plain(value: Any) -> Any:
    """The data a tool sees in a value: a model's fields, never what a serializer of theirs would make of them.

    Models and dataclasses become dicts, enums their values, times and other things with one obvious text that text.
    What is none of this stays what it is, and is opaque to every condition (see `snapshot`).
    """
    if isinstance(value, type):
        return value
    pydantic = sys.modules.get("pydantic")  # where it is not loaded, nothing can be of it
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return {name: plain(item) for name, item in pydantic.BaseModel.__iter__(value)}
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if type(value) is dict:
        return {name: plain(item) for name, item in value.items()}
    if type(value) is list:
        return [plain(item) for item in value]
    if type(value) is tuple:
        return tuple(plain(item) for item in value)
    if isinstance(value, _TIMES):
        return value.isoformat()
    return str(value) if isinstance(value, _TEXT) else value
