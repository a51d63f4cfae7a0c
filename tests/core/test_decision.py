from __future__ import annotations

import pytest

from aegis_core.decision import Approval, Caution, Decision, RiskLevel


def test_decisions_that_say_the_same_are_equal_whatever_rules_they_rest_on() -> None:
    caution = Caution("<lock>", Approval.AUTO, RiskLevel.LOW, "known", "digest")
    one = Decision(Approval.AUTO, RiskLevel.LOW, "read")
    other = one._replace(deciders=(caution,))
    assert one == other
    assert not one != other  # noqa: SIM202 - both operators
    assert hash(one) == hash(other)
    assert one != one._replace(matched_rule="write")
    assert one != tuple(one)


def test_a_decision_shows_what_was_decided_and_cannot_be_changed() -> None:
    decision = Decision(Approval.BLOCK, RiskLevel.HIGH, "no", "because")
    assert repr(decision).endswith("matched_rule='no', reason='because', floors=())")
    with pytest.raises(AttributeError):
        decision.approval = Approval.AUTO  # type: ignore[misc]
