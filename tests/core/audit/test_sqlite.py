"""The SQLite trail, from one process."""

from __future__ import annotations

import asyncio
import datetime
import os
import sqlite3
import stat
import threading
import time
from pathlib import Path

import orjson
import pytest

from aegis_core.audit import AuditLogger, AuditStore, LoggingAuditLogger, MemoryAuditLogger
from aegis_core.decision import Reservation, RiskLevel
from aegis_core.errors import AuditError
from aegis_core.record import BudgetExhausted, Event, GrantUnavailable, Sink
from aegis_core.request import ApprovalAnswer
from aegis_core.result import ResultStatus
from tests.core.audit.samples import call, intent, outcome, refusal

KEYS = {
    *("call_id", "timestamp", "session_id", "agent", "user", "action_type", "action_target", "action_params"),
    *("risk_level", "approval", "matched_rule", "human_decision", "approver", "reason", "result_status", "enforced"),
    *("policy_digest", "params_digest", "rules_digest", "floors", "request_id", "duration_ms", "error", "result"),
    *("claimed_by", "changes", "labels", "description"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


def test_a_call_is_one_entry_with_exactly_the_promised_keys(path):
    with AuditLogger(path) as logger:
        begun = call(
            logger, {"path": "/data/report.csv"}, session_id="s1", agent="bot", user="ann", labels={"run": "7"}
        )
        (entry,) = logger.get_log()
    assert set(entry) == KEYS
    assert entry["call_id"] == begun.call_id
    assert entry["timestamp"].endswith("Z")
    assert len(entry["timestamp"]) == len("2026-03-22T10:30:00.123456Z")
    assert entry["action_params"] == {"path": "/data/report.csv"}
    assert (entry["risk_level"], entry["approval"], entry["result_status"]) == ("LOW", "auto", "success")
    assert entry["human_decision"] is None
    assert entry["enforced"] is True
    assert entry["duration_ms"] == 1.234
    assert entry["result"] == "fine"
    assert entry["labels"] == {"run": "7"}


def test_entries_come_oldest_first_and_a_limit_keeps_the_newest(path):
    with AuditLogger(path) as logger:
        ids = [call(logger).call_id for _ in range(5)]
        assert [entry["call_id"] for entry in logger.get_log()] == ids
        assert [entry["call_id"] for entry in logger.get_log(limit=2)] == ids[-2:]
        assert logger.get_log(limit=0) == []
        assert logger.count() == 5


def test_filters_select_calls_and_count_agrees_with_get_log(path):
    with AuditLogger(path) as logger:
        call(logger, session_id="s1", agent="a", type="query", target="db")
        call(logger, session_id="s2", risk=RiskLevel.HIGH)
        logger.write(refusal(session_id="s2"))
        cut = logger.get_log()[1]["timestamp"]
        for filters, expected in [
            ({"session_id": "s1"}, 1),
            ({"session_id": "s2"}, 2),
            ({"type": "query"}, 1),
            ({"target": "filesystem"}, 2),
            ({"risk": "high"}, 1),
            ({"risk": "CRITICAL"}, 1),
            ({"status": "success"}, 2),
            ({"status": "blocked"}, 1),
            ({"status": "running"}, 0),
            ({"rule": "allow_reads"}, 3),
            ({"agent": "a"}, 1),
            ({"agent": "b"}, 0),
            ({"since": cut}, 2),
            ({"until": cut}, 1),
            ({"session_id": "s2", "status": "success"}, 1),
        ]:
            assert len(logger.get_log(**filters)) == expected, filters
            assert logger.count(**filters) == expected, filters


def test_a_call_without_an_outcome_reads_running_while_its_writer_lives(path):
    with AuditLogger(path) as logger:
        begun = intent()
        logger.write(begun)
        assert logger.get_log()[0]["result_status"] == "running"
        assert logger.count(status="running") == 1
        assert logger.count(status="unknown") == 0
        logger.write(outcome(begun, status=ResultStatus.FAILED, error="no such file"))
        assert logger.get_log()[0]["result_status"] == "failed"
        assert logger.get_log()[0]["error"] == "no such file"


def test_a_call_that_was_pending_and_then_ran_is_one_entry(path):
    with AuditLogger(path) as logger:
        begun = intent()
        logger.write(refusal(ResultStatus.PENDING_APPROVAL, call_id=begun.call_id))
        assert [entry["result_status"] for entry in logger.get_log()] == ["pending_approval"]
        logger.write(begun)
        logger.write(outcome(begun))
        assert [entry["result_status"] for entry in logger.get_log()] == ["success"]
        assert logger.count() == 1


def test_events_are_on_the_trail_but_are_no_calls(path):
    with AuditLogger(path) as logger:
        logger.write(Event("policy_reloaded", data={"token": "abc", "rules": 3}))
        assert logger.get_log() == []
        kinds = logger.read(lambda db: db.execute("SELECT kind, data FROM records ORDER BY seq").fetchall())
    assert [kind for kind, _ in kinds] == ["chain_started", "writer_started", "policy_reloaded"]
    assert orjson.loads(kinds[2][1]) == {"token": "[redacted]", "rules": 3}


def test_line_22_files_are_readable_by_their_owner_only(path):
    logger = AuditLogger(path)
    call(logger)
    files = {name.name: stat.S_IMODE(name.stat().st_mode) for name in path.parent.iterdir()}
    assert files == dict.fromkeys(("audit.db", "audit.db-wal", "audit.db-shm", "audit.db.key", "audit.db.lock"), 0o600)
    logger.close()


def test_line_22_secrets_do_not_reach_the_disk(path):
    secrets = ["hunter2-in-pwd", "Zm9vYmFyOnF1dXg", "ghp_abcdefghijklmnopqrstuvwxyz0123", "4111111111111111"]
    with AuditLogger(path) as logger:
        begun = intent({"pwd": secrets[0], "url": f"https://user:{secrets[0]}@host/x", "max_tokens": 100})
        logger.write(begun)
        logger.write(outcome(begun, data={"header": f"Authorization: Basic {secrets[1]}", "n": int(secrets[3])}))
        failed = intent()
        logger.write(failed)
        logger.write(outcome(failed, None, ResultStatus.FAILED, error=f"401 for token {secrets[2]}"))
        assert logger.get_log()[0]["action_params"]["max_tokens"] == 100
        stored = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"max_tokens" in stored
    for secret in secrets:
        assert secret.encode() not in stored


@pytest.mark.parametrize("durable", [True, False])
def test_everything_written_before_close_can_be_read_afterwards(path, durable):
    logger = AuditLogger(path, durable=durable)
    for _ in range(50):
        call(logger)
    logger.close()
    logger.close()
    assert logger.count(status="success") == 50
    with pytest.raises(AuditError, match="closed"):
        logger.write(intent())


def test_without_durable_reading_still_sees_what_was_written_before(path):
    with AuditLogger(path, durable=False) as logger:
        for _ in range(20):
            call(logger)
        assert logger.count() == 20


def test_reading_a_trail_that_is_not_there_yet_makes_no_file(path):
    logger = AuditLogger(path)
    assert logger.get_log() == []
    assert logger.count() == 0
    assert logger.history("s") == []
    assert list(path.parent.iterdir()) == []
    logger.close()


def test_export_writes_one_json_object_per_call(path, tmp_path):
    with AuditLogger(path) as logger:
        for _ in range(7):
            call(logger)
        assert logger.export_jsonl(tmp_path / "out.jsonl") == 7
        lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
        assert [orjson.loads(line) for line in lines] == logger.get_log()
        assert logger.export_jsonl(tmp_path / "some.jsonl", limit=3) == 3
        with pytest.raises(AuditError, match="cannot export"):
            logger.export_jsonl(tmp_path / "no" / "such" / "folder.jsonl")


def test_history_lists_the_calls_begun_in_a_session(path):
    with AuditLogger(path) as logger:
        call(logger, session_id="s1", type="fetch", target="web")
        call(logger, session_id="s2")
        logger.write(refusal(session_id="s1"))
        [(position, *names)] = logger.history("s1")
        assert names == ["fetch", "web"]
        call(logger, session_id="s1", type="send", target="mail")
        assert [names for _, *names in logger.history("s1", after=position)] == [["send", "mail"]]


def test_the_number_of_changes_is_another_after_every_write_and_on_every_connection(path):
    with AuditLogger(path) as logger, AuditLogger(path) as other:
        seen: list[int] = []
        for writer in (logger, other, logger):
            call(writer, session_id="s")
            seen.append(logger.changes())
            assert logger.changes() == seen[-1]
            logger.reader._disconnect()
            seen.append(logger.changes())
        assert len(set(seen)) == len(seen)


def test_a_digest_is_keyed_and_stays_the_same_for_the_same_trail(path, tmp_path):
    first, second = AuditLogger(path), AuditLogger(path)
    other = AuditLogger(tmp_path / "other.db")
    assert first.digest(b"x") == second.digest(b"x") != other.digest(b"x")
    assert len(first.digest(b"x")) == 64
    for logger in (first, second, other):
        logger.close()


def test_the_key_may_lie_elsewhere(path, tmp_path, monkeypatch):
    key = tmp_path / "keys" / "aegis"
    key.parent.mkdir()
    monkeypatch.setenv("AEGIS_KEY_FILE", str(key))
    with AuditLogger(path) as logger:
        call(logger)
    assert key.stat().st_size == 32
    assert not Path(f"{path}.key").exists()
    key.write_bytes(b"short")
    with AuditLogger(path) as logger, pytest.raises(AuditError, match="is not the key"):
        logger.write(intent())


def test_strangers_files_are_refused_and_left_alone(tmp_path):
    text, database = tmp_path / "text.db", tmp_path / "other.db"
    text.write_text("not a database, but long enough to look like something " * 20)
    other = sqlite3.connect(database)
    other.execute("CREATE TABLE t (a)")
    other.commit()
    other.close()
    before = text.read_bytes(), database.read_bytes()
    for path, words in ((text, "some other file"), (database, "another program")):
        with AuditLogger(path) as logger:
            with pytest.raises(AuditError, match=words):
                logger.write(intent())
            with pytest.raises(AuditError, match=words):
                logger.get_log()
    assert (text.read_bytes(), database.read_bytes()) == before


def test_a_trail_of_a_newer_schema_is_refused(path):
    with AuditLogger(path) as logger:
        call(logger)
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with AuditLogger(path) as logger:
        with pytest.raises(AuditError, match="newer Aegis"):
            logger.write(intent())
        with pytest.raises(AuditError, match="newer Aegis"):
            logger.get_log()


def test_a_creation_that_was_cut_short_is_finished(path):
    path.touch()
    with AuditLogger(path) as logger:
        call(logger)
        assert logger.count() == 1


def test_a_url_is_not_taken_for_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuditError, match="postgres"):  # of another database; or the extra is not installed
        AuditLogger("mysql://localhost/audit")
    assert not list(tmp_path.iterdir())


# --- grants, budgets, transactions ----------------------------------------------------------------------------------


def grant(logger: AuditLogger, name: str = "g1", **fields: object) -> ApprovalAnswer:
    row = {"state": "approved", "expires_at": 1 << 60, "digest": "d", **fields}
    logger.transact(
        lambda tx: tx.execute(
            "INSERT INTO approvals (id, digest, state, request, created_at, expires_at) VALUES (?, ?, ?, '{}', 0, ?)",
            (name, row["digest"], row["state"], row["expires_at"]),
        )
    )
    return ApprovalAnswer("r", "d", approved=True, approver="ann", grant=name)


def test_a_grant_is_consumed_once_in_the_transaction_of_the_intent(path):
    with AuditLogger(path) as logger:
        answer = grant(logger)
        begun = intent(answer=answer)
        logger.write(begun)
        consumed = logger.read(lambda db: db.execute("SELECT consumed_by FROM approvals").fetchone())
        assert consumed == (begun.call_id,)
        with pytest.raises(GrantUnavailable):
            logger.write(intent(answer=answer))
        assert logger.count() == 1
        assert logger.get_log()[0]["human_decision"] == "approved"
        assert logger.get_log()[0]["approver"] == "ann"


@pytest.mark.parametrize("fields", [{"state": "denied"}, {"state": "pending"}, {"expires_at": 1}, {"digest": "other"}])
def test_a_grant_that_is_no_yes_to_this_very_call_cannot_be_consumed(path, fields):
    with AuditLogger(path) as logger:
        answer = grant(logger, **fields)
        with pytest.raises(GrantUnavailable):
            logger.write(intent(answer=answer))
        with pytest.raises(GrantUnavailable):
            logger.write(intent(answer=ApprovalAnswer("r", "d", approved=True, grant="no such")))
        assert logger.count() == 0


def test_a_budget_is_taken_with_the_intent_and_says_when_it_is_free_again(path):
    with AuditLogger(path) as logger:
        reserve = (Reservation("rule|s1", 2, 3600.0),)
        first = intent(reserves=reserve)
        logger.write(first)
        logger.write(intent(reserves=reserve))
        with pytest.raises(BudgetExhausted) as caught:
            logger.write(intent(reserves=reserve))
        assert caught.value.key == "rule|s1"
        assert abs(caught.value.retry_at - (first.at + 3_600_000_000)) < 5_000_000
        logger.write(intent(reserves=(Reservation("rule|s2", 2, 3600.0),)))
        assert logger.count() == 3


def test_a_failing_grant_takes_no_budget_and_an_exhausted_budget_no_grant(path):
    with AuditLogger(path) as logger:
        answer = grant(logger)
        with pytest.raises(BudgetExhausted):
            logger.write(intent(answer=answer, reserves=(Reservation("k", 0, 60.0),)))
        logger.write(intent(answer=answer))
        with pytest.raises(GrantUnavailable):
            logger.write(intent(answer=answer, reserves=(Reservation("k", 1, 60.0),)))
        logger.write(intent(reserves=(Reservation("k", 1, 60.0),)))


async def test_in_a_group_one_failing_record_does_not_fail_its_neighbours(path):
    with AuditLogger(path) as logger:
        reserve = (Reservation("k", 5, 60.0),)
        results = await asyncio.gather(
            *(logger.awrite(intent(reserves=reserve if number % 2 else ())) for number in range(40)),
            return_exceptions=True,
        )
        assert sum(isinstance(result, BudgetExhausted) for result in results) == 15
        assert sum(result is None for result in results) == 25
        assert logger.count() == 25


def test_a_transaction_is_kept_as_a_whole_or_not_at_all(path):
    with AuditLogger(path) as logger:

        def fails(tx):
            tx.append(Event("approval_requested", data={"id": "x"}))
            tx.execute("INSERT INTO budgets VALUES ('k', 1)")
            raise KeyError("x")

        with pytest.raises(KeyError):
            logger.transact(fails)

        def works(tx):
            row = tx.append(Event("approval_requested", data={"id": "x"}))
            return row, tx.execute("SELECT count(*) FROM records").fetchone()[0]

        row, seen = logger.transact(works)
        assert row == seen
        assert logger.read(lambda db: db.execute("SELECT count(*) FROM budgets").fetchone()) == (0,)


async def test_transactions_run_from_coroutines_too(path):
    with AuditLogger(path) as logger:
        assert await logger.atransact(lambda tx: tx.append(Event("x"))) == 3


def test_changes_notices_other_writers(path):
    with AuditLogger(path) as logger, AuditLogger(path) as other:
        call(logger)
        before = logger.changes()
        assert logger.changes() == before
        call(other)
        assert logger.changes() != before


# --- failing stores -------------------------------------------------------------------------------------------------


def test_line_12_a_database_locked_by_a_stranger_refuses_the_call_and_recovers(path, monkeypatch):
    monkeypatch.setattr("aegis_core.audit.schema.BUSY_SECONDS", 0.05)
    with AuditLogger(path) as logger:
        call(logger)
        stranger = sqlite3.connect(path, isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(AuditError, match="locked"):
            logger.write(intent())
        stranger.execute("ROLLBACK")
        stranger.close()
        call(logger)
        assert logger.count() == 2


def test_line_12_a_missing_table_refuses_the_call(path):
    with AuditLogger(path) as logger:
        call(logger)
        stranger = sqlite3.connect(path, isolation_level=None)
        stranger.execute("ALTER TABLE records RENAME TO gone")
        with pytest.raises(AuditError, match="no such table"):
            logger.write(intent())
        stranger.execute("ALTER TABLE gone RENAME TO records")
        stranger.close()
        call(logger)
        assert logger.count() == 2


def test_a_folder_that_cannot_be_written_refuses_the_call(tmp_path):
    with (
        AuditLogger(tmp_path / "no" / "audit.db") as logger,
        pytest.raises(AuditError, match=r"cannot be (written|read or made)"),
    ):
        logger.write(intent())


def fill(logger: AuditLogger) -> None:
    for _ in range(2000):
        logger.write(intent({"text": "x" * 4000}))


def test_a_full_disk_refuses_calls_before_they_run_and_recovers(path):
    with AuditLogger(path) as logger:
        call(logger)
        pages = logger.transact(lambda tx: tx.execute("PRAGMA page_count").fetchone()[0])
        logger.transact(lambda tx: tx.execute(f"PRAGMA max_page_count = {pages}"))
        with pytest.raises(AuditError, match="disk is full"):
            fill(logger)
        logger.transact(lambda tx: tx.execute("PRAGMA max_page_count = 1000000"))
        call(logger, type="after")
        assert logger.count(type="after") == 1


@pytest.mark.parametrize("attentive", [0, 2, 100])
def test_without_durable_what_nobody_asks_for_is_written_soon_again_and_again(path, monkeypatch, attentive):
    monkeypatch.setattr("aegis_core.audit.writer._ATTENTIVE", attentive)
    with AuditLogger(path, durable=False) as logger:
        call(logger)
        assert logger.count() == 1
        with sqlite3.connect(path) as look:
            for number in range(2, 6):
                time.sleep(0.01 * number)  # between two looks of the thread, or after the last
                call(logger)
                for _ in range(1000):
                    if look.execute("SELECT count(*) FROM records WHERE kind = 'outcome'").fetchone()[0] == number:
                        break
                    time.sleep(0.01)
                else:
                    raise AssertionError("nobody wrote it")
        look.close()


def test_without_durable_a_failing_store_refuses_new_calls_and_keeps_what_it_accepted(path, monkeypatch):
    monkeypatch.setattr("aegis_core.audit.schema.BUSY_SECONDS", 0.01)
    with AuditLogger(path, durable=False) as logger:
        call(logger)
        assert logger.count() == 1
        stranger = sqlite3.connect(path, isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        accepted = 0
        with pytest.raises(AuditError, match="locked"):  # noqa: PT012 - it is refused some writes later
            while accepted < 1000:
                logger.write(intent())
                accepted += 1
                time.sleep(0.005)
        stranger.execute("ROLLBACK")
        stranger.close()
        logger._writer.flush()
        call(logger)
        assert logger.count() == accepted + 2


def test_a_trail_deleted_while_in_use_refuses_calls_until_it_is_back(path, tmp_path):
    with AuditLogger(path) as logger:
        call(logger)
        path.rename(tmp_path / "moved.db")
        for _ in range(2):
            with pytest.raises(AuditError, match=r"moved, deleted or replaced|is gone"):
                logger.write(intent())
        (tmp_path / "moved.db").rename(path)
        call(logger)
        assert logger.count(status="success") == 2


def test_a_trail_replaced_by_another_is_not_written_to(path, tmp_path):
    with AuditLogger(tmp_path / "other.db") as other:
        call(other)
    with AuditLogger(path) as logger:
        call(logger)
        path.unlink()
        (tmp_path / "other.db").rename(path)
        for _ in range(2):
            with pytest.raises(AuditError, match=r"replaced|another file now"):
                logger.write(intent())


def test_a_deleted_log_beside_the_trail_is_noticed(path):
    with AuditLogger(path) as logger:
        call(logger)
        Path(f"{path}-wal").unlink()
        with pytest.raises(AuditError, match="moved, deleted or replaced"):
            logger.write(intent())
        call(logger)


# --- threads, loops, forks ------------------------------------------------------------------------------------------


def test_threads_share_a_logger(path):
    with AuditLogger(path) as logger:
        threads = [threading.Thread(target=lambda: [call(logger) for _ in range(25)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert logger.count(status="success") == 200


def test_event_loops_in_several_threads_share_a_logger(path):
    async def work():
        async def one():
            begun = intent()
            await logger.awrite(begun)
            await logger.awrite(outcome(begun))

        await asyncio.gather(*(one() for _ in range(30)))

    with AuditLogger(path) as logger:
        threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert logger.count(status="success") == 90


async def test_a_cancelled_write_is_cancelled_only_after_it_was_written(path):
    with AuditLogger(path) as logger:
        call(logger)
        turn = logger._writer._turn
        turn.acquire()
        task = asyncio.create_task(logger.awrite(intent()))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.sleep(0.02)
        assert not task.done()
        turn.release()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert logger.count() == 2


async def test_a_store_that_does_not_answer_refuses_the_call_in_the_end(path, monkeypatch):
    monkeypatch.setattr("aegis_core.audit.writer.PATIENCE", 0.05)
    with AuditLogger(path) as logger:
        call(logger)
        with logger._writer._turn:
            with pytest.raises(AuditError, match="busy"):
                await logger.awrite(intent())
            with pytest.raises(AuditError, match="busy"):
                logger.write(intent())


def test_a_forked_child_writes_on_its_own_connection(path):
    with AuditLogger(path) as logger:
        call(logger, type="parent")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                call(logger, type="child")
                status = 0 if logger.count() >= 2 else 2
            finally:
                os._exit(status)
        call(logger, type="parent")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert logger.count(type="parent") == 2
        assert logger.count(type="child", status="success") == 1


def test_what_waits_in_the_parent_is_not_written_again_by_a_forked_child(path):
    with AuditLogger(path, durable=False) as logger:
        for _ in range(100):
            logger.write(intent())
        child = os.fork()
        if child == 0:
            try:
                logger.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert logger.count() == 100


# --- hostile values --------------------------------------------------------------------------------------------------


def test_line_23_hostile_values_are_recorded_and_never_raise(path):
    cyclic: dict[str, object] = {}
    cyclic["self"] = cyclic
    values = [
        *(
            datetime.datetime.now(datetime.UTC),
            b"\xff",
            float("nan"),
            2**70,
            "\ud800",
            {1: 2},
            {"\udfff": 1},
            cyclic,
            object(),
        ),
        *("x" * 10_000_000, list(range(100_000)), {"a": {"b": [{"c": (1, 2)}]}}, "\x1b[2J\u202e\n", None, {1, 2}),
    ]
    with AuditLogger(path) as logger:
        for value in values:
            begun = intent({"value": value}, type="odd\x00\ud800name", labels={"l": "\ud800"}, description="\ud800")
            logger.write(begun)
            logger.write(outcome(begun, value))
            logger.write(outcome(begun, None, error=f"bad {value!r:.50}\ud800"))
        log = logger.get_log()
        assert len(log) == len(values)
        assert logger.verify().ok
        assert len(orjson.dumps(log)) < 2_000_000
    assert path.stat().st_size < 3_000_000


def test_a_session_named_by_a_secret_is_told_apart_from_others_without_naming_it(path):
    first, second = "Bearer abcdefghijklmnop", "Bearer qrstuvwxyzabcdef"
    with AuditLogger(path) as logger:
        call(logger, session_id=first, type="a")
        call(logger, session_id=second, type="b")
        assert [begun[1] for begun in logger.history(first)] == ["a"]
        assert [entry["action_type"] for entry in logger.get_log(session_id=second)] == ["b"]
        stored = {entry["session_id"] for entry in logger.get_log()}
        assert len(stored) == 2
        assert not {first, second} & stored


def test_the_loggers_are_what_the_protocols_ask_for(path):
    # What matters here is that the type checkers accept it.
    with AuditLogger(path) as logger:
        store: AuditStore = logger
        sinks: list[Sink] = [store, MemoryAuditLogger(), LoggingAuditLogger()]
    assert len(sinks) == 3


@pytest.mark.parametrize("end", ["", ".key", ".lock"])
def test_an_export_is_never_written_over_the_trail_it_is_made_of(tmp_path, end):
    with AuditLogger(tmp_path / "trail.db") as logger:
        call(logger, {"path": "/a"})
        os.link(tmp_path / f"trail.db{end}", tmp_path / "another name")
        for export in (logger.export_jsonl, logger.export_chain):
            with pytest.raises(AuditError, match="belongs to the audit trail"):
                export(tmp_path / "another name")
        assert logger.count() == 1
        assert logger.verify().ok


def test_an_empty_file_made_by_somebody_else_becomes_a_trail_that_only_its_owner_can_read(path):
    path.touch()
    path.chmod(0o644)
    with AuditLogger(path) as logger:
        assert (logger.get_log(), logger.count(), logger.history("s")) == ([], 0, [])
        with pytest.raises(AuditError, match=r"there is no audit trail at .* yet: the file is empty"):
            logger.verify()
        call(logger, {"path": "/a"})
        assert logger.count() == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("", "names no file"),
        (":memory:", "must outlive its program"),
        ("mysql://localhost/trail", "mysql:// is neither"),
        ("file:///tmp/trail.db", "file:// is neither"),
        (".", "is a folder, not an audit trail"),
    ],
)
def test_what_is_no_place_for_a_trail_is_refused_and_nothing_is_made(tmp_path, monkeypatch, wrong, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuditError, match=sentence):
        AuditLogger(wrong)
    assert list(tmp_path.iterdir()) == []


def test_filters_take_a_risk_level_and_a_date(path):
    with AuditLogger(path) as logger:
        call(logger, {}, risk=RiskLevel.HIGH)
        call(logger, {}, risk=RiskLevel.LOW)
        assert [entry["risk_level"] for entry in logger.get_log(risk=RiskLevel.HIGH)] == ["HIGH"]
        today = datetime.datetime.now(datetime.UTC).date()
        assert logger.count(since=today - datetime.timedelta(days=1)) == 2
        assert logger.count(until=today - datetime.timedelta(days=1)) == 0
        with pytest.raises(TypeError):
            logger.count(since=1.5)  # type: ignore[arg-type]


def test_a_trail_in_a_folder_that_is_not_there_says_what_to_do(tmp_path):
    with AuditLogger(tmp_path / "no" / "trail.db") as logger:
        with pytest.raises(
            AuditError, match=r"no/trail\.db\.key', cannot be .*: No such file .* give the trail a folder"
        ):
            logger.write(intent())
        assert logger.get_log() == []
