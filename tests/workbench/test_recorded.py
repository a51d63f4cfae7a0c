"""Calls of the past under another policy: exact where the trail knows enough, and unsure where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aegis import Action, Approval, Policy, Runtime
from aegis.runtime.audit import AuditLogger
from aegis.workbench.recorded import Judge

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = Policy.from_string('version: "1"\ndefaults: {approval: auto}')


def recorded(folder: Path, *actions: Action) -> list[dict[str, Any]]:
    with AuditLogger(folder / "trail.db", durable=False) as trail:
        runtime = Runtime(policy=EVERYTHING, audit_logger=trail)
        for action in actions:
            runtime.run(action, lambda arguments: "done")
        runtime.close()
        return trail.get_log()


def judged(folder: Path, rules: str, *actions: Action) -> list[Any]:
    policy = Policy.from_string(f'version: "1"\nrules:\n{rules}')
    return list(Judge(policy).judge_all(recorded(folder, *actions)))


def test_a_call_whose_arguments_are_on_the_trail_is_judged_for_certain(tmp_path: Path):
    rules = "  - {name: small, match: {type: pay}, conditions: {param_lt: {amount: 10}}, approval: auto}"
    small, large = judged(tmp_path, rules, Action("pay", "shop", {"amount": 5}), Action("pay", "shop", {"amount": 50}))
    assert small.sure
    assert not small.stricter
    assert large.sure
    assert large.stricter
    assert large.decision.approval is Approval.BLOCK


def test_a_masked_argument_leaves_the_answer_open_only_where_it_matters(tmp_path: Path):
    rules = """
  - {name: known, match: {type: login}, conditions: {param_eq: {password: "x"}}, approval: auto}
  - {name: never, match: {type: "*_all"}, conditions: {param_eq: {password: "x"}}, approval: block}
"""
    login, erase = judged(
        tmp_path,
        rules,
        Action("login", "s", {"password": "hunter2"}),
        Action("erase_all", "s", {"password": "hunter2"}),
    )
    assert login.hidden == ("password",)
    assert login.possible == {Approval.AUTO, Approval.BLOCK}
    assert not login.stricter
    assert erase.sure  # blocked by the rule or by default
    assert erase.stricter


def test_what_was_called_before_is_learnt_on_the_way(tmp_path: Path):
    rules = """
  - {name: after_web, match: {type: send}, conditions: {after: {type: fetch}}, approval: block}
  - {name: rest, approval: auto}
"""
    calls = [Action(name, "s", session_id="one") for name in ("send", "fetch", "send")]
    answers = judged(tmp_path, rules, *calls)
    assert [answer.decision.approval for answer in answers] == ["auto", "auto", "block"]
    assert all(answer.sure for answer in answers)


@pytest.mark.parametrize("condition", ["param_from: {to: user}", "calls: {max: 1, per: 1h}"])
def test_what_no_trail_knows_is_not_guessed(tmp_path: Path, condition: str):
    rules = f"  - {{name: r, match: {{type: send}}, conditions: {{{condition}}}, approval: auto}}"
    (answer,) = judged(tmp_path, rules, Action("send", "mail", {"to": "jane@example.com"}, session_id="one"))
    assert not answer.sure
    assert Approval.AUTO in answer.possible
