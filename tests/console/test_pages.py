"""What the pages show: the trail with its filters, activity with its hints, the chain; hostile names as text."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("starlette")

from aegis import Action
from aegis.console.figures import hint
from aegis_core.approval.store import ApprovalStore
from tests.console.site import HOSTILE, file_request, governed, site, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from aegis.runtime.audit import AuditLogger
    from tests.console.site import Visitor


def calls(page: str) -> list[str]:
    """The tools of the calls that a page lists."""
    return re.findall(r'<tr id="c-.*?<b class="tool">(.*?)</b>', page, re.DOTALL)


def test_the_trail_is_shown_newest_first_and_filtered(visitor: Visitor, trail: AuditLogger) -> None:
    runtime = governed(trail)
    runtime.run(Action("read_file", "filesystem", {"path": "/data/a"}), lambda _: "ok")
    runtime.run(Action("read_mail", "mail", session_id="chat-2"), lambda _: "ok")
    runtime.run(Action("write_file", "filesystem", {"path": "/secret"}), lambda _: "ok")
    assert calls(visitor.get("/audit").text) == ["write_file", "read_mail", "read_file"]
    assert calls(visitor.get("/audit?status=blocked").text) == ["write_file"]
    assert calls(visitor.get("/audit?target=mail&rule=reads").text) == ["read_mail"]
    assert calls(visitor.get("/audit?session=chat-2&since=1h").text) == ["read_mail"]
    assert calls(visitor.get("/audit?risk=low").text) == ["read_mail", "read_file"]
    assert calls(visitor.get("/audit?agent=reporter&until=1h").text) == []
    assert "No calls on the trail match" in visitor.get("/audit?type=nothing").text


@pytest.mark.parametrize("query", ["since=soon", "risk=huge", "status=fine", "until=99999999999d"])
def test_a_filter_that_cannot_be_understood_is_named_and_shows_nothing(visitor: Visitor, query: str) -> None:
    page = visitor.get(f"/audit?{query}")
    assert page.status == 200
    assert f'role="alert">{query.partition("=")[0]} is n' in page.text
    assert calls(page.text) == []


def test_older_calls_are_one_page_further(visitor: Visitor, trail: AuditLogger) -> None:
    runtime = governed(trail)
    for number in range(230):
        runtime.run(Action("read_file", f"t{number}"), lambda _: None)
    page, seen, shown = "/audit?type=read_file", set[str](), Counter[str]()
    for _ in range(3):
        text = visitor.get(page).text
        assert len(calls(text)) <= 100
        seen |= (found := set(re.findall(r'<tr id="(c-\w+)"', text)))
        shown.update(found)
        older = re.search(r'href="(/audit\?[^"]*until[^"]*)"', text)
        page = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == 230
    assert all(count <= 2 for count in shown.values())  # only a page's last call stands on the next one, too
    assert page == ""


def test_one_call_is_shown_with_everything_the_trail_has(visitor: Visitor, trail: AuditLogger) -> None:
    result = governed(trail).run(
        Action("read_file", "fs", {"path": HOSTILE}, description="why"), lambda _: {"text": HOSTILE}
    )
    page = visitor.get(f"/audit/{result.call_id}").text
    assert "\\u202e" in page
    assert "<script>alert" not in page
    assert "reads" in page
    assert "why" in page
    assert visitor.get("/audit/nothing").status == 409


@pytest.mark.parametrize(
    ("approved", "denied", "said"),
    [
        (50, 0, "approved 50 of 50: consider auto"),
        (20, 0, "approved 20 of 20: consider auto"),
        (19, 0, ""),
        (50, 1, ""),
        (0, 12, "denied 12 of 12: consider block"),
        (0, 9, ""),
        (1, 12, ""),
        (0, 0, ""),
    ],
)
def test_what_is_always_answered_the_same_need_not_be_asked(approved: int, denied: int, said: str) -> None:
    assert hint(approved, denied) == said


def test_activity_counts_by_rule_and_session_and_hints_at_what_could_be_a_rule(
    visitor: Visitor, trail: AuditLogger
) -> None:
    runtime, store = governed(trail), ApprovalStore(trail)
    for number in range(20):
        call = Action("write_file", "fs", {"path": f"/data/{number}"})
        runtime.run(call, lambda _: None)
        store.answer(store.waiting()[0], approved=True, approver="bob", via="cli")
        assert runtime.run(call, lambda _: None).ok
    runtime.run(Action("read_file", "fs", {"path": "/data/a"}), lambda _: None)
    page = visitor.get("/activity?range=1h").text
    assert "approved 20 of 20: consider auto" in page
    assert "ran unasked <b>1</b>" in page
    assert "approved by a person <b>20</b>" in page
    assert re.search(
        r'session=chat-1">chat-1</a></th><td>reporter</td><td class="number">\d+</td><td class="number">20', page
    )
    assert "Decided nothing: no_secrets" in page
    assert "20 within two seconds" in page
    assert "ask less" in page
    assert re.search(r"<title>[^<]*20 approved by a person", page)
    assert visitor.get("/activity?range=nonsense").status == 200


def test_an_edited_trail_is_shown_as_broken(trail: AuditLogger, policy: Path) -> None:
    runtime = governed(trail)
    for number in range(3):
        runtime.run(Action("read_file", "fs", {"path": f"/data/{number}"}), lambda _: None)
    with site(trail.path, policy=policy) as console:
        visitor = console.log_in()
        visitor.post("/chain")
        wait_for(lambda: "chain verified" in visitor.get("/chain").text, 60)
        with sqlite3.connect(trail.path) as database:
            database.execute("UPDATE records SET action_params = '{}' WHERE seq = 3")
        database.close()
        visitor.post("/chain")
        wait_for(lambda: "chain broken" in visitor.get("/chain").text, 60)
        assert "row 3 does not match its hash" in visitor.get("/chain").text


def test_hostile_names_stay_text_on_every_page(visitor: Visitor, trail: AuditLogger) -> None:
    name = "<img src=x onerror=alert(1)>"
    text = "version: '1'\ndefaults: {approval: approve}\n"
    request = file_request(trail, Action(name, name, {name: name}), text=text, agent=name, user=name, session_id=name)
    governed(trail).run(Action("read_" + HOSTILE, "fs"), lambda _: None)  # refused for its name, and on record
    pages = [
        "/",
        f"/requests/{request}",
        f"/requests/{request}/always",
        "/audit",
        "/activity",
        f"/audit?type={name.replace(' ', '+')}",
    ]
    for path in pages:
        page = visitor.get(path).text
        assert "<img" not in page, path
        assert not {"\x1b", "\u202e", "\u200b"} & set(page), path
    assert "&lt;img" in visitor.get("/").text


def test_a_console_can_be_opened_before_there_is_a_trail(tmp_path: Path) -> None:
    with site(tmp_path / "later.db") as console:
        visitor = console.log_in()
        assert visitor.get("/").status == 200
        assert visitor.get("/audit").status == 200
        with type(console.console.trail)(tmp_path / "later.db") as trail:
            request = file_request(trail, Action("write_file", "fs", {"path": "/a"}))
            wait_for(lambda: request in visitor.get("/").text)
