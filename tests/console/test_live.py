"""Live: what begins and ceases to wait, and the tail of the trail, reach open pages by themselves."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("starlette")

from aegis import Action
from aegis.console import feed as feeding
from aegis_core.approval.store import ApprovalStore
from tests.console.site import file_request, governed, site, wait_for

if TYPE_CHECKING:
    from aegis.runtime.audit import AuditLogger
    from tests.console.site import Visitor


def call(number: int) -> Action:
    return Action("write_file", "fs", {"path": f"/data/{number}"})


def test_a_page_is_told_what_waits_what_comes_and_what_goes(visitor: Visitor, trail: AuditLogger) -> None:
    first = file_request(trail, call(1))
    wait_for(lambda: visitor.site.console.feed.waiting.total == 1)
    events = visitor.events("/events")
    _, all_of_it = next(events)
    assert (all_of_it["total"], all_of_it["ids"], [one for one, _ in all_of_it["add"]]) == (1, [first], [first])
    second = file_request(trail, call(2))
    name, more = next(events)
    assert name == "inbox"
    assert (more["total"], [one for one, _ in more["add"]], more["remove"]) == (2, [second], [])
    assert "/data/2" in more["add"][0][1]
    assert "ids" not in more  # only differences travel
    ApprovalStore(trail).answer(first, approved=True, approver="bob", via="cli")
    _, less = next(events)
    assert (less["total"], less["add"], less["remove"]) == (1, [], [first])


def test_a_stream_ends_with_its_session(visitor: Visitor, trail: AuditLogger) -> None:
    file_request(trail, call(1))
    events = visitor.events("/events")
    next(events)
    visitor.post("/logout")
    file_request(trail, call(2))  # something to tell, and nobody to be told
    assert "/data/2" not in str(list(events))


def test_beyond_the_window_the_oldest_are_shown_and_the_others_follow(
    visitor: Visitor, trail: AuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "WINDOW", 3)
    ids = [file_request(trail, call(number)) for number in range(5)]
    wait_for(lambda: visitor.site.console.feed.waiting.total == 5)
    assert list(visitor.site.console.feed.waiting.rows) == ids[:3]
    ApprovalStore(trail).answer(ids[0], approved=False, approver="bob", via="cli")
    wait_for(lambda: list(visitor.site.console.feed.waiting.rows) == ids[1:4])


def test_the_tail_tells_of_calls_as_they_begin_and_end_and_heeds_the_filters(
    visitor: Visitor, trail: AuditLogger
) -> None:
    governed(trail).run(Action("read_file", "fs", {"path": "/before"}), lambda _: None)
    events = visitor.events("/audit/events?target=fs")
    assert next(events) == ("trail", {"rows": [], "skipped": 0})
    release = threading.Event()
    runtime = governed(trail)
    thread = threading.Thread(target=lambda: runtime.run(Action("read_file", "fs"), lambda _: release.wait(20)))
    thread.start()
    _, begun = next(events)
    ((call_id, row),) = begun["rows"]
    assert "running" in row
    runtime.run(Action("read_mail", "mail"), lambda _: None)  # of another target
    release.set()
    thread.join()
    _, ended = next(events)
    assert [one for one, _ in ended["rows"]] == [call_id]
    assert re.search(r"s-success", ended["rows"][0][1])


def test_too_many_open_pages_are_not_kept(
    visitor: Visitor, trail: AuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "_MOST_PAGES", 1)
    file_request(trail, call(1))
    events = visitor.events("/events")
    next(events)
    assert list(visitor.events("/events")) == []


def test_a_console_ends_while_pages_are_open(trail: AuditLogger) -> None:
    file_request(trail, call(1))
    with site(trail.path) as console:
        streams = [console.log_in().events(path) for path in ("/events", "/audit/events")]
        for stream in streams:
            next(stream)
    for stream in streams:
        assert list(stream) == []


def test_a_store_that_cannot_be_read_is_said_and_does_not_empty_the_inbox(visitor: Visitor, trail: AuditLogger) -> None:
    from pathlib import Path

    request = file_request(trail, call(1))
    wait_for(lambda: request in visitor.site.console.feed.waiting.rows)
    moved = Path(trail.path + ".away")
    Path(trail.path).rename(moved)
    wait_for(lambda: visitor.site.console.feed.waiting.problem)
    assert request in visitor.site.console.feed.waiting.rows
    moved.rename(trail.path)
    wait_for(lambda: visitor.site.console.feed.waiting.problem is None)
