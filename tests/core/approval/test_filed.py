"""What is filed about a call: everything a person must see, no secret, and enough to make the call again."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis import Action, ResultStatus, Runtime
from aegis.errors import ApprovalError
from aegis.runtime.approval import QueueApprovalHandler
from aegis_core.approval.filed import action_of
from aegis_core.approval.store import ApprovalStore
from aegis_core.audit.sqlite import AuditLogger
from aegis_core.policy.policy import Policy
from tests.core.policies import ASK

if TYPE_CHECKING:
    from aegis_core.approval.store import Ticket

ASK_WRITES = Policy.from_dict(
    {
        "version": "1",
        "rules": [
            {"name": "tmp", "conditions": {"param_eq": {"path": "/tmp/a"}}, "approval": "auto"},
            {"name": "ask", "approval": "approve"},
        ],
    }
)


def filed(trail: AuditLogger, params: dict[str, Any], **names: Any) -> Ticket:
    """The request of a call that waits."""
    runtime = Runtime(policy=ASK, audit_logger=trail, approval_handler=QueueApprovalHandler(trail, wait=False))
    action = Action("write_file", "filesystem", params, **{"agent": "bot", **names})
    result = runtime.run(action, lambda _: pytest.fail("it ran"))
    assert result.status is ResultStatus.PENDING_APPROVAL, result.error
    return ApprovalStore(trail).get(result.request_id or "")


def everything_stored(trail: AuditLogger) -> str:
    """All that the tables hold, as text."""
    tables = ("approvals", "approval_waiters", "records")
    return repr([trail.read(lambda db, t=t: db.execute(f"SELECT * FROM {t}").fetchall()) for t in tables])  # type: ignore[misc]


def test_a_secret_is_masked_with_its_length_and_a_keyed_digest(either: AuditLogger) -> None:
    ticket = filed(
        either, {"password": "hunter2", "url": "https://ann:s3cr3t-pw@example.com/", "pin": {"token": [1, 2]}}
    )
    shown = ticket.request["params"]
    digest = either.digest(b"secret hunter2")[:12]
    assert shown["password"] == f"[redacted: 7 characters, {digest}]"
    assert "[redacted: " in shown["url"]
    assert shown["url"].endswith("@example.com/")
    assert shown["pin"]["token"].startswith("[redacted: list, ")
    stored = everything_stored(either)
    assert "hunter2" not in stored
    assert "s3cr3t-pw" not in stored


def test_the_same_secret_has_the_same_mark_here_and_another_one_on_another_trail(
    either: AuditLogger, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = filed(either, {"password": "1234", "path": "/a"}).request["params"]["password"]
    assert filed(either, {"password": "1234", "path": "/b"}).request["params"]["password"] == first
    assert filed(either, {"password": "1235", "path": "/b"}).request["params"]["password"] != first
    monkeypatch.setenv("AEGIS_KEY_FILE", str(tmp_path / "another"))
    with AuditLogger(tmp_path / "other.db") as other:  # without the key, the four digits cannot be tried out
        assert filed(other, {"password": "1234"}).request["params"]["password"] != first


def test_names_and_words_are_masked_too(either: AuditLogger) -> None:
    token = "ghp_" + "a1B2" * 9
    ticket = filed(
        either, {"path": "/a"}, session_id=f"Bearer {token}", description=f"with {token}", labels={"k": token}
    )
    assert token not in everything_stored(either)
    assert ticket.request["exact"] is False
    ApprovalStore(either).answer(ticket.id, approved=False, approver="ann", via="test", reason=f"{token} leaked")
    assert token not in everything_stored(either)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=()), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.integers(0, 3), inner, max_size=2)
    ),
    max_leaves=8,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(params=st.dictionaries(st.text(max_size=5), JSON, max_size=3))
def test_what_is_called_exact_is_the_very_call(either: AuditLogger, params: dict[str, Any]) -> None:
    action = Action("write_file", "filesystem", params, agent="bot", session_id="s")
    ticket = filed(either, params, session_id="s")
    assert not ticket.request["exact"] or action_of(ticket.request) == action


@pytest.mark.parametrize(
    "params",
    [
        {"password": "hunter2"},
        {"size": (1, 2)},
        {"by": {1: "one"}},
        {"huge": 10**400},
        {"lone": "\ud800"},
        {"x": float("nan")},
    ],
    ids=lambda params: next(iter(params)),
)
def test_what_cannot_be_made_again_exactly_is_not_called_exact(either: AuditLogger, params: dict[str, Any]) -> None:
    assert filed(either, params).request["exact"] is False


def test_plain_json_is_exact(either: AuditLogger) -> None:
    params = {"path": "/a", "options": {"mode": 420, "deep": [None, True, 1.5, "ü\u200b"]}}
    ticket = filed(either, params)
    assert ticket.request["exact"] is True
    assert json.loads(json.dumps(ticket.request["params"])) == params


@pytest.mark.parametrize(
    ("params", "edits"),
    [
        ({"password": "hunter2", "path": "/a"}, {"password": "other"}),
        ({"auth": {"token": "abc"}, "path": "/a"}, {"/auth/token": "x"}),
        ({"auth": {"token": {"deep": "abc"}}, "path": "/a"}, {"/auth/token/deep": "x"}),
        ({"path": "/a"}, {"path": "ghp_" + "a1B2" * 9}),
        ({"path": "/a"}, {"path": {"api_key": "x"}}),
    ],
)
def test_an_edit_that_would_put_a_secret_on_the_record_is_refused(
    either: AuditLogger, params: dict[str, Any], edits: dict[str, Any]
) -> None:
    ticket = filed(either, params)
    with pytest.raises(ApprovalError, match="would put a secret on the record"):
        ApprovalStore(either).answer(ticket.id, approved=True, approver="ann", via="test", edits=edits)
    assert ApprovalStore(either).get(ticket.id).state == "pending"


def test_an_edit_beside_a_secret_is_fine(either: AuditLogger) -> None:
    ticket = filed(either, {"password": "hunter2", "path": "/a"})
    assert ApprovalStore(either).answer(ticket.id, approved=True, approver="ann", via="t", edits={"path": "/b"}).edits


def call(path: str) -> Action:
    return Action("write_file", "filesystem", {"path": path}, agent="bot")


def answer(trail: AuditLogger, **said: Any) -> None:
    (ticket,) = ApprovalStore(trail).requests(pending=True)
    ApprovalStore(trail).answer(ticket.id, **{"approved": True, "approver": "ann", "via": "test", **said})


def states(trail: AuditLogger) -> list[str]:
    return [ticket.state for ticket in ApprovalStore(trail).requests()]


def asking(trail: AuditLogger, *, wait: bool | float = False, **options: Any) -> Runtime:
    handler = QueueApprovalHandler(trail, wait=wait)
    return Runtime(policy=options.pop("policy", ASK), audit_logger=trail, approval_handler=handler, **options)


def test_a_yes_with_edits_is_used_up_with_the_yes_to_what_it_was_edited_into(either: AuditLogger) -> None:
    runtime = asking(either)
    assert runtime.run(call("/a"), dict).status is ResultStatus.PENDING_APPROVAL
    answer(either, edits={"path": "/b"})
    assert runtime.run(call("/a"), dict).status is ResultStatus.PENDING_APPROVAL
    assert states(either) == ["approved", "pending"]
    answer(either)
    assert runtime.run(call("/a"), dict).data == {"path": "/b"}
    assert states(either) == ["used", "used"]
    assert runtime.run(call("/a"), dict).status is ResultStatus.PENDING_APPROVAL, "the yes was for one call"


def test_a_yes_with_edits_is_withdrawn_when_the_edited_call_is_denied(either: AuditLogger) -> None:
    runtime = asking(either)
    runtime.run(call("/a"), dict)
    answer(either, edits={"path": "/b"})
    runtime.run(call("/a"), dict)
    answer(either, approved=False)
    assert runtime.run(call("/a"), dict).status is ResultStatus.DENIED
    assert states(either) == ["withdrawn", "denied"]
    events = either.read(lambda db: db.execute("SELECT data FROM records WHERE kind = 'approval_withdrawn'").fetchall())
    assert "edited into was denied" in repr(events)


def test_a_yes_with_edits_is_withdrawn_when_nobody_answers_for_the_edited_call(either: AuditLogger) -> None:
    runtime = asking(either)
    runtime.run(call("/a"), dict)
    answer(either, edits={"path": "/b"})
    assert asking(either, wait=True, approval_timeout=0.2).run(call("/a"), dict).status is ResultStatus.DENIED
    deadline = time.monotonic() + 20
    while states(either) != ["withdrawn", "withdrawn"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert states(either) == ["withdrawn", "withdrawn"]


def test_an_edit_that_changes_nothing_is_a_plain_yes(either: AuditLogger) -> None:
    runtime = asking(either)
    runtime.run(call("/a"), dict)
    answer(either, edits={"path": "/a"})
    assert runtime.run(call("/a"), dict).data == {"path": "/a"}


def test_an_edit_into_what_needs_nobody_uses_up_the_yes(either: AuditLogger) -> None:
    runtime = asking(either, policy=ASK_WRITES)
    runtime.run(call("/etc/a"), dict)
    answer(either, edits={"path": "/tmp/a"})
    assert runtime.run(call("/etc/a"), dict).data == {"path": "/tmp/a"}
    assert states(either) == ["used"]


def test_calls_that_share_a_request_are_told_its_id(either: AuditLogger) -> None:
    runtime = asking(either)
    first, second = (runtime.run(call("/a"), dict) for _ in range(2))
    (ticket,) = ApprovalStore(either).requests()
    assert first.request_id == second.request_id == ticket.id
    assert {entry["request_id"] for entry in either.get_log()} == {ticket.id}
