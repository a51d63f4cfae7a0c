"""One governed call, step by step: what is judged is what is asked about, what runs and what is written down."""

from __future__ import annotations

import asyncio
import datetime
import logging
import pathlib
from dataclasses import replace
from typing import Any

import pytest

from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from aegis_core.action import Action
from aegis_core.approval.simple import CallbackApprovalHandler, DenyAllApprovalHandler
from aegis_core.call import MAX_ROUNDS, Reply
from aegis_core.errors import ActionRefused, AuditError
from aegis_core.policy.policy import Policy
from aegis_core.record import BudgetExhausted, GrantUnavailable, Intent, Outcome
from aegis_core.request import ApprovalAnswer, ApprovalRequest
from aegis_core.snapshot import canonical
from tests.core.policies import ASK, ASK_ELSEWHERE, AUTO, BLOCK, asked, kinds, records, runtime

SEND = Action("send", "mail", {"to": "ann"}, agent="bot")


def echo(arguments: dict[str, Any]) -> dict[str, Any]:
    return arguments


def yes(request: ApprovalRequest) -> ApprovalAnswer:
    return request.approve(approver="ann")


# --- failures.md 10: what was approved is what runs ---


def test_10_params_changed_after_the_approval_do_not_reach_the_tool():
    paths = {"path": ["/tmp/safe"]}

    def approve_and_tamper(request: ApprovalRequest) -> ApprovalAnswer:
        paths["path"][0] = "/etc/passwd"
        with pytest.raises(TypeError):
            request.action.params["path"][0] = "/etc/passwd"
        request.action.arguments()["path"][0] = "/etc/passwd"
        return yes(request)

    governed = runtime(ASK, [approve_and_tamper])
    result = governed.run(Action("read", "fs", paths), echo)
    assert result.data == {"path": ["/tmp/safe"]}
    assert [record.action.params for record in records(governed)] == [{"path": ["/tmp/safe"]}] * 2


def test_10_what_a_tool_does_to_its_arguments_does_not_reach_the_record():
    governed = runtime()

    def tamper(arguments: dict[str, Any]) -> None:
        arguments["path"][0] = "/etc/passwd"
        arguments["more"] = True

    governed.run(Action("read", "fs", {"path": ["/tmp/safe"]}), tamper)
    assert [record.action.params for record in records(governed)] == [{"path": ["/tmp/safe"]}] * 2


def test_10_params_behind_an_abstract_mapping_are_copied_too():
    class Shifty(dict[str, Any]):
        """A mapping that answers otherwise the second time."""

    params = Shifty(path="/tmp/safe")
    action = Action("read", "fs", params)
    params["path"] = "/etc/passwd"
    assert runtime().run(action, echo).data == {"path": "/tmp/safe"}


# --- failures.md 11: evaluate again when it matters ---


@pytest.mark.parametrize(
    ("then", "status", "questions"),
    [
        (AUTO, "success", 1),
        (ASK, "success", 1),
        (ASK_ELSEWHERE, "success", 2),
        (BLOCK, "blocked", 1),
    ],
    ids=["auto", "same rules", "other rules", "block"],
)
def test_11_a_yes_under_the_old_policy_is_judged_again_under_the_one_in_force(then, status, questions):
    ran: list[Any] = []

    def reload_and_approve(request: ApprovalRequest) -> ApprovalAnswer:
        governed.update_policy(then)
        return yes(request)

    governed = runtime(ASK, [reload_and_approve, True])
    result = governed.run(SEND, ran.append)
    assert result.status == status
    assert asked(governed) == questions
    assert len(ran) == (status == "success")
    last = next(record for record in records(governed) if not isinstance(record, Outcome) and hasattr(record, "answer"))
    assert last.policy_digest == then.digest
    assert last.answer.approved is True  # who said yes stays on record, also where it was not needed in the end


def test_11_a_yes_to_another_rule_with_the_same_name_does_not_stand():
    stricter = Policy.from_dict(
        {"version": "1", "rules": [{"name": "ask", "approval": "approve", "risk_level": "critical"}]}
    )

    def reload_and_approve(request: ApprovalRequest) -> ApprovalAnswer:
        governed.update_policy(stricter)
        return yes(request)

    governed = runtime(ASK, [reload_and_approve, False])
    assert governed.run(SEND, echo).status == "denied"
    assert asked(governed) == 2


def test_11_a_policy_that_never_comes_to_rest_ends_in_a_denial():
    policies = [ASK, ASK_ELSEWHERE]

    def reload_and_approve(request: ApprovalRequest) -> ApprovalAnswer:
        policies.reverse()
        governed.update_policy(policies[0])
        return yes(request)

    governed = runtime(ASK, [reload_and_approve] * 20)
    result = governed.run(SEND, echo)
    assert result.status == "denied"
    assert "without coming to rest" in (result.error or "")
    assert asked(governed) == MAX_ROUNDS


# --- failures.md 12: nothing runs unwritten, nothing that ran is missing ---


class Failing(MemoryAuditLogger):
    """A trail that fails at chosen writes."""

    def __init__(self, *script: BaseException | None) -> None:
        super().__init__()
        self.script = list(script)

    def write(self, record: Any, redactor: Any = None) -> None:
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error
        super().write(record, redactor)


@pytest.mark.parametrize(
    "failure",
    [
        AuditError("the database is locked"),
        OSError(28, "No space left on device"),
        RuntimeError("no such table: records"),
    ],
    ids=["locked", "full", "missing"],
)
def test_12_when_the_intent_cannot_be_written_the_tool_does_not_run(failure, caplog):
    ran: list[Any] = []
    governed = runtime(audit_logger=Failing(failure))
    with pytest.raises(AuditError), caplog.at_level(logging.CRITICAL, "aegis"):
        governed.run(SEND, ran.append)
    assert ran == []
    assert records(governed) == []
    assert "does not run" in caplog.text


@pytest.mark.parametrize(
    "params",
    [
        {"ints": {1: "a", False: "b", None: "c"}},
        {"when": datetime.date(2026, 1, 1)},
        {"huge": 10**5000},
        {"nan": float("nan")},
        {"surrogate": "\ud800"},
        {"bytes": b"\xff" * 1000},
    ],
    ids=lambda params: next(iter(params)),
)
def test_12_odd_params_are_recorded_and_the_tool_runs_with_them(params):
    governed = runtime()
    result = governed.run(Action("send", "mail", params), lambda arguments: list(arguments.values()))
    assert canonical(result.unwrap()) == canonical(list(params.values()))
    assert kinds(governed) == ["Intent", "Outcome success"]
    assert len(governed.audit_logger.get_log()) == 1  # type: ignore[attr-defined]


def test_12_cyclic_params_are_recorded_and_the_tool_runs_with_them():
    cycle: list[Any] = []
    cycle.append(cycle)
    governed = runtime()
    assert governed.run(
        Action("send", "mail", {"cycle": cycle}), lambda arguments: arguments["cycle"] is cycle
    ).unwrap()
    assert kinds(governed) == ["Intent", "Outcome success"]


def test_12_a_tool_that_raises_leaves_intent_and_outcome():
    error = ValueError("no such mailbox")

    def fail(_arguments: dict[str, Any]) -> None:
        raise error

    governed = runtime()
    result = governed.run(SEND, fail)
    assert (result.status, result.error, result.exception) == ("failed", "ValueError: no such mailbox", error)
    assert kinds(governed) == ["Intent", "Outcome failed"]
    assert records(governed)[1].error == "ValueError: no such mailbox"


def test_12_an_approver_that_raises_leaves_a_refusal_and_nothing_runs():
    ran: list[Any] = []
    governed = runtime(ASK, [ValueError("boom")])
    result = governed.run(SEND, ran.append)
    assert result.status == "denied"
    assert "the approval handler raised ValueError" in (result.error or "")
    assert ran == []
    assert kinds(governed) == ["Refusal denied"]


def test_12_when_a_refusal_cannot_be_written_it_stands_and_is_loud(caplog):
    ran: list[Any] = []
    governed = runtime(BLOCK, audit_logger=Failing(AuditError("locked")))
    with caplog.at_level(logging.CRITICAL, "aegis"):
        assert governed.run(SEND, ran.append).status == "blocked"
    assert ran == []
    assert "could not be written" in caplog.text


def test_12_when_the_outcome_cannot_be_written_the_result_is_returned_and_new_calls_wait_for_the_store(caplog):
    trail = Failing(None, AuditError("locked"), AuditError("locked"))
    governed = runtime(audit_logger=trail)
    with caplog.at_level(logging.CRITICAL, "aegis"):
        assert governed.run(SEND, echo).unwrap() == {"to": "ann"}
    assert "is held back; new calls are refused" in caplog.text
    ran: list[Any] = []
    with pytest.raises(AuditError):
        governed.run(SEND, ran.append)
    assert ran == []
    assert governed.run(SEND, echo).ok  # the store is back
    assert kinds(governed) == ["Intent", "Outcome success", "Intent", "Outcome success"]
    first, second = (record.call_id for record in records(governed)[1:3])
    assert records(governed)[0].call_id == first != second  # what was held back comes first


def test_12_a_tool_whose_result_cannot_be_looked_at_is_a_success_all_the_same():
    class Shy:
        def __repr__(self) -> str:
            raise ValueError("do not look")

    shy = Shy()
    governed = runtime()
    assert governed.run(SEND, lambda _arguments: {"shy": shy}).unwrap() == {"shy": shy}
    assert "repr raised ValueError" in records(governed)[1].data["shy"]


class Mute:
    def __getattribute__(self, name: str) -> Any:
        raise ValueError("ask me nothing")


class Incomparable(type):
    def __eq__(cls, other: object) -> bool:
        raise ValueError("compare me with nothing")

    def __hash__(cls) -> int:
        raise ValueError("nor that")


class Aloof(metaclass=Incomparable):
    pass


class Wayless(pathlib.PurePosixPath):
    def __str__(self) -> str:
        raise ValueError("no way")


@pytest.mark.parametrize("kind", ["Mute", "Aloof", "Wayless"])  # pytest could look at neither the objects nor Aloof
def test_12_an_object_that_raises_whatever_it_is_asked_is_recorded_and_handed_over(kind: str):
    stranger, governed = globals()[kind](), runtime()
    result = governed.run(SEND.replace(params={"to": stranger, "password": stranger}), lambda given: given["to"])
    assert result.ok
    assert result.data is stranger
    (entry,) = governed.audit_logger.get_log()  # type: ignore[attr-defined]
    assert entry["result_status"] == "success"
    assert entry["action_params"]["to"].startswith(f"tests.core.test_call.{kind}: <")


# --- failures.md 13: a check is not a door ---


@pytest.mark.parametrize(
    ("policy", "ok", "status"),
    [(AUTO, True, "success"), (ASK, False, "pending_approval"), (BLOCK, False, "blocked")],
    ids=["auto", "approve", "block"],
)
def test_13_a_check_is_ok_only_if_the_call_could_run_without_anybody_being_asked(policy, ok, status):
    governed = runtime(policy, [True])
    result = governed.check(SEND)
    assert (result.ok, result.status) == (ok, status)
    assert asked(governed) == 0
    assert records(governed) == []


# --- failures.md 14: the policy sees what the tool gets, and a refusal is no success ---


def test_14_a_blocked_call_is_no_success_wherever_it_is_looked_at():
    governed = runtime(BLOCK)
    result = governed.run(SEND, echo)
    assert not result.ok
    assert result.refused
    assert result.data is None
    assert result.error == "send: blocked by rule 'stop'. The call did not run."
    with pytest.raises(ActionRefused):
        result.unwrap()


def test_14_the_policy_is_asked_about_the_very_arguments():
    policy = Policy.from_dict(
        {
            "version": "1",
            "defaults": {"risk_level": "low", "approval": "auto"},
            "rules": [{"name": "etc", "conditions": {"param_matches": {"path": "^/etc"}}, "approval": "block"}],
        }
    )
    governed = runtime(policy)
    assert governed.run(Action("read", "fs", {"path": "/etc/passwd"}), echo).status == "blocked"
    assert governed.run(Action("read", "fs", {"path": "/data"}), echo).ok


# --- failures.md 15: only an explicit yes for this very request is a yes ---

NO_YES: dict[str, Any] = {
    "the word yes": "yes",
    "one": 1,
    "a webhook's body": {"approved": "false"},
    "a webhook's yes": {"approved": True},
    "a sentence": "please do NOT approve this, I disapprove",
    "the word no": "no",
    "nothing": None,
    "a truthy object": object(),
    "true as text": "true",
    "the request itself": lambda request: request,
    "a mock": lambda request: type("Yes", (), {"approved": True, "request_id": request.id, "digest": request.digest})(),
    "an answer with approved=1": lambda request: ApprovalAnswer(request.id, request.digest, approved=1),  # type: ignore[arg-type]
    "an answer with approved='yes'": lambda request: ApprovalAnswer(request.id, request.digest, approved="yes"),  # type: ignore[arg-type]
    "another request's answer": lambda request: replace(yes(request), request_id="f" * 32),
    "an answer with another digest": lambda request: replace(yes(request), digest="f" * 64),
    "the requester's own": lambda request: request.approve(approver="bot"),
    "an unanswered one": lambda request: ApprovalAnswer("other", request.digest, approved=None),
}


@pytest.mark.parametrize("answer", NO_YES.values(), ids=NO_YES)
@pytest.mark.parametrize("through", ["handler", "callback"])
def test_15_only_an_explicit_yes_to_this_very_request_is_a_yes(answer, through):
    def reply(request: ApprovalRequest) -> Any:
        return answer(request) if callable(answer) else answer

    handler: Any = ScriptedApprovalHandler([reply]) if through == "handler" else CallbackApprovalHandler(reply)
    ran: list[Any] = []
    governed = runtime(ASK, approval_handler=handler)
    result = governed.run(SEND, ran.append)
    assert result.status == "denied"
    assert ran == []
    assert kinds(governed) == ["Refusal denied"]


@pytest.mark.parametrize("answer", [True, yes, lambda request: request.approve()], ids=["True", "answer", "nameless"])
def test_15_true_and_an_approving_answer_are_a_yes_and_the_approver_is_on_record(answer):
    def reply(request: ApprovalRequest) -> Any:
        return answer(request) if callable(answer) else answer

    governed = runtime(ASK, approval_handler=CallbackApprovalHandler(reply))
    assert governed.run(SEND, echo).ok
    assert records(governed)[0].answer.approver in ("ann", "callback:reply")


def test_15_an_answer_counts_once():
    kept: list[ApprovalAnswer] = []

    def keep(request: ApprovalRequest) -> ApprovalAnswer:
        kept.append(yes(request))
        return kept[0]

    governed = runtime(ASK, [keep, keep])
    assert governed.run(SEND, echo).ok
    assert governed.run(SEND, echo).status == "denied"


def test_15_an_answer_after_the_request_expired_is_refused(monkeypatch):
    governed = runtime(ASK, [yes])
    monkeypatch.setattr(governed, "request_lifetime", 0.0)
    assert "after the request had expired" in (governed.run(SEND, echo).error or "")


def test_15_what_a_yes_binds_to_changes_with_everything_it_is_about():
    digests: list[str] = []

    def note(request: ApprovalRequest) -> ApprovalAnswer:
        digests.append(request.digest)
        return request.deny()

    governed = runtime(ASK, [note] * 20)
    base = Action("send", "mail", {"to": "ann", "n": 1}, agent="bot", user="eve")
    variants = [
        base,
        base.replace(type="mail"),
        base.replace(target="post"),
        base.replace(agent="other"),
        base.replace(user=None),
        base.replace(params={"to": "ann", "n": True}),
        base.replace(params={"to": "ann"}),
    ]
    for action in variants:
        governed.run(action, echo)
    governed.update_policy(ASK_ELSEWHERE)
    governed.run(base, echo)
    assert len(set(digests)) == len(variants) + 1
    governed.update_policy(ASK)
    governed.run(base.replace(labels={"run": "2"}, session_id="elsewhere"), echo)
    assert digests[-1] == digests[0]  # neither labels nor the session are part of the question


def test_deny_all_says_why():
    result = runtime(ASK, approval_handler=DenyAllApprovalHandler()).run(SEND, echo)
    assert "approvals are switched off here" in (result.error or "")


# --- edits ---


def edit(**changes: Any) -> Any:
    return lambda request: replace(yes(request), edits=changes)


def test_17_an_edited_call_is_a_new_call_and_is_asked_about_again():
    governed = runtime(ASK, [edit(to="bob"), True])
    result = governed.run(SEND, echo)
    assert result.data == {"to": "bob"}
    assert [request.action.params["to"] for request in governed.approval_handler.requests] == ["ann", "bob"]  # type: ignore[attr-defined]
    assert result.action.params == {"to": "bob"}


def test_17_an_edit_into_what_is_blocked_is_blocked():
    policy = Policy.from_dict(
        {
            "version": "1",
            "rules": [
                {"name": "never", "conditions": {"param_eq": {"to": "eve"}}, "approval": "block"},
                {"name": "ask", "approval": "approve"},
            ],
        }
    )
    governed = runtime(policy, [edit(to="eve")])
    assert governed.run(SEND, echo).status == "blocked"
    assert records(governed)[0].answer.approver == "ann"


def test_an_edit_into_what_needs_nobody_runs_and_names_the_approver():
    policy = Policy.from_dict(
        {
            "version": "1",
            "rules": [
                {"name": "safe", "conditions": {"param_eq": {"to": "me"}}, "approval": "auto"},
                {"name": "ask", "approval": "approve"},
            ],
        }
    )
    governed = runtime(policy, [edit(to="me")])
    assert governed.run(SEND, echo).data == {"to": "me"}
    assert asked(governed) == 1
    assert records(governed)[0].answer.approver == "ann"


def test_an_edit_where_the_door_cannot_pass_it_on_is_a_no():
    governed = runtime(ASK, [edit(to="bob")])
    call = governed.begin(SEND)
    assert not call.permitted
    assert "cannot pass them on" in (call.result.error or "")  # type: ignore[union-attr]
    governed = runtime(ASK, [edit(to="bob"), True])
    call = governed.begin(SEND, can_edit=True)
    assert call.permitted
    assert call.action.arguments() == {"to": "bob"}


@pytest.mark.parametrize(
    "edits", [{"cc": "x"}, {"/to/0": "x"}, {"/thing/attribute": 1}, {"/list/x": 1}, {"/list/9": 1}]
)
def test_an_edit_that_names_nothing_is_a_no(edits):
    class Thing:
        attribute = 0

        def __setitem__(self, *_: Any) -> None:
            raise AssertionError("an edit must not reach into the caller's object")

        def __getitem__(self, _name: str) -> int:
            return 1

    governed = runtime(ASK, [lambda request: replace(yes(request), edits=edits), True])
    result = governed.run(SEND.replace(params={"to": "ann", "thing": Thing(), "list": [1]}), echo)
    assert result.status == "denied"
    assert "names no argument" in (result.error or "")


@pytest.mark.parametrize(
    "fields",
    [{"edits": [("to", "x")]}, {"edits": {1: 2}}, {"approver": 7}, {"reason": b"because"}],
    ids=["edits as pairs", "edits by number", "approver", "reason"],
)
def test_an_answer_of_the_wrong_types_is_refused_where_it_is_made(fields):
    governed = runtime(ASK, [lambda request: replace(yes(request), **fields)])
    assert "the approval handler raised TypeError" in (governed.run(SEND, echo).error or "")


# --- what stores say: grants and budgets ---


class Store(MemoryAuditLogger):
    """Refuses the next intents with given signals, and consumes every grant."""

    def __init__(self, *signals: Exception) -> None:
        super().__init__()
        self.signals = list(signals)
        self.consumed: list[str] = []

    def write(self, record: Any, redactor: Any = None) -> None:
        if isinstance(record, Intent):
            if self.signals:
                raise self.signals.pop(0)
            if record.answer is not None and record.answer.grant is not None:
                self.consumed.append(record.answer.grant)
                record = record._replace(answer=replace(record.answer, grant=None))
        super().write(record, redactor)


def granted(name: str) -> Any:
    return lambda request: replace(yes(request), grant=name)


def test_a_grant_that_is_used_up_means_asking_anew():
    store = Store(GrantUnavailable("used"))
    governed = runtime(ASK, [granted("t1"), granted("t2")], audit_logger=store)
    assert governed.run(SEND, echo).ok
    assert asked(governed) == 2
    assert store.consumed == ["t2"]


def test_a_grant_that_is_used_up_does_not_run_on_a_no():
    governed = runtime(ASK, [granted("t1"), False], audit_logger=Store(GrantUnavailable("used")))
    assert governed.run(SEND, echo).status == "denied"


def test_a_grant_is_used_up_also_where_the_policy_has_come_to_need_none():
    def reload_and_approve(request: ApprovalRequest) -> ApprovalAnswer:
        governed.update_policy(AUTO)
        return granted("t1")(request)

    store = Store()
    governed = runtime(ASK, [reload_and_approve], audit_logger=store)
    assert governed.run(SEND, echo).ok
    assert store.consumed == ["t1"]


def test_a_grant_never_carries_arguments_that_travel_by_reference():
    governed = runtime(ASK, [granted("t1")], audit_logger=Store())
    result = governed.run(Action("query", "db", {"connection": object()}), echo)
    assert result.status == "denied"
    assert "passed by reference (connection)" in (result.error or "")


def test_a_person_who_sits_there_may_say_yes_to_them_and_is_told():
    governed = runtime(ASK, [True])
    thing = object()
    assert governed.run(Action("query", "db", {"connection": thing}), echo).data == {"connection": thing}
    assert governed.approval_handler.requests[0].opaque == ("connection",)  # type: ignore[attr-defined]


def test_an_exhausted_budget_means_judging_again():
    policy = Policy.from_dict(
        {
            "version": "1",
            "rules": [
                {"name": "few", "conditions": {"calls": {"max": 1, "per": "1h", "by": "session"}}, "approval": "auto"},
                {"name": "ask", "approval": "approve"},
            ],
        }
    )
    governed = runtime(policy, [True, False])
    assert governed.run(SEND, echo).ok
    assert asked(governed) == 0
    assert governed.run(SEND, echo).ok
    assert governed.run(SEND, echo).status == "denied"
    assert asked(governed) == 2


def test_a_store_that_always_says_exhausted_ends_in_a_denial():
    governed = runtime(audit_logger=Store(*[BudgetExhausted("k", 0)] * 99))
    ran: list[Any] = []
    assert governed.run(SEND, ran.append).status == "denied"
    assert ran == []


# --- pending, denied, timed out ---


def test_a_pending_approval_says_that_the_call_may_be_made_again():
    governed = runtime(ASK, [lambda request: ApprovalAnswer(request.id, request.digest, approved=None)])
    result = governed.run(SEND, echo)
    assert result.status == "pending_approval"
    assert (result.error or "").endswith("Call again with the same arguments once it is approved.")
    assert result.request_id == governed.approval_handler.requests[0].id  # type: ignore[attr-defined]
    assert kinds(governed) == ["Refusal pending_approval"]


def test_a_no_names_who_said_it_and_why():
    governed = runtime(ASK, [lambda request: request.deny(approver="ann", reason="not on a Sunday")])
    assert governed.run(SEND, echo).error == "send: denied by ann: not on a Sunday. The call did not run."


# --- observe ---


@pytest.mark.parametrize("policy", [AUTO, ASK, BLOCK], ids=["auto", "approve", "block"])
def test_observe_mode_decides_and_records_and_lets_everything_run(policy):
    governed = runtime(policy, mode="observe")
    assert governed.run(SEND, echo).ok
    assert governed.begin(SEND).permitted
    assert asked(governed) == 0
    intent = records(governed)[0]
    assert (intent.enforced, intent.decision.approval) == (False, policy.evaluate(SEND).approval)
    assert governed.check(SEND).ok


# --- failures.md 23: names and values from outside reach nobody raw ---


def test_23_control_characters_in_a_tools_name_do_not_reach_the_message():
    governed = runtime()
    result = governed.run(Action("read\x1b[2J\nfake", "fs"), echo)
    assert result.status == "blocked"
    assert (result.error or "").isprintable()
    assert "\\e[2J\\nfake" in (result.error or "")


def test_23_an_approvers_words_do_not_steer_a_terminal_either():
    governed = runtime(ASK, [lambda request: request.deny(reason="no\x1b[31m\u202e")])
    assert (governed.run(SEND, echo).error or "").isprintable()


# --- replies ---


def test_a_reply_reports_failure_without_an_exception():
    governed = runtime()
    result = governed.run(SEND, lambda _arguments: Reply({"isError": True}, failed="no such mailbox"))
    assert (result.status, result.data, result.error) == ("failed", {"isError": True}, "no such mailbox")
    assert kinds(governed) == ["Intent", "Outcome failed"]
    assert runtime().run(SEND, lambda _arguments: Reply(7)).unwrap() == 7


class Unprintable(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_exception_that_cannot_be_printed_is_recorded_by_its_type():
    def fail(_arguments: dict[str, Any]) -> None:
        raise Unprintable

    governed = runtime()
    assert governed.run(SEND, fail).error == "Unprintable"
    assert records(governed)[1].error == "Unprintable"


async def test_the_same_from_a_coroutine():
    governed = runtime(ASK, [True, False, edit(to="bob"), True])

    async def tool(arguments: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0)
        return arguments

    assert (await governed.arun(SEND, tool)).data == {"to": "ann"}
    assert (await governed.arun(SEND, tool)).status == "denied"
    assert (await governed.arun(SEND, tool)).data == {"to": "bob"}


def test_a_policy_that_fails_to_answer_blocks(caplog, monkeypatch):
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")

    governed = runtime(AUTO)
    monkeypatch.setattr(Policy, "evaluate", fail)
    with caplog.at_level(logging.CRITICAL, "aegis"):
        result = governed.run(SEND, echo)
    assert result.status == "blocked"
    assert "could not be evaluated (RuntimeError)" in (result.error or "")
    assert "the call is blocked" in caplog.text


# --- failures.md 18: a yes is for one call ---


def test_18_a_yes_is_for_one_call_and_the_same_tool_is_asked_about_again():
    governed = runtime(ASK, [True, False, False])
    delete = Action("delete_file", "fs", {"path": "/tmp/a"})
    assert governed.run(delete, echo).ok
    assert governed.run(delete, echo).status == "denied"
    assert governed.run(delete.replace(params={"path": "/tmp/b"}), echo).status == "denied"
    assert asked(governed) == 3
