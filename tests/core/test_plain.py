"""The plain data in validated arguments."""

import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid
from typing import Any

import pytest

from aegis_core.plain import plain
from aegis_core.snapshot import freeze, has_opaque

pytest.importorskip("pydantic")
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_serializer


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    tags: list[str]


class Account(BaseModel):
    model_config = ConfigDict(extra="allow")

    number: str = Field(alias="no")
    colour: Colour = Colour.RED

    @field_serializer("number")
    def masked(self, _value: str) -> str:
        return "***"


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (Account(no="1234", note="extra"), {"number": "1234", "colour": "red", "note": "extra"}),  # type: ignore[call-arg]
        (Point(1, ["a"]), {"x": 1, "tags": ["a"]}),
        ([Point(1, [])], [{"x": 1, "tags": []}]),
        ({"who": (Colour.RED,)}, {"who": ("red",)}),
        (datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC), "2026-01-02T03:04:00+00:00"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("/data/../etc"), "/data/../etc"),
        ("text", "text"),
        (None, None),
        (1.5, 1.5),
    ],
)
def test_what_a_schema_made_is_judged_by_its_fields_and_not_by_its_serializers(value: Any, data: Any):
    assert plain(value) == data
    assert not has_opaque(freeze(plain(value)))


def test_what_is_no_data_stays_what_it_is():
    secret, connection = SecretStr("s"), object()
    assert plain([secret, connection]) == [secret, connection]
    assert plain(Point) is Point
