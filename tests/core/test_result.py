"""The Result: how a call ended, and what unwrapping makes of it."""

from __future__ import annotations

import copy
import pickle

import pytest

from aegis_core.action import Action
from aegis_core.decision import Approval, Decision, RiskLevel
from aegis_core.errors import ActionRefused, AegisError
from aegis_core.result import Result, ResultStatus

ACTION = Action("read", "fs", {"path": "/tmp"})


def test_only_success_is_ok():
    assert [status for status in ResultStatus if Result(ACTION, status).ok] == [ResultStatus.SUCCESS]


def test_refused_means_kept_from_running():
    refused = [status.value for status in ResultStatus if Result(ACTION, status).refused]
    assert refused == ["blocked", "denied", "pending_approval"]


def test_unwrapping_gives_what_the_tool_returned():
    assert Result(ACTION, ResultStatus.SUCCESS, [1]).unwrap() == [1]
    assert Result(ACTION, ResultStatus.SUCCESS).unwrap() is None


def test_unwrapping_raises_the_tools_own_exception_the_same_object():
    error = KeyError("gone")
    with pytest.raises(KeyError) as caught:
        Result(ACTION, ResultStatus.FAILED, exception=error).unwrap()
    assert caught.value is error


def test_unwrapping_a_failure_without_an_exception_says_what_the_tool_said():
    with pytest.raises(AegisError, match="no such file"):
        Result(ACTION, ResultStatus.FAILED, error="no such file").unwrap()
    with pytest.raises(AegisError, match="without saying why"):
        Result(ACTION, ResultStatus.FAILED).unwrap()


@pytest.mark.parametrize("status", ["blocked", "denied", "pending_approval", "cancelled", "unknown"])
def test_unwrapping_what_did_not_run_raises_a_refusal_that_carries_the_result(status):
    result = Result(ACTION, ResultStatus(status), error="read: denied. The call did not run.")
    with pytest.raises(ActionRefused, match="The call did not run") as caught:
        result.unwrap()
    assert caught.value.result is result


def test_a_status_may_be_its_word_and_nothing_else():
    assert Result(ACTION, "success").ok  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'fine' is not a valid ResultStatus"):
        Result(ACTION, "fine")  # type: ignore[arg-type]


def test_it_cannot_be_changed_or_derived_from():
    result = Result(ACTION, ResultStatus.BLOCKED)
    with pytest.raises(AttributeError, match="cannot be changed"):
        result.status = ResultStatus.SUCCESS
    with pytest.raises(AttributeError):
        del result.data
    with pytest.raises(TypeError, match="cannot be derived from"):

        class Mine(Result):  # type: ignore[misc]
            pass


def test_it_survives_pickling_and_so_does_the_refusal():
    decision = Decision(Approval.BLOCK, RiskLevel.HIGH, "stop", "blocked by rule 'stop'")
    result = Result(
        ACTION,
        ResultStatus.BLOCKED,
        {"a": 1},
        "no",
        exception=ValueError("x"),
        decision=decision,
        call_id="c",
        request_id="r",
    )
    for again in (pickle.loads(pickle.dumps(result)), copy.copy(result)):
        assert (again.action, again.status, again.data, again.error) == (ACTION, ResultStatus.BLOCKED, {"a": 1}, "no")
        assert (again.decision, again.call_id, again.request_id) == (decision, "c", "r")
        assert repr(again.exception) == "ValueError('x')"
    refusal = pickle.loads(pickle.dumps(ActionRefused(result)))
    assert refusal.result.status is ResultStatus.BLOCKED


def test_a_repr_shows_no_data():
    assert "hunter2" not in repr(Result(ACTION, ResultStatus.SUCCESS, "hunter2"))
