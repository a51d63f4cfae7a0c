"""Which calls the audit page is asked for, as its address says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from aegis_core.audit.filters import moment
from aegis_core.result import ResultStatus

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["STATUSES", "Wanted", "wanted_by"]

STATUSES = (*(status.value for status in ResultStatus), "running")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Wanted(BaseModel):
    """The filters of the audit page, as they come in its address."""

    model_config = ConfigDict(extra="ignore")

    session: str = ""
    type: str = ""
    target: str = ""
    risk: str = ""
    status: str = ""
    rule: str = ""
    agent: str = ""
    since: str = ""
    until: str = ""
    problems: tuple[str, ...] = ()

    @field_validator("since", "until")
    @classmethod
    def _time(cls, text: str) -> str:
        _moment(text)
        return text

    @field_validator("risk")
    @classmethod
    def _risk(cls, text: str) -> str:
        if text and text not in ("low", "medium", "high", "critical"):
            raise ValueError("is none of low, medium, high, critical")
        return text

    @field_validator("status")
    @classmethod
    def _status(cls, text: str) -> str:
        if text and text not in STATUSES:
            raise ValueError(f"is none of {', '.join(STATUSES)}")
        return text

    def given(self) -> dict[str, str]:
        """The filters that are set."""
        return {name: value for name, value in self if value and name != "problems"}

    def options(self) -> dict[str, Any]:
        """The same as the trail takes them."""
        found: dict[str, Any] = self.given()
        if "session" in found:
            found["session_id"] = found.pop("session")
        for name in ("since", "until"):
            if name in found:
                found[name] = _moment(found[name])
        return found


def _moment(text: str) -> int | None:
    """A time, or how long ago it was: ``2026-03-22T10:30``, ``90m``, ``24h``, ``7d``.

    Raises:
        ValueError: It is neither.
    """
    text = text.strip()
    if not text:
        return None
    number, unit = text[:-1], text[-1]
    try:
        if unit in _UNITS and number.isdigit():
            return moment(datetime.now(UTC) - timedelta(seconds=int(number) * _UNITS[unit]))
        return moment(text)
    except (ValueError, OverflowError):
        raise ValueError("is neither a time (2026-03-22T10:30) nor an age (90m, 24h, 7d)") from None


def wanted_by(request: Request) -> Wanted:
    """The filters of a request. What cannot be understood is left out, and named in ``problems``."""
    given = {name: value.strip()[:300] for name, value in request.query_params.items() if name != "problems"}
    try:
        return Wanted.model_validate(given)
    except ValidationError as error:
        wrong = [(str(one["loc"][0]), one["msg"].removeprefix("Value error, ")) for one in error.errors()]
        kept = {name: value for name, value in given.items() if name not in dict(wrong)}
        return Wanted.model_validate({**kept, "problems": tuple(f"{name} {why}" for name, why in wrong)})
