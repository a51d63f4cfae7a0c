"""Answering: what a person says reaches the call that waits, and nothing else does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("starlette")

from aegis import Action
from aegis_core.approval.store import ApprovalStore
from tests.console.site import HOSTILE, file_request, governed, site, wait_for, waiting

if TYPE_CHECKING:
    from pathlib import Path

    from aegis.runtime.audit import AuditLogger
    from tests.console.site import Visitor

CALL = Action("write_file", "filesystem", {"path": "/data/a", "options": {"mode": 420, "tags": ["x", "y"]}})


def begun(trail: AuditLogger, action: Action = CALL) -> tuple[threading.Thread, list[Any]]:
    """A call that waits for its answer on a thread of its own, and its result once there is one."""
    results: list[Any] = []
    runtime = governed(trail, wait=True, approval_timeout=60)
    thread = threading.Thread(target=lambda: results.append(runtime.run(action, lambda arguments: arguments)))
    thread.start()
    return thread, results


def test_a_yes_lets_the_call_run_and_is_on_record_with_who_whence_and_why(visitor: Visitor, trail: AuditLogger) -> None:
    thread, results = begun(trail)
    (request,) = wait_for(lambda: waiting(trail))
    answer = visitor.post(f"/requests/{request}/answer", {"approved": True, "reason": "for the report"})
    assert answer.json()["state"] == "approved"
    thread.join()
    assert results[0].data == CALL.params
    (entry,) = trail.get_log()
    assert (entry["human_decision"], entry["approver"], entry["result_status"]) == ("approved", "ann", "success")
    assert ApprovalStore(trail).get(request).via == "console"
    said = [event for event in trail.reader.events(_all()) if event["event"] == "approval_answered"]
    assert said[0]["data"] == {
        "id": request, "approved": True, "approver": "ann", "via": "console", "reason": "for the report", "edited": [],
    }  # fmt: skip


def test_a_no_is_told_with_its_reason(visitor: Visitor, trail: AuditLogger) -> None:
    thread, results = begun(trail)
    (request,) = wait_for(lambda: waiting(trail))
    visitor.post(f"/requests/{request}/answer", {"approved": False, "reason": "not on a Friday"})
    thread.join()
    assert results[0].status == "denied"
    assert "not on a Friday" in results[0].error


def test_an_edit_changes_only_what_was_changed_and_is_asked_about_anew(visitor: Visitor, trail: AuditLogger) -> None:
    thread, results = begun(trail)
    (request,) = wait_for(lambda: waiting(trail))
    edits = [
        {"at": "/path", "kind": "text", "value": "/data/b"},
        {"at": "/options/mode", "kind": "json", "value": "256"},
        {"at": "/options/tags/1", "kind": "text", "value": "y"},  # as it was
    ]
    answer = visitor.post(f"/requests/{request}/answer", {"approved": True, "edits": edits})
    assert "judged anew" in answer.json()["said"]
    assert ApprovalStore(trail).get(request).edits == {"/path": "/data/b", "/options/mode": 256}
    (again,) = wait_for(lambda: [one for one in waiting(trail) if one != request])
    assert ApprovalStore(trail).get(again).request["params"]["path"] == "/data/b"
    visitor.post(f"/requests/{again}/answer", {"approved": True})
    thread.join()
    assert results[0].data == {"path": "/data/b", "options": {"mode": 256, "tags": ["x", "y"]}}


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        ({"at": "/path", "kind": "text", "value": "/data/a"}, "nothing was changed"),
        ({"at": "/elsewhere", "kind": "text", "value": "x"}, "cannot be changed"),
        ({"at": "/options", "kind": "json", "value": "{}"}, "cannot be changed"),
        ({"at": "/password", "kind": "text", "value": "x"}, "cannot be changed"),
        ({"at": "/options/mode", "kind": "json", "value": "NaN"}, "no JSON"),
        ({"at": "/options/mode", "kind": "json", "value": "4 20"}, "no JSON"),
    ],
)
def test_an_edit_that_cannot_be_is_no_answer(
    visitor: Visitor, trail: AuditLogger, edit: dict[str, str], why: str
) -> None:
    request = file_request(trail, CALL.replace(params={**CALL.params, "password": "hunter2"}))
    answer = visitor.post(f"/requests/{request}/answer", {"approved": True, "edits": [edit]})
    assert answer.status == 409
    assert why in answer.json()["error"]
    assert waiting(trail) == [request]


def test_the_second_answer_is_told_who_was_first(visitor: Visitor, trail: AuditLogger) -> None:
    request = file_request(trail, CALL)
    ApprovalStore(trail).answer(request, approved=False, approver="bob", via="cli", reason="no")
    answer = visitor.post(f"/requests/{request}/answer", {"approved": True})
    assert answer.status == 409
    assert "already answered by bob (via cli)" in answer.json()["error"]
    assert "Denied by <b>bob</b> via cli" in visitor.get(f"/requests/{request}/panel").text


def test_whoever_made_the_call_cannot_answer_it(trail: AuditLogger, policy: Path) -> None:
    request = file_request(trail, CALL)
    with site(trail.path, policy=policy, approver="reporter") as console:
        visitor = console.log_in()
        assert "you cannot answer it" in visitor.get(f"/requests/{request}").text
        answer = visitor.post(f"/requests/{request}/answer", {"approved": True})
        assert answer.status == 409
        assert "asked for this call" in answer.json()["error"]
    assert waiting(trail) == [request]


def test_a_request_that_is_not_there_is_said_so(visitor: Visitor) -> None:
    answer = visitor.post("/requests/nothing/answer", {"approved": True})
    assert answer.status == 409
    assert "there is no approval request" in answer.json()["error"]
    assert visitor.get("/requests/nothing").status == 409


def test_the_panel_shows_exactly_what_will_run_and_why(visitor: Visitor, trail: AuditLogger) -> None:
    params = {"path": "/data/a", "content": HOSTILE, "password": "hunter2", "lines": "one\ntwo", "long": "x" * 5_000}
    request = file_request(trail, Action("write_file", "filesystem", params, description=HOSTILE))
    page = visitor.get(f"/requests/{request}").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not {"\x1b", "\u202e", "\u200b"} & set(page)
    assert '<mark class="esc" title="U+202E RIGHT-TO-LEFT OVERRIDE">\\u202e</mark>' in page
    assert "hunter2" not in page
    assert "[redacted" in page
    assert "all 5,000 characters" in page
    assert "ask_before_writing" in page
    assert "param_contains path" in page  # of the rule that was passed on the way


def test_a_huge_value_is_shown_in_full_where_it_is_asked_for(visitor: Visitor, trail: AuditLogger) -> None:
    text = "\u202eline of text\n" * 10_000
    request = file_request(trail, Action("write_file", "filesystem", {"path": "/data/a", "content": text}))
    page = visitor.get(f"/requests/{request}/panel").text
    assert len(page) < 60_000 + 2 * len(text)  # it can be edited, too
    whole = visitor.get(f"/requests/{request}/value?at=/content")
    assert whole.headers["Content-Type"].startswith("text/plain")
    assert whole.text == text.replace("\u202e", "\\u202e")
    assert visitor.get(f"/requests/{request}/value?at=/nothing").status == 409


def _all() -> Any:
    from aegis_core.audit.filters import Filters

    return Filters()
