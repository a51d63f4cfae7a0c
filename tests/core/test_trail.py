"""The trail: the authority's word counts, mirrors disturb nobody, and what has happened is never dropped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from aegis.testing import MemoryAuditLogger
from aegis_core.action import Action
from aegis_core.audit.sqlite import AuditLogger
from aegis_core.errors import AuditError
from aegis_core.record import Event, Intent, Outcome
from aegis_core.runtime import Runtime
from aegis_core.trail import Trail
from tests.core.policies import AUTO, BLOCK, kinds, runtime

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_core.record import Record

SEND = Action("send", "mail", {"to": "ann"})


def echo(arguments: dict[str, Any]) -> dict[str, Any]:
    return arguments


class Flaky(MemoryAuditLogger):
    """Fails while it is ``down``, in the way it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.down = False
        self.error = error or AuditError("the database is locked")
        self.closed = 0

    def write(self, record: Record, redactor: Any = None) -> None:
        if self.down:
            raise self.error
        super().write(record, redactor)

    def close(self) -> None:
        self.closed += 1


def goes_down(trail: Flaky) -> Any:
    def tool(_arguments: dict[str, Any]) -> str:
        trail.down = True
        return "done"

    return tool


@pytest.mark.parametrize("error", [AuditError("locked"), OSError("disk"), TypeError("row")], ids=repr)
def test_mirrors_that_fail_disturb_neither_the_call_nor_each_other(error, caplog):
    authority, broken, mirror = MemoryAuditLogger(), Flaky(error), MemoryAuditLogger()
    broken.down = True
    governed = Runtime(policy=AUTO, audit_logger=[authority, broken, mirror])
    with caplog.at_level(logging.WARNING, "aegis"):
        assert governed.run(SEND, echo).ok
    assert len(authority.records) == len(mirror.records) == 2
    assert "an audit mirror (Flaky) failed" in caplog.text


async def test_the_same_from_a_coroutine():
    authority, broken, mirror = MemoryAuditLogger(), Flaky(), MemoryAuditLogger()
    broken.down = True
    governed = Runtime(policy=AUTO, audit_logger=(authority, broken, mirror))
    assert (await governed.arun(SEND, echo)).ok
    assert len(authority.records) == len(mirror.records) == 2


def test_what_the_authority_did_not_take_reaches_no_mirror():
    authority, mirror = Flaky(), MemoryAuditLogger()
    authority.down = True
    governed = Runtime(policy=AUTO, audit_logger=[authority, mirror])
    with pytest.raises(AuditError):
        governed.run(SEND, echo)
    assert mirror.records == []


@pytest.mark.parametrize("error", [AuditError("locked"), OSError("disk"), TypeError("row")], ids=repr)
def test_every_outcome_held_back_is_written_in_order_before_anything_new(error, caplog):
    trail = Flaky(error)
    governed = runtime(audit_logger=trail)
    first = governed.begin(SEND.replace(params={"n": 1}))
    second = governed.begin(SEND.replace(params={"n": 2}))
    trail.down = True
    with caplog.at_level(logging.CRITICAL, "aegis"):
        assert second.finish("two").data == "two"
        assert first.finish("one").data == "one"
    assert caplog.text.count("is held back; new calls are refused") == 2
    with pytest.raises(AuditError):
        governed.run(SEND, echo)
    trail.down = False
    caplog.clear()
    with caplog.at_level(logging.WARNING, "aegis"):
        assert governed.run(SEND.replace(params={"n": 3}), echo).ok
    assert "is writable again" in caplog.text
    shown = [(type(record).__name__, record.action.params["n"]) for record in trail.records]  # type: ignore[union-attr]
    assert shown == [
        *[("Intent", 1), ("Intent", 2), ("Outcome", 2), ("Outcome", 1)],
        *[("Intent", 3), ("Outcome", 3)],
    ]


async def test_the_same_held_back_from_a_coroutine():
    trail = Flaky()
    governed = runtime(audit_logger=trail)
    assert (await governed.arun(SEND, goes_down(trail))).data == "done"
    with pytest.raises(AuditError):
        await governed.arun(SEND, echo)
    trail.down = False
    assert (await governed.arun(SEND, echo)).ok
    assert kinds(governed) == ["Intent", "Outcome success"] * 2


def test_while_the_store_is_down_a_refusal_stands_and_a_new_policy_is_in_force():
    trail = Flaky()
    governed = runtime(audit_logger=trail)
    trail.down = True
    governed.update_policy(BLOCK)
    assert governed.run(SEND, echo).status == "blocked"
    trail.down = False
    assert governed.run(SEND, echo).status == "blocked"
    assert kinds(governed) == ["Event", "Refusal blocked"]  # the one that could not be written was loud, and is lost


def test_many_threads_that_find_the_store_back_write_what_was_held_back_once():
    trail = Flaky()
    governed = runtime(audit_logger=trail)
    calls = [governed.begin(SEND) for _ in range(20)]
    trail.down = True
    for call in calls:
        call.finish("done")
    trail.down = False
    barrier = threading.Barrier(8)

    def go() -> None:
        barrier.wait()
        governed.run(SEND, echo)

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcomes = [record.call_id for record in trail.records if isinstance(record, Outcome)]
    assert len(outcomes) == len(set(outcomes)) == 28
    assert {call.call_id for call in calls} <= set(outcomes)


def test_closing_writes_what_was_held_back_and_leaves_the_callers_sink_open():
    trail = Flaky()
    governed = runtime(audit_logger=trail)
    governed.run(SEND, goes_down(trail))
    trail.down = False
    governed.close()
    assert kinds(governed) == ["Intent", "Outcome success"]
    assert trail.closed == 0


def test_what_is_lost_when_closing_is_said_once():
    trail = Flaky()
    governed = runtime(audit_logger=trail)
    call_id = governed.run(SEND, goes_down(trail)).call_id
    with pytest.raises(AuditError, match=f"lost to the audit trail: the outcome of call {call_id}"):
        governed.close()
    governed.close()


def test_without_a_sink_the_trail_is_a_file_in_the_working_directory_opened_when_needed(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Runtime(policy=AUTO) as governed:
        assert list(tmp_path.iterdir()) == []
        governed.run(SEND, echo)
        assert (tmp_path / "aegis_audit.db").exists()
        assert isinstance(governed.audit_logger, AuditLogger)


def test_a_policy_change_that_cannot_be_written_before_the_file_was_ever_opened_does_not_lock_the_program_up(
    tmp_path: Path, monkeypatch
):
    folder = tmp_path / "file"
    folder.write_text("")
    monkeypatch.setattr("aegis_core.audit.sqlite.AuditLogger", lambda: (_ for _ in ()).throw(AuditError("no file")))
    governed = Runtime(policy=AUTO)
    governed.update_policy(BLOCK)  # held back: the default file cannot be opened

    def go() -> None:
        assert governed.run(SEND, echo).status == "blocked"

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_a_digest_that_cannot_be_taken_is_an_error_of_the_trail():
    class Keyless(MemoryAuditLogger):
        def digest(self, data: bytes) -> str:
            raise PermissionError("the key")

    with pytest.raises(AuditError, match="the audit trail's key cannot be used: PermissionError"):
        Trail(Keyless()).digest(b"")


async def test_a_cancellation_comes_out_of_a_write_and_is_no_failure_of_the_store():
    class Slow(MemoryAuditLogger):
        async def awrite(self, record: Record, redactor: Any = None) -> None:
            self.write(record, redactor)
            await asyncio.sleep(0.01)

    trail = Trail(Slow())
    writing = asyncio.ensure_future(trail.awrite(Event("note")))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    trail.write(Event("another"))
    assert len(trail.authority.records) == 2  # type: ignore[attr-defined]


def test_every_sink_is_given_the_redactor_of_the_policy():
    given: list[Any] = []

    class Curious(MemoryAuditLogger):
        def write(self, record: Record, redactor: Any = None) -> None:
            given.append((type(record), redactor))
            super().write(record, redactor)

    governed = Runtime(policy=AUTO, audit_logger=[Curious(), Curious()])
    governed.run(SEND, echo)
    assert [kind for kind, _ in given] == [Intent, Intent, Outcome, Outcome]
    assert {redactor for _, redactor in given} == {AUTO.needs.redactor}


def test_what_was_held_back_reaches_the_mirrors_once_it_is_written():
    authority, mirror = Flaky(), MemoryAuditLogger()
    governed = Runtime(policy=AUTO, audit_logger=[authority, mirror])
    governed.run(SEND, goes_down(authority))
    assert [type(record) for record in mirror.records] == [Intent]
    authority.down = False
    governed.run(SEND, echo)
    assert mirror.records == authority.records
    assert len(mirror.records) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_what_a_parent_holds_back_is_not_written_by_a_forked_child_and_a_held_lock_does_not_stop_it(tmp_path: Path):
    store = Flaky()
    governed = runtime(audit_logger=store)
    governed.run(SEND, goes_down(store))
    store.down = False
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with governed._trail._lock:
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        store.records.clear()
        code = 1
        try:
            governed._trail._catch_up()
            governed.run(SEND, echo)
            code = 0 if kinds(governed) == ["Intent", "Outcome success"] else 2
        finally:
            os._exit(code)
    done.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    governed.run(SEND, echo)
    assert kinds(governed) == ["Intent", "Outcome success"] * 2
