"""A trail in PostgreSQL, on a real server, with real processes and real kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aegis_core.audit import AuditLogger
from aegis_core.audit.chainfile import verify_file
from aegis_core.audit.checkpoint import load_statements
from aegis_core.audit.signing import PublicKey
from aegis_core.decision import Reservation
from aegis_core.errors import AegisError, AuditError
from aegis_core.record import BudgetExhausted, Event
from tests.core.audit.killing import ROUNDS, killed
from tests.core.audit.postgres_server import PrivateServer, binaries
from tests.core.audit.samples import call, intent, outcome, refusal

REQUIRED = bool(os.environ.get("AEGIS_REQUIRE_POSTGRES"))
ROOT = Path(__file__).parents[3]

try:
    import psycopg
except ImportError:
    if REQUIRED:
        raise
    pytest.skip("psycopg is not installed (the extra postgres)", allow_module_level=True)


@pytest.fixture(scope="module")
def private():
    """A server that a test may stop."""
    programs = binaries()
    if programs is None:
        reason = "there is no PostgreSQL server: set AEGIS_TEST_POSTGRES to a URL, or install postgresql"
        assert not REQUIRED, reason
        pytest.skip(reason)
    server = PrivateServer(programs)
    yield server
    server.remove()


@pytest.fixture(scope="module")
def server(request):
    """The URL of a server, whatever the database."""
    return os.environ.get("AEGIS_TEST_POSTGRES") or request.getfixturevalue("private").url


def database(server_url: str) -> str:
    """A new, empty database."""
    name = f"aegis_{secrets.token_hex(6)}"
    base = server_url.rstrip("/")
    if base.count("/") > 2:  # the database that is named is only connected to
        base, admin = base.rsplit("/", 1)
    else:
        admin = "postgres"
    with psycopg.connect(f"{base}/{admin}", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{base}/{name}"


@pytest.fixture
def url(server, tmp_path, monkeypatch):
    monkeypatch.setenv("AEGIS_KEY_FILE", str(tmp_path / "key"))
    return database(server)


@pytest.fixture
def logger(url):
    with AuditLogger(url) as logger:
        yield logger


def edit(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path TO aegis")
        connection.execute(sql)


def start(code: str, *args: object) -> Any:
    program = (
        f"import sys, os\nfrom tests.core.audit.samples import *\nfrom aegis_core.audit import AuditLogger\n{code}"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args)],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    children.append(child)
    return child


children: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _no_child_is_left():
    yield
    while children:
        child = children.pop()
        child.kill()
        child.communicate()


# --- one process ------------------------------------------------------------------------------------------------------


def test_a_trail_reads_back_as_one_in_a_file_does(url, tmp_path):
    records: list[Any] = [
        intent({"text": "a\0b", "n": 10**30}, session_id="s"),
        refusal(session_id="s"),
        intent(agent="x\0y"),
    ]
    records += [outcome(records[0]), outcome(records[2], status=records[1].status), Event("reload", data={"a": 1})]
    logs = []
    for place in (tmp_path / "a.db", url):
        with AuditLogger(place) as logger:
            for record in records:
                logger.write(record)
            logs.append(
                (
                    logger.get_log(),
                    logger.get_log(session_id="s", limit=1),
                    logger.count(status="blocked"),
                    logger.count(),
                    [call for _, *call in logger.history("s")],
                    list(logger.reader.groups(("action_type",), logger._filters())),
                    logger.reader.find(records[0].call_id[-6:]),
                    logger.export_jsonl(tmp_path / "out"),
                )
            )
            assert logger.verify().ok
    assert logs[0][0][2].pop("agent") == "x\0y"
    assert logs[1][0][2].pop("agent") == "x\u2400y"
    assert logs[0] == logs[1]


def test_a_trail_that_is_not_there_reads_empty_and_is_not_made_by_reading(url, monkeypatch):
    with AuditLogger(url) as logger:
        monkeypatch.setattr(logger._writer, "flush", lambda: None)
        assert logger.get_log() == []
        with pytest.raises(AuditError, match="there is no audit trail"):
            logger.verify()


def test_tasks_and_threads_are_written_in_groups(logger):
    async def main() -> None:
        async def one() -> None:
            begun = intent()
            await logger.awrite(begun)
            await logger.awrite(outcome(begun))

        await asyncio.gather(*(one() for _ in range(200)))

    threads = [threading.Thread(target=lambda: [call(logger) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    asyncio.run(main())
    for thread in threads:
        thread.join()
    assert logger.count(status="success") == 280
    assert logger.verify().ok


def test_fast_mode_writes_all_of_it_in_the_end(url):
    with AuditLogger(url, durable=False) as logger:
        for _ in range(500):
            call(logger)
    with AuditLogger(url) as logger:
        assert logger.count(status="success") == 500
        assert logger.verify().ok


def test_a_call_without_outcome_runs_while_its_writer_is_connected_and_is_unknown_afterwards(url, monkeypatch):
    code = "logger = AuditLogger(sys.argv[1])\nlogger.write(intent())\nprint('ready', flush=True)\nsys.stdin.read()"
    child = start(code, url)
    child.stdout.readline()
    with AuditLogger(url) as logger:
        monkeypatch.setattr(logger.reader, "writer", lambda seq: None)  # as from another host
        assert logger.get_log()[0]["result_status"] == "running"
        child.kill()
        child.wait()
        deadline = time.monotonic() + 10
        while logger.count(status="unknown") != 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_fork_begins_a_chain_of_its_own(logger):
    call(logger)
    pid = os.fork()
    if pid == 0:
        call(logger)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    call(logger)
    assert logger.count(status="success") == 3
    assert logger.verify().ok


# --- what is refused --------------------------------------------------------------------------------------------------


def test_what_cannot_be_used_is_refused_with_a_sentence(url, monkeypatch, tmp_path):
    with pytest.raises(AuditError, match="a trail is a file or a postgresql:// URL; mysql:// is neither"):
        AuditLogger("mysql://x/y")
    with pytest.raises(AuditError) as refused:
        AuditLogger("postgresql://me:secret@h/x?nonsense=1")
    assert "secret" not in str(refused.value)
    away = AuditLogger("postgresql://me:secret@127.0.0.1:9/x")
    assert away.path == "postgresql://me@127.0.0.1:9/x"
    with pytest.raises(AuditError) as refused:
        away.write(intent())
    assert "secret" not in str(refused.value)
    with AuditLogger(url) as logger:
        call(logger)
    monkeypatch.setenv("AEGIS_KEY_FILE", str(tmp_path / "another"))
    with AuditLogger(url) as logger, pytest.raises(AuditError, match="is not the key of the audit trail"):
        call(logger)
    monkeypatch.delenv("AEGIS_KEY_FILE")
    with pytest.raises(AuditError, match="AEGIS_KEY_FILE"):
        AuditLogger(url)


def test_without_psycopg_one_sentence_names_the_extra():
    code = "sys.modules['psycopg'] = None\ntry: AuditLogger('postgresql://h/x')\nexcept Exception as e: print(e)"
    said, _ = start(code).communicate()
    assert said.startswith("a trail in PostgreSQL needs psycopg: pip install 'aegis-agents[postgres]'")
    assert len(said.splitlines()) == 1


def test_a_schema_of_a_newer_version_is_refused(url, logger):
    call(logger)
    edit(url, "UPDATE meta SET value = '99' WHERE key = 'version'")
    with AuditLogger(url) as other:
        with pytest.raises(AuditError, match="written by a newer Aegis"):
            other.write(intent())
        with pytest.raises(AuditError, match="written by a newer Aegis"):
            other.reader.last_row()


# --- verify -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("UPDATE records SET action_target = 'else' WHERE writer = 1 AND number = 3", "edited"),
        ("UPDATE records SET writer = 77 WHERE writer = 1 AND number = 3", "missing"),
        ("UPDATE records SET hash = decode('00', 'hex') WHERE writer = 1 AND number = 3", "edited"),
        ("DELETE FROM records WHERE writer = 1 AND number = 3", "missing"),
        ("DELETE FROM records WHERE writer = 1", "truncated"),
        ("DELETE FROM records WHERE writer = 1 AND number > 4", "truncated"),
        ("UPDATE records SET number = 7 - number WHERE writer = 1 AND number IN (3, 4)", "reordered"),
    ],
)
def test_an_edit_is_found(url, sql, kind):
    for _ in range(2):
        with AuditLogger(url) as logger:
            call(logger)
            call(logger)
    with AuditLogger(url) as logger:
        assert logger.verify().ok
        if "7 - number" in sql:
            edit(url, "ALTER TABLE records DROP CONSTRAINT records_writer_number_key")
        edit(url, sql)
        found = logger.verify()
    assert not found.ok
    assert kind in {wrong.kind for wrong in found.breaks}
    assert all(wrong.message.startswith("chain ") for wrong in found.breaks)


def test_a_checkpoint_vouches_for_all_chains(url, tmp_path):
    pytest.importorskip("cryptography", reason="the extra sign is not installed")
    from aegis_core.audit.signing import generate

    generate(tmp_path / "signer")
    public = tmp_path / "signer.pub"
    kept = tmp_path / "kept.jsonl"
    with AuditLogger(url) as logger, AuditLogger(url) as other:
        for writer in (logger, other):
            call(writer)
        statement = logger.checkpoint(tmp_path / "signer")
        kept.write_text(json.dumps(statement.as_dict()))
        found = other.verify(public_key=public, checkpoints=kept)
        assert found.ok
        assert found.checkpoints == 2  # on the chain and kept
        assert not found.notes
        call(other)
        edit(url, "DELETE FROM records WHERE writer = 2 AND number >= 4")
        assert {wrong.kind for wrong in logger.verify(public_key=public, checkpoints=kept).breaks} == {"truncated"}
        edit(url, "DELETE FROM records")
        edit(url, "DELETE FROM writers")
        assert {wrong.kind for wrong in logger.verify(public_key=public, checkpoints=kept).breaks} == {"truncated"}


@pytest.fixture
def signed(tmp_path):
    """A key that signs, and the public key beside it."""
    pytest.importorskip("cryptography", reason="the extra sign is not installed")
    from aegis_core.audit.signing import generate

    generate(tmp_path / "signer")
    return tmp_path / "signer", tmp_path / "signer.pub"


def test_retention_cuts_every_chain_keeps_what_runs_and_the_rest_verifies(url, signed, monkeypatch):
    key, public = signed
    with AuditLogger(url) as logger, AuditLogger(url) as other, AuditLogger(url) as third:
        for writer in (logger, other, third):
            for _ in range(5):
                call(writer)
        running = intent()
        other.write(running)
        call(other)
        time.sleep(0.01)
        limit = time.time_ns() // 1000
        call(logger)
        assert logger.prune(1, key) == []
        cuts = logger.prune(limit, key)
        assert [(cut.kind, cut.chain.rpartition(".")[2]) for cut in cuts] == [("cut", "1"), ("cut", "2"), ("cut", "3")]
        found = logger.verify(public_key=public)
        assert found.ok, found.breaks
        log = {entry["call_id"]: entry["result_status"] for entry in logger.get_log()}
        assert len(log) == 3  # what runs, what came after it in its chain, and what is young
        assert log[running.call_id] == "running"
        # All writers go on, also the one of whose chain nothing is left, and also over another connection.
        edit(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'aegis'")
        third.write(outcome(running))
        for writer in (logger, other, third):
            call(writer)
        assert logger.verify(public_key=public).ok
        assert logger.count() == 6
        # Once more: what was said of chains that have nothing new to cut is not lost with the row that said it.
        time.sleep(0.01)
        logger.prune(time.time_ns() // 1000, key)
        monkeypatch.setattr(time, "time_ns", lambda now=time.time_ns: now() + 10**9)
        call(logger)
        assert logger.prune(time.time_ns() // 1000 - 100, key)
        assert logger.verify(public_key=public).ok
        call(third)
        assert logger.verify(public_key=public).ok


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("DELETE FROM records WHERE kind = 'cut'", "missing"),
        ("UPDATE records SET data = replace(data, '\"seq\":', '\"seq\":1') WHERE kind = 'cut'", "edited"),
        ("DELETE FROM records WHERE writer = 2 AND number < 11", "missing"),
    ],
)
def test_what_goes_missing_without_a_signed_cut_is_named(url, signed, sql, kind):
    key, public = signed
    with AuditLogger(url) as logger, AuditLogger(url) as other:
        for writer in (logger, other):
            for _ in range(3):
                call(writer)
        other.write(intent())
        call(other)
        logger.prune(time.time_ns() // 1000 + 10**6, key)
        call(logger)
        assert logger.verify(public_key=public).ok
        edit(url, sql)
        assert kind in {wrong.kind for wrong in logger.verify(public_key=public).breaks}


def test_an_export_of_all_chains_is_checked_alone_while_others_go_on_writing(url, signed, tmp_path):
    key, public = signed
    kept = tmp_path / "kept.jsonl"
    stop = threading.Event()
    with AuditLogger(url) as logger, AuditLogger(url) as other:
        for writer in (logger, other):
            call(writer)
        logger.prune(time.time_ns() // 1000 + 10**6, key)
        kept.write_text(json.dumps(logger.checkpoint(key).as_dict()))

        def work() -> None:
            while not stop.is_set():
                call(other)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            exports = [tmp_path / f"export{number}" for number in range(4)]
            counts = []
            for export in exports:
                with AuditLogger(url) as young:  # its chain's first row speaks of the ends of the others
                    call(young)
                counts.append(logger.export_chain(export))
        finally:
            stop.set()
            thread.join()
    for export, count in zip(exports, counts, strict=True):
        found = verify_file(export, public_key=PublicKey.load(public), checkpoints=load_statements(kept))
        assert found.ok, found.breaks
        assert (found.rows, found.checkpoints) == (count, 2)
        assert export.stat().st_mode & 0o777 == 0o600
    header, *lines = exports[-1].read_text().splitlines()
    writers = [json.loads(line)[1] for line in lines]
    ends = [number for number, writer in enumerate(writers) if writers[number + 1 : number + 2] != [writer]]
    called = next(number for number, line in enumerate(lines) if "read_file" in line)
    for damaged, kind in (
        (lines[:1] + lines[2:], "missing"),
        ([*lines[:called], lines[called].replace("read_file", "read_filf"), *lines[called + 1 :]], "edited"),
        ([line for number, line in enumerate(lines) if number not in (ends[0] - 1, ends[0])], "truncated"),
    ):
        (tmp_path / "damaged").write_text("\n".join([header, *damaged]) + "\n")
        found = verify_file(tmp_path / "damaged", checkpoints=load_statements(kept))
        assert kind in {wrong.kind for wrong in found.breaks}, kind


def test_prune_and_chain_exports_work_from_the_command_line(url, signed, tmp_path, logger):
    key, public = map(str, signed)
    call(logger)

    def run(*args: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "aegis", "audit", *args], capture_output=True, text=True, check=False, cwd=ROOT
        )
        return done.returncode, done.stdout + done.stderr

    code, said = run("prune", "--db", url, "--before", "0s", "--key", key, "--yes")
    assert (code, "rows up to 4 removed" in said) == (0, True), said
    call(logger)
    code, said = run("export", "--chain", "--db", url, "-o", str(tmp_path / "chain"))
    assert (code, said.endswith("rows exported\n")) == (0, True), said
    code, said = run("verify", "--chain", str(tmp_path / "chain"), "--public-key", public)
    assert (code, "verified" in said) == (0, True), said


# --- many processes ---------------------------------------------------------------------------------------------------

CALLER = """
with AuditLogger(sys.argv[1]) as logger:
    for _ in range(int(sys.argv[2])):
        call(logger)
"""


def test_processes_that_start_together_create_one_trail_and_lose_nothing(url):
    children = [start(CALLER, url, 50) for _ in range(4)]
    assert [child.wait(120) for child in children] == [0] * 4
    with AuditLogger(url) as logger:
        assert logger.count() == logger.count(status="success") == 200
        found = logger.verify()
        assert found.ok
        assert found.rows == 4 * (2 + 100)


SPENDER = """
from aegis_core.decision import Reservation
from aegis_core.record import BudgetExhausted
taken = 0
with AuditLogger(sys.argv[1]) as logger:
    for number in range(20):
        keys = ("a", "b") if number % 2 else ("b", "a")
        try:
            logger.write(intent(reserves=tuple(Reservation(key, 30, 3600.0) for key in keys)))
            taken += 1
        except BudgetExhausted:
            pass
print(taken)
"""


def test_a_budget_holds_for_all_processes_together(url):
    children = [start(SPENDER, url) for _ in range(4)]
    assert sum(int(child.communicate(timeout=120)[0]) for child in children) == 30
    with AuditLogger(url) as logger:
        assert logger.count() == 30
        with pytest.raises(BudgetExhausted):
            logger.write(intent(reserves=(Reservation("a", 30, 3600.0),)))
        call(logger)


def test_a_budget_that_is_used_up_refuses_one_of_a_group_and_not_its_neighbours(logger):
    async def main() -> list[BaseException | None]:
        reserves = (Reservation("one", 1, 3600.0),)
        records: list[Any] = [intent(reserves=reserves) for _ in range(20)] + [intent() for _ in range(20)]
        return await asyncio.gather(*map(logger.awrite, records), return_exceptions=True)

    errors = [error for error in asyncio.run(main()) if error is not None]
    assert [type(error) for error in errors] == [BudgetExhausted] * 19
    assert logger.count() == 21
    assert logger.verify().ok


@pytest.mark.parametrize("tasks", [1, 20])
def test_nothing_acknowledged_is_lost_by_kill_9(url, tasks):
    """Fifty writers in all; AEGIS_TEST_KILLS says another number."""
    intents, outcomes = killed(url, tasks, ROUNDS // 2)
    with AuditLogger(url) as logger:
        statuses = {entry["call_id"]: entry["result_status"] for entry in logger.get_log()}
        assert intents <= set(statuses)
        assert all(statuses[call_id] == "success" for call_id in outcomes)
        assert set(statuses.values()) <= {"success", "unknown", "running"}
        assert logger.verify().ok


# --- a server that goes away ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_is_restarted_under_load_loses_nothing_and_doubles_nothing(private, tmp_path, monkeypatch, mode):
    monkeypatch.setenv("AEGIS_KEY_FILE", str(tmp_path / "key"))
    url = database(private.url)
    acknowledged: list[str] = []
    refused: list[float] = []
    stop = threading.Event()
    with AuditLogger(url) as logger:

        def work() -> None:
            while not stop.is_set():
                begun = intent()
                try:
                    logger.write(begun)
                except AuditError:
                    refused.append(time.monotonic())
                    time.sleep(0.02)
                    continue
                ended = outcome(begun)
                while True:  # as a runtime does with an outcome that could not be written
                    try:
                        logger.write(ended)
                    except AuditError:
                        time.sleep(0.02)
                    else:
                        break
                acknowledged.append(begun.call_id)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            time.sleep(0.3)
            private.stop(mode)
            time.sleep(0.2)
            private.start()
        back = time.monotonic()
        time.sleep(0.5)
        stop.set()
        for thread in threads:
            thread.join()
        assert refused
        assert max(refused) < back + 0.5
        log = {entry["call_id"]: entry["result_status"] for entry in logger.get_log()}
        assert all(log[call_id] == "success" for call_id in acknowledged)
        assert logger.verify().ok
    with psycopg.connect(url) as connection:
        doubled = connection.execute(
            "SELECT call_id, kind, count(*) FROM aegis.records WHERE call_id IS NOT NULL"
            " GROUP BY call_id, kind HAVING count(*) > 1"
        ).fetchall()
    assert doubled == []


class Line:
    """What lies between a client and the server: it can lose the server's answers, and then the connection."""

    def __init__(self, server_url: str) -> None:
        named = psycopg.conninfo.conninfo_to_dict(server_url)
        self.target = str(named["host"]), int(str(named["port"]))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.deaf = self.down = False
        self.ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if self.down:
                    client.close()
                    continue
                server = socket.create_connection(self.target)
                self.ends += [client, server]
                threading.Thread(target=self._copy, args=(client, server), daemon=True).start()
                threading.Thread(target=self._copy, args=(server, client), daemon=True).start()

    def _copy(self, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.deaf and source.getpeername()[1] == self.target[1]:
                    self.cut()
                    return
                to.sendall(data)

    def cut(self) -> None:
        """The answer is lost, and nobody gets through any more."""
        self.down, self.deaf = True, False
        while self.ends:
            end = self.ends.pop()
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.mark.parametrize("many", [False, True])
def test_a_call_that_was_refused_because_the_answer_was_lost_is_called_off_on_the_trail(server, url, many):
    line = Line(server)
    through = url.replace(f":{line.target[1]}/", f":{line.port}/")
    with AuditLogger(through) as logger:
        call(logger)
        line.deaf = True  # the server will have committed before its answer is lost
        begun = intent()
        with pytest.raises(AuditError):
            asyncio.run(logger.awrite(begun)) if many else logger.write(begun)
        line.down = False
        call(logger)
        found = logger.reader.entry(begun.call_id)
        assert found is not None
        assert (found["result_status"], found["error"]) == (
            "cancelled",
            "refused: the store's answer to the intent was lost, so the tool did not run",
        )
        assert logger.count() == logger.count(status="success") + 1 == 3
        assert logger.verify().ok
    line.listener.close()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_in_fast_mode_writing_goes_on_when_the_server_is_back(private, tmp_path, monkeypatch, mode):
    monkeypatch.setenv("AEGIS_KEY_FILE", str(tmp_path / "key"))
    accepted = 0
    with AuditLogger(database(private.url), durable=False) as logger:
        for number in range(1_500):
            if number in (500, 1_000):
                private.stop(mode)
                private.start()
            try:
                logger.write(intent())
                accepted += 1
            except AuditError:
                time.sleep(0.05)
        deadline = time.monotonic() + 10
        while (written := _count(logger)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert written <= accepted
        assert written == accepted or mode == "immediate"  # a crash of the server may cost its last moments
        assert logger.verify().ok


def _count(logger: AuditLogger) -> int | None:
    try:
        return logger.count()
    except AuditError:
        return None


def test_a_connection_that_was_cut_is_made_again_without_anybody_noticing(url, logger):
    for _ in range(3):
        call(logger)
        assert logger.count()
        edit(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                  " AND datname = current_database()")  # fmt: skip
        call(logger)
        logger.transact(lambda transaction: transaction.append(Event("something")))
    assert logger.count() == 6
    assert logger.verify().ok


# --- approvals --------------------------------------------------------------------------------------------------------

APPROVER = """
import time
from aegis_core.approval.store import ApprovalStore
with AuditLogger(sys.argv[1]) as logger:
    approvals = ApprovalStore(logger)
    while not (found := approvals.requests(pending=True)):
        time.sleep(0.02)
    for ticket in found:
        approvals.answer(ticket.id, approved=True, approver="ana", via="cli")
"""


def test_the_queue_is_answered_from_another_process_and_a_yes_runs_once(url):
    from aegis import Action, Policy, Runtime
    from aegis.runtime.approval import QueueApprovalHandler

    policy = Policy.from_string("version: 1\nrules:\n- {name: ask, match: {type: send}, approval: approve}\n")
    ran: list[int] = []
    with AuditLogger(url) as logger:
        logger.write(intent())
        runtime = Runtime(policy=policy, audit_logger=logger, approval_handler=QueueApprovalHandler(logger))
        approver = start(APPROVER, url)
        started = time.monotonic()
        result = runtime.run(Action("send", "mail", {"to": "x"}), lambda _: ran.append(1))
        assert result.ok, result
        assert approver.wait(30) == 0
        assert time.monotonic() - started < 20
        entry = logger.get_log(type="send")[0]
        assert (entry["human_decision"], entry["approver"], entry["result_status"]) == ("approved", "ana", "success")
        assert ran == [1]


CONSUMER = """
from aegis_core.record import GrantUnavailable
from aegis_core.request import ApprovalAnswer
grant, digest = sys.argv[2:4]
with AuditLogger(sys.argv[1]) as logger:
    call(logger)
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        logger.write(intent(answer=ApprovalAnswer(grant, digest, approved=True, approver="ana", grant=grant)))
        print("ran")
    except GrantUnavailable:
        print("too late")
"""


def test_of_processes_that_hold_the_same_yes_one_runs(url):
    with AuditLogger(url) as logger:
        logger.transact(
            lambda transaction: transaction.execute(
                "INSERT INTO approvals (id, digest, state, request, created_at, expires_at)"
                " VALUES ('g', 'd', 'approved', '{}', 0, ?)",
                (1 << 60,),
            )
        )
        children = [start(CONSUMER, url, "g", "d") for _ in range(4)]
        for child in children:
            child.stdout.readline()
        said = [child.communicate(input="go\n")[0].strip() for child in children]
        assert sorted(said) == ["ran", "too late", "too late", "too late"]


def test_a_watch_hears_of_a_change_at_once_and_of_a_server_that_is_back(logger):
    watch = logger.watch()
    assert watch.wait(0.05) is False
    logger.transact(lambda transaction: transaction.append(Event("something")))
    assert watch.wait(5) is True
    threading.Timer(0.1, watch.wake).start()
    assert watch.wait(5) is True
    watch._session.raw.close()
    watch._session = None
    assert watch.wait(5) is True
    watch.close()


def test_a_transaction_that_raises_leaves_nothing(logger):
    def work(transaction: Any) -> None:
        transaction.append(Event("something"))
        transaction.execute("INSERT INTO budgets VALUES ('x', 1)")
        raise AegisError("no")

    with pytest.raises(AegisError, match="no"):
        logger.transact(work)
    with pytest.raises(AuditError, match="nonsense"):
        logger.transact(lambda transaction: transaction.execute("SELECT nonsense"))
    call(logger)
    assert logger.read(lambda db: db.execute("SELECT count(*) FROM budgets").fetchone()[0]) == 0
    assert logger.verify().ok


# --- aegis db upgrade -------------------------------------------------------------------------------------------------


def test_db_upgrade_creates_the_tables_and_says_what_it_did(url):
    from click.testing import CliRunner

    from aegis.cli.db import db

    first = CliRunner().invoke(db, ["upgrade", "--db", url])
    again = CliRunner().invoke(db, ["upgrade", "--db", url])
    assert (first.exit_code, again.exit_code) == (0, 0), first.output
    assert "schema 1 was created" in first.output
    assert "schema 1 already" in again.output
