"""The time window: inclusive, exclusive, over midnight, on weekdays, in a zone."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.action import Action
from aegis_core.errors import PolicyError
from aegis_core.policy.conditions.clock import load_timezone, parse_clock
from aegis_core.policy.conditions.truth import Context
from aegis_core.policy.policy import Policy
from tests.core.policy.strategies import examples

MONDAY = datetime(2026, 3, 23, tzinfo=UTC)
CALL = Action("x", "y")


def holds(now: datetime, **conditions: Any) -> bool:
    rule = {"name": "r", "conditions": conditions, "approval": "auto"}
    return Policy.from_dict({"version": "1", "rules": [rule]}).evaluate(CALL, now=now).permitted


def at(clock: str, day: int = 0) -> datetime:
    hours, minutes = map(int, clock.split(":"))
    return MONDAY + timedelta(days=day, hours=hours, minutes=minutes)


@pytest.mark.parametrize(
    ("clock", "inside"),
    [("08:59", False), ("09:00", True), ("12:00", True), ("16:59", True), ("17:00", False), ("00:00", False)],
)
def test_a_window_begins_with_its_first_minute_and_ends_before_its_last(clock: str, inside: bool):
    assert holds(at(clock), time_after="09:00", time_before="17:00") is inside


@pytest.mark.parametrize(
    ("clock", "inside"),
    [
        ("17:59", False),
        ("18:00", True),
        ("23:59", True),
        ("00:00", True),
        ("07:59", True),
        ("08:00", False),
        ("12:00", False),
    ],
)
def test_line_7_a_window_over_midnight_holds_in_the_night(clock: str, inside: bool):
    assert holds(at(clock), time_after="18:00", time_before="08:00") is inside


def test_half_a_window_reaches_to_midnight():
    assert [holds(at(clock), time_after="18:00") for clock in ("17:59", "18:00", "23:59", "00:00")] == [
        False,
        True,
        True,
        False,
    ]
    assert [holds(at(clock), time_before="06:00") for clock in ("00:00", "05:59", "06:00")] == [True, True, False]


def test_seconds_count_towards_their_minute():
    assert holds(at("16:59") + timedelta(seconds=59, microseconds=999_999), time_after="09:00", time_before="17:00")


def test_weekdays_alone_are_whole_days():
    days = [holds(at("12:00", day), weekdays=["mon", 2, "Friday", "SUN"]) for day in range(7)]
    assert days == [True, True, False, False, True, False, True]


def test_one_weekday_needs_no_list():
    assert [holds(at("12:00", day), weekdays="sat") for day in range(7)] == [False] * 5 + [True, False]
    assert [holds(at("12:00", day), weekdays=7) for day in range(7)] == [False] * 6 + [True]


def test_over_midnight_the_day_is_the_one_the_window_began_on():
    night = {"time_after": "22:00", "time_before": "06:00", "weekdays": ["fri"]}
    assert holds(at("23:00", 4), **night)  # Friday night
    assert holds(at("05:59", 5), **night)  # still Friday's window
    assert not holds(at("05:59", 4), **night)  # Thursday's
    assert not holds(at("23:00", 5), **night)  # Saturday's


def test_sunday_night_reaches_into_monday():
    night = {"time_after": "22:00", "time_before": "06:00", "weekdays": ["sun"]}
    assert holds(at("01:00"), **night)
    assert not holds(at("23:00"), **night)


def test_the_zone_decides_what_time_and_what_day_it_is():
    office = {"time_after": "09:00", "time_before": "17:00", "weekdays": ["mon"], "timezone": "Asia/Tokyo"}
    assert holds(at("00:00"), **office)  # 09:00 on Monday in Tokyo
    assert not holds(at("09:00"), **office)  # 18:00
    assert holds(at("07:00"), **office)
    assert not holds(at("00:00", 6), **office)  # Sunday there too


def test_summer_time_is_the_zones_business():
    early = {"time_before": "08:00", "timezone": "Europe/Berlin"}
    assert holds(datetime(2026, 1, 5, 6, 59, tzinfo=UTC), **early)
    assert not holds(datetime(2026, 7, 6, 6, 59, tzinfo=UTC), **early)  # 08:59 in summer
    gap = {"time_after": "02:00", "time_before": "03:00", "timezone": "Europe/Berlin"}
    night = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    assert not any(holds(night + timedelta(minutes=m), **gap) for m in range(0, 240, 10))  # that hour does not exist
    night = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    assert sum(holds(night + timedelta(minutes=m), **gap) for m in range(0, 240, 10)) == 12  # and this one exists twice


def test_the_clock_of_the_question_may_be_in_any_zone():
    window = {"time_after": "09:00", "time_before": "17:00"}
    assert holds(datetime(2026, 3, 23, 20, tzinfo=timezone(timedelta(hours=8))), **window)
    assert not holds(datetime(2026, 3, 23, 12, tzinfo=ZoneInfo("America/New_York")) - timedelta(hours=8), **window)


@examples(150)
@given(
    now=st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1), max_value=datetime(2050, 1, 1)),  # noqa: DTZ001
    window=st.lists(st.integers(0, 1439), min_size=2, max_size=2, unique=True),
    days=st.sets(st.integers(1, 7), min_size=1),
)
def test_a_window_and_the_one_in_which_it_is_not_share_every_minute_between_them(
    now: datetime, window: list[int], days: set[int]
):
    one, two = (f"{minutes // 60:02}:{minutes % 60:02}" for minutes in window)
    assert holds(now, time_after=one, time_before=two) is not holds(now, time_after=two, time_before=one)
    inside = holds(now, time_after=one, time_before=two, weekdays=sorted(days))
    others = set(range(1, 8)) - days
    rest = bool(others) and holds(now, time_after=one, time_before=two, weekdays=sorted(others))
    assert (inside or rest) is holds(now, time_after=one, time_before=two)
    assert not (inside and rest)


def test_without_a_time_the_present_counts():
    rule = {"name": "r", "conditions": {"weekdays": list(range(1, 8))}, "approval": "auto"}
    assert Policy.from_dict({"version": "1", "rules": [rule]}).evaluate(CALL).permitted


def test_one_evaluation_has_one_present():
    context = Context()
    assert context.now is context.now


@pytest.mark.parametrize(
    "text", ["9:00", "09:0", "0900", "09:60", "24:00", "-1:00", "09:00:00", " 9:00", "٠٩:٠٠", "", ":", "ab:cd"]
)
def test_what_is_no_time_of_day_is_refused(text: str):
    with pytest.raises(ValueError, match="must be"):
        parse_clock(text)


def test_times_of_day_are_minutes():
    assert [parse_clock(text) for text in ("00:00", "09:05", "23:59")] == [0, 545, 1439]


@pytest.mark.parametrize(
    "name", ["Mars/Base", "", "../../etc/passwd", "/etc/passwd", "Europe", "Europe/Berlin\x00", "é", "CEST"]
)
def test_an_unknown_zone_is_refused(name: str):
    with pytest.raises(ValueError, match="is not a known time zone"):
        load_timezone(name)


def test_a_machine_without_zones_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    with pytest.raises(ValueError, match="pip install tzdata"):
        load_timezone("Mars/Base")


def test_until_holds_before_its_moment_and_never_after():
    text = "2026-03-23T12:00:00+01:00"
    assert [holds(at(clock), until=text) for clock in ("10:59", "11:00", "11:01")] == [True, False, False]


@pytest.mark.parametrize("text", ["2026-03-23", "2026-03-23T12:00:00", "tomorrow", "", 20260323, ["2026-03-23T12:00Z"]])
def test_until_is_a_time_with_its_zone(text: Any):
    with pytest.raises(PolicyError, match=r"must be a time with its zone"):
        holds(MONDAY, until=text)


def test_until_is_explained_with_the_time_it_is():
    rule = {"name": "r", "conditions": {"until": "2026-03-23T00:00:00Z"}, "approval": "auto"}
    explained = str(Policy.from_dict({"version": "1", "rules": [rule]}).explain(CALL, now=MONDAY))
    assert "false     until 2026-03-23T00:00:00Z = '2026-03-23T00:00:00Z': that time has passed" in explained
