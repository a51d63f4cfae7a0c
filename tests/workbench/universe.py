"""A small world of policies and calls, small enough to try every call on every policy."""

from __future__ import annotations

import itertools
import math
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from aegis import Action
from aegis_core.session import SessionState

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ["".join(letters) for size in (1, 2, 3) for letters in itertools.product("abA.", repeat=size)]
NAMES += ["é", "aé", "a__b", "ab__a", "ａ", "aｂ", "b\u0301", "ab ", "aab", "abab", "ba.ab"]
PATTERNS = ["*", "a*", "b*", "*a", "*b*", "a", "b", "ab", "a?", "?b", "[ab]*", "[!a]*", "A*", "a.b", "*.a", "aé"]
TARGETS = ["s", "t", "S", "g.s"]
TARGET_PATTERNS = ["*", "s", "t", "s*"]
WHOM = [None, "u", "v"]

CONDITIONS: list[dict[str, Any]] = [
    {"param_eq": {"x": 1}}, {"param_eq": {"x": "a"}}, {"param_eq": {"x": True}}, {"param_eq": {"x": [1, 2]}},
    {"param_gt": {"x": 0}}, {"param_gt": {"x": 1}}, {"param_gte": {"x": 1}}, {"param_lt": {"x": 1}},
    {"param_lte": {"x": 1}}, {"param_lt": {"x": 0}}, {"param_gt": {"x": "a"}}, {"param_lte": {"x": "b"}},
    {"param_in": {"x": [1, 2]}}, {"param_in": {"x": ["a", "b"]}}, {"param_in": {"x": ["a", 1]}},
    {"param_contains": {"x": "a"}}, {"param_contains": {"x": 1}}, {"param_contains": {"x": "ab"}},
    {"param_matches": {"x": "^a"}}, {"param_matches": {"x": "b"}}, {"param_matches": {"x": "(?i)^A$"}},
    {"param_path": {"x": {"under": ["/a"]}}}, {"param_path": {"x": {"under": ["/a", "/b"]}}},
    {"param_path": {"x": {"under": ["/a"], "name": ["*.c"]}}}, {"param_email": {"x": {"domains": ["a.b"]}}},
    {"param_email": {"x": {"domains": ["a.b", "c.d"]}}}, {"param_eq": {"y": True}}, {"param_gt": {"y.z": 1}},
    {"param_gt": {"y[].z": 1}}, {"param_names": ["x"]}, {"param_names": []},
    {"time_after": "08:00", "time_before": "18:00"}, {"time_after": "18:00", "time_before": "08:00"},
    {"time_after": "09:00"}, {"weekdays": ["mon", "tue"]},
    {"weekdays": ["mon"], "time_after": "20:00", "time_before": "04:00"},
    {"until": "2026-03-24T12:00:00Z"}, {"until": "2027-01-01T00:00:00Z"},
    {"after": {"type": "a*"}}, {"after": {"type": "b"}}, {"param_from": {"x": "user"}},
]  # fmt: skip
BUDGETS: list[dict[str, Any]] = [{"calls": {"max": 1, "per": "1h"}}, {"calls": {"max": 5, "per": "1h"}}]
VALUES: list[Any] = [
    "absent", None, 0, 1, 1.5, 2, 3, -1, "a", "b", "ab", "", "zz", True, False, [1, 2], [1], ["a"], [], ["a", "zz"],
    [1, "a"], {"k": 1}, "/a/x", "/b/x.c", "/a/x.c", "/c", ["/a/x", "/b/x"], math.nan, object(), "\ud800",
    "j@a.b", "j@c.d",
]  # fmt: skip
OTHERS: list[dict[str, Any]] = [{}, {"y": True}, {"y": {"z": 2}}, {"y": [{"z": 2}, {"z": 0}]}, {"X": 1}]
TIMES = [datetime(2026, 3, day, hour, tzinfo=UTC) for day in (23, 24, 25) for hour in (3, 8, 12, 19, 21)]


def _session(*begun: tuple[str, str], said: str = "", exhausted: bool = False) -> SessionState:
    state = SessionState(exhausted=(lambda _key: 1 << 62) if exhausted else None)
    state.add_calls(begun)
    if said:
        state.add_user_text(said)
    return state


SESSIONS = [None, _session(), _session(("a", "s")), _session(("b", "s"), said="use /a/x.c"), _session(exhausted=True)]


@st.composite
def rules(draw: st.DrawFn, *, most: int = 5, conditional: bool = True) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, most))):
        match: dict[str, Any] = {"type": draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2))}
        if draw(st.booleans()):
            match["target"] = draw(st.sampled_from(TARGET_PATTERNS))
        if draw(st.integers(0, 5)) == 0:
            match[draw(st.sampled_from(["agent", "user"]))] = draw(st.sampled_from(["u", "v", "*", "u*"]))
        rule: dict[str, Any] = {
            "name": f"r{number}",
            "match": match,
            "approval": draw(st.sampled_from(["auto", "approve", "block"])),
            "risk_level": draw(st.sampled_from(["low", "high"])),
        }
        conditions: dict[str, Any] = {}
        pool = CONDITIONS + (BUDGETS if rule["approval"] == "auto" else [])
        for one in draw(st.lists(st.sampled_from(pool), max_size=2)) if conditional else []:
            if not conditions.keys() & one.keys():
                conditions.update(one)
        if conditions:
            rule["conditions"] = conditions
        found.append(rule)
    return found


def calls(seed: int) -> Iterator[tuple[Action, SessionState | None, datetime]]:
    """Calls of the world: every name on every target, and every value for a few of them; the rest by chance."""
    chance = random.Random(seed)
    for name, target in itertools.product(NAMES, TARGETS):
        yield _call(chance, name, target, chance.choice(VALUES))
    for name, value in itertools.product(("a", "b", "ab", "A", "b.a"), VALUES):
        for _ in range(3):
            yield _call(chance, name, "s", value)


def _call(chance: random.Random, name: str, target: str, value: Any) -> tuple[Action, SessionState | None, datetime]:
    params = dict(chance.choice(OTHERS))
    if not (isinstance(value, str) and value == "absent"):
        params["x"] = value
    session = chance.choice(SESSIONS)
    agent, user = chance.choice(WHOM), chance.choice(WHOM)
    action = Action(name, target, params, agent=agent, user=user, session_id=None if session is None else "one")
    return action, session, chance.choice(TIMES)
