"""The Action: immutable from the moment it is made, and copied before anybody can run with it."""

from __future__ import annotations

import copy
import enum
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.action import Action, action_of
from aegis_core.snapshot import FrozenDict


def test_what_the_caller_changes_after_making_it_does_not_reach_the_action():
    paths, labels = ["/tmp/safe"], {"run": "1"}
    params: dict[str, object] = {}
    params["paths"] = paths
    action = Action("read", "fs", params, labels=labels)
    paths[0] = "/etc/passwd"
    params["extra"] = True
    labels["run"] = "2"
    assert action.params == {"paths": ["/tmp/safe"]}
    assert action.labels == {"run": "1"}


def test_every_copy_of_the_arguments_is_fresh_and_may_be_changed():
    action = Action("read", "fs", {"paths": ["/tmp/safe"], "n": 1})
    first, second = action.arguments(), action.for_execution().params
    first["paths"].append("/etc/passwd")
    first["n"] = 2
    second["paths"].clear()
    assert action.arguments() == {"paths": ["/tmp/safe"], "n": 1}


def test_nothing_of_it_can_be_set_or_deleted():
    action = Action("read", "fs", {"path": "/tmp"})
    for name in ("type", "target", "params", "agent", "user", "session_id", "labels", "description", "names", "other"):
        with pytest.raises(AttributeError, match="cannot be changed"):
            setattr(action, name, "x")
        with pytest.raises(AttributeError):
            delattr(action, name)
    assert not hasattr(action, "__dict__")


def test_a_class_derived_from_it_is_refused():
    with pytest.raises(TypeError, match="cannot be derived from"):

        class Mine(Action):  # type: ignore[misc]
            pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"type": None}, "Action type must be a string, got None"),
        ({"type": b"read"}, "Action type must be a string, got b'read'"),
        ({"target": 1}, "Action target must be a string, got 1"),
        ({"agent": 1}, "Action agent must be a string or None, got 1"),
        ({"user": ["u"]}, r"Action user must be a string or None, got \['u'\]"),
        ({"session_id": 5}, "Action session_id must be a string or None, got 5"),
        ({"description": None}, "Action description must be a string, got None"),
        ({"params": ["ab"]}, "params must be a mapping"),
        ({"params": []}, "params must be a mapping"),
        ({"params": ""}, "params must be a mapping"),
        ({"params": {1: 2}}, "names must be strings"),
        ({"labels": [("a", "b")]}, "params must be a mapping"),
    ],
    ids=repr,
)
def test_a_wrong_type_is_named(arguments, message):
    with pytest.raises(TypeError, match=message):
        Action(**{"type": "read", "target": "fs", **arguments})


class Name(enum.StrEnum):
    READ = "read"

    def __str__(self) -> str:
        return "something else"


class Loud(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


def test_a_name_that_is_more_than_a_string_is_taken_as_the_string_it_is():
    action = Action(
        Name.READ, Loud("fs"), agent=Loud("bot"), user=Name.READ, session_id=Loud("s"), description=Loud("")
    )
    assert action == Action("read", "fs", agent="bot", user="read", session_id="s")
    names = (*action.names, action.session_id, action.description)
    assert {type(name) for name in names} == {str}
    assert names == ("read", "fs", "bot", "read", "s", "")


def test_no_params_and_empty_params_are_the_same():
    assert Action("a", "b") == Action("a", "b", {}) == Action("a", "b", None)
    assert Action("a", "b").params == {}


def test_two_actions_are_equal_when_everything_is_and_numbers_of_other_types_are_not():
    one = Action("a", "b", {"n": 1}, agent="x", labels={"l": "1"}, description="d", session_id="s")
    assert one == one.replace()
    changes: tuple[dict[str, Any], ...] = (
        {"type": "c"},
        {"target": "c"},
        {"params": {"n": True}},
        {"params": {"n": 1.0}},
        {"agent": None},
        {"user": "u"},
        {"session_id": None},
        {"labels": {}},
        {"description": ""},
    )
    for change in changes:
        assert one != one.replace(**change)
    assert one != "a"
    with pytest.raises(TypeError):
        hash(one)


def test_replace_knows_its_fields():
    with pytest.raises(TypeError):
        Action("a", "b").replace(parms={})


@given(st.dictionaries(st.text(max_size=4), st.lists(st.integers() | st.text(max_size=3), max_size=3), max_size=3))
def test_it_survives_pickling_and_copying(params):
    action = Action("a", "b", params, agent="x", user="u", session_id="s", labels={"l": "1"}, description="d")
    for again in (pickle.loads(pickle.dumps(action)), copy.copy(action), copy.deepcopy(action)):
        assert again == action
        assert type(again.params) is FrozenDict


def test_an_opaque_argument_survives_pickling_if_it_can_be_pickled():
    action = Action("a", "b", {"when": frozenset((1,))})
    assert pickle.loads(pickle.dumps(action)).arguments() == {"when": frozenset((1,))}


def test_a_repr_names_the_params_and_shows_none():
    assert repr(Action("login", "web", {"password": "hunter2"})) == "Action('login', 'web', params=['password'])"


def test_it_says_which_params_no_approval_can_bind():
    action = Action("query", "db", {"connection": object(), "sql": "select 1", "rows": [1, object()]})
    assert action.opaque_params() == ("connection", "rows")
    assert not action.bindable
    assert Action("query", "db", {"sql": "select 1"}).bindable


def test_an_action_whose_params_can_be_changed_is_frozen_again_for_whoever_is_handed_it():
    handed = Action("read", "fs", {"paths": ["/tmp/safe"]}).for_execution()
    taken = handed.of("agent", "user", "session")
    handed.params["paths"][0] = "/etc/passwd"
    assert taken.params == {"paths": ["/tmp/safe"]}
    assert (taken.agent, taken.user, taken.session_id) == (*taken.names[2:], "session")


def test_the_short_way_to_an_action_is_the_same_action():
    assert action_of("a", "b", {"x": [1]}, "agent", "user", "s") == Action(
        "a", "b", {"x": [1]}, agent="agent", user="user", session_id="s"
    )
