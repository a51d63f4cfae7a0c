"""What a door knows of a tool besides the policy: it tightens the decision, never loosens it, and a yes binds to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.action import Action
from aegis_core.decision import Approval, Caution, RiskLevel
from tests.core.policies import ASK, AUTO, BLOCK, asked, records, runtime

if TYPE_CHECKING:
    from aegis_core.request import ApprovalAnswer, ApprovalRequest

CALL = Action("add", "maths", {"a": 1})


def caution(approval: str = "auto", digest: str = "d1") -> Caution:
    return Caution("<lock>", Approval(approval), RiskLevel.HIGH, f"{approval} because of the tool", digest)


def echo(arguments: dict[str, Any]) -> dict[str, Any]:
    return arguments


@pytest.mark.parametrize(
    ("policy", "said", "status", "questions", "rule"),
    [
        (AUTO, "auto", "success", 0, "<default>"),
        (AUTO, "approve", "success", 1, "<lock>"),
        (AUTO, "block", "blocked", 0, "<lock>"),
        (ASK, "auto", "success", 1, "ask"),
        (ASK, "approve", "success", 1, "ask"),
        (ASK, "block", "blocked", 0, "<lock>"),
        (BLOCK, "auto", "blocked", 0, "stop"),
        (BLOCK, "approve", "blocked", 0, "stop"),
    ],
)
def test_the_stricter_of_policy_and_door_wins(policy: Any, said: str, status: str, questions: int, rule: str) -> None:
    for run in (lambda governed: governed.run(CALL, echo, caution=lambda: caution(said)),
                lambda governed: asyncio.run(governed.arun(CALL, echo, caution=lambda: caution(said)))):  # fmt: skip
        governed = runtime(policy, [True])
        result = run(governed)
        assert result.status == status
        assert asked(governed) == questions
        assert records(governed)[0].decision.matched_rule == rule


@given(st.sampled_from([AUTO, ASK, BLOCK]), st.sampled_from(list(Approval)))
def test_a_caution_never_loosens(policy: Any, said: Approval) -> None:
    before = policy.evaluate(CALL)
    after = before.under(caution(said))
    assert after.approval.strictness >= max(before.approval.strictness, said.strictness)
    assert after.risk_level >= before.risk_level


def test_a_yes_binds_to_what_the_door_knew() -> None:
    digests: list[str] = []

    def note(request: ApprovalRequest) -> ApprovalAnswer:
        digests.append(request.digest)
        return request.deny()

    governed = runtime(ASK, [note] * 4)
    said = iter((caution(digest="d1"), caution(digest="d2"), None, caution(digest="d1")))
    for _ in range(4):
        governed.run(CALL, echo, caution=lambda: next(said))
    assert digests[0] == digests[3]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(("then", "status", "questions"), [("d2", "success", 2), ("block", "blocked", 1)])
def test_what_the_door_learns_while_a_person_thinks_counts(then: str, status: str, questions: int) -> None:
    now = [caution("approve", "d1")]

    def answer(request: ApprovalRequest) -> ApprovalAnswer:
        now[0] = caution("block") if then == "block" else caution("approve", then)
        return request.approve(approver="ann")

    governed = runtime(AUTO, [answer, answer])
    assert governed.run(CALL, echo, caution=lambda: now[0]).status == status
    assert asked(governed) == questions


def test_in_observe_mode_it_is_recorded_and_runs() -> None:
    governed = runtime(AUTO, mode="observe")
    assert governed.run(CALL, echo, caution=lambda: caution("block")).ok
    assert records(governed)[0].decision.approval is Approval.BLOCK


def test_a_call_within_its_own_governed_call_is_not_joined_past_the_caution() -> None:
    governed = runtime(AUTO)
    inner: list[str] = []

    def outer(arguments: dict[str, Any]) -> None:
        inner.append(governed.run(CALL, echo, caution=lambda: caution("block")).status)

    assert governed.run(CALL, outer).ok
    assert inner == ["blocked"]
