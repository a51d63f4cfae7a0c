"""``aegis audit``, as a shell sees it."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aegis.cli import main
from aegis_core.audit import AuditLogger
from aegis_core.decision import RiskLevel
from aegis_core.record import Event
from aegis_core.request import ApprovalAnswer
from aegis_core.result import ResultStatus
from tests.core.audit.samples import call, intent, outcome, refusal

HOSTILE = "evil\x1b[2J\u202e\n\u200btool"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run ``aegis audit ...``; returns exit code, standard output, standard error."""

    def command(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["aegis", "audit", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return command


@pytest.fixture
def trail(tmp_path, monkeypatch):
    """A working directory with a trail of five calls."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AEGIS_DB", raising=False)
    with AuditLogger() as logger:
        call(logger, {"path": "/a"}, session_id="s1", agent="bot")
        call(logger, {"path": "/b"}, session_id="s2", type="query", target="db")
        yes = ApprovalAnswer("r1", "d", approved=True, approver="ann")
        asked = intent({"to": "x"}, type="send", risk=RiskLevel.HIGH, answer=yes)
        logger.write(asked)
        logger.write(outcome(asked, None, ResultStatus.FAILED, error="no route\nto host"))
        logger.write(refusal(type=HOSTILE))
        logger.write(refusal(ResultStatus.DENIED, answer=ApprovalAnswer("r2", "d", approved=False, approver="ann")))
        logger.write(Event("policy_reloaded", data={"rules": 2}))
    return tmp_path


def entries(text: str) -> list[dict[str, object]]:
    found = json.loads(text)
    assert isinstance(found, list)
    return found


def test_alone_it_lists_the_calls_as_a_table(run, trail):
    code, out, _ = run()
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split()[:3] == ["time", "call", "risk"]
    assert len(lines) == 6
    assert "read_file@filesystem" in lines[1]
    assert "success" in lines[1]


@pytest.mark.parametrize("args", [("--format", "json"), ("--json",), ("list", "--json"), ("--json", "list")])
def test_json_is_one_array_of_all_entries(run, trail, args):
    code, out, _ = run(*args)
    assert code == 0
    with AuditLogger() as logger:
        assert entries(out) == logger.get_log()


def test_json_of_nothing_is_an_empty_array(run, trail):
    assert run("--format", "json", "--session", "none") == (0, "[]\n", "")
    assert run("--format", "jsonl", "--session", "none") == (0, "", "")


def test_jsonl_to_a_file_is_private_and_complete(run, trail):
    code, out, err = run("--format", "jsonl", "-o", "mcp_audit.jsonl")
    assert (code, out) == (0, "")
    assert "5 calls written" in err
    lines = Path("mcp_audit.jsonl").read_text().splitlines()
    assert [json.loads(line)["result_status"] for line in lines][:2] == ["success", "success"]
    assert len(lines) == 5
    assert Path("mcp_audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_csv_is_a_table_for_spreadsheets_that_runs_no_formula(run, trail):
    with AuditLogger() as logger:
        call(logger, type="=cmd()")
    code, out, _ = run("--format", "csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 6
    assert rows[0]["action_params"] == '{"path":"/a"}'
    assert rows[-1]["action_type"] == "'=cmd()"


@pytest.mark.parametrize(
    ("args", "count"),
    [
        (("--session", "s1"), 1),
        (("--type", "query"), 1),
        (("--target", "filesystem"), 4),
        (("--risk", "HIGH"), 1),
        (("--status", "denied"), 1),
        (("--rule", "allow_reads"), 5),
        (("--agent", "bot"), 1),
        (("--since", "1h"), 5),
        (("--until", "1h"), 0),
        (("--since", "2000-01-01", "--until", "2001-01-01T00:00"), 0),
        (("--limit", "2"), 2),
    ],
)
def test_filters_select(run, trail, args, count):
    code, out, _ = run("--json", *args)
    assert code == 0
    assert len(entries(out)) == count


def test_line_23_hostile_names_never_reach_a_terminal_raw(run, trail):
    with AuditLogger() as logger:
        last = logger.get_log(status="blocked")[0]["call_id"]
    for args in ((), ("--json",), ("--format", "csv"), ("tail",), ("show", last), ("stats",), ("export",)):
        _, out, err = run(*args)
        assert not set("\x1b\u202e\u200b") & set(out + err), args


def test_events_are_shown_on_request(run, trail):
    _, out, _ = run("list", "--events")
    assert [event["event"] for event in entries(out)] == ["chain_started", "writer_started", "policy_reloaded"]


def test_show_tells_everything_about_one_call(run, trail):
    _, out, _ = run("--json", "--status", "failed")
    call_id = str(entries(out)[0]["call_id"])
    code, out, _ = run("show", call_id[-8:])
    assert code == 0
    assert "no route\\nto host" in out
    assert "approver         ann" in out
    code, out, _ = run("show", call_id, "--json")
    assert json.loads(out)["call_id"] == call_id
    assert run("show", "nothing")[0] == 2


def test_stats_count_and_say_how_often_people_said_yes(run, trail):
    code, out, _ = run("stats", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["calls"] == 5
    assert {row["name"]: row["calls"] for row in found["by"]["status"]} == {
        "success": 2, "failed": 1, "blocked": 1, "denied": 1,
    }  # fmt: skip
    counts = {"asked": 2, "approved": 1, "denied": 1, "unanswered": 0, "approve_rate": 0.5}
    assert found["approvals"] == [{"rule": "allow_reads", **counts, "hint": None}]
    assert sum(row["asked"] for row in found["approvals_by_session"]) == 2
    assert "people asked, by rule" in run("stats")[1]
    assert "5 calls" in run("stats")[1]
    assert "0 calls" in run("stats", "--session", "none")[1]


def test_timeline_plots_calls_over_time(run, trail):
    code, out, _ = run("timeline", "--json", "--step", "1d")
    assert code == 0
    buckets = json.loads(out)
    assert sum(bucket["calls"] for bucket in buckets) == 5
    assert "█" in run("timeline")[1]
    assert run("timeline", "--session", "none")[1] == "no calls on record\n"
    assert run("timeline", "--step", "soon")[0] == 2


def test_a_missing_trail_is_a_sentence_and_is_not_made_by_looking(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for args in ((), ("stats",), ("tail",), ("timeline",), ("verify",), ("export",), ("show", "x")):
        code, out, err = run(*args)
        assert (code, out) == (2, "")
        assert "there is no audit trail" in err
    assert list(tmp_path.iterdir()) == []


def test_a_strangers_file_is_a_sentence(run, tmp_path):
    (tmp_path / "x.db").write_text("hello " * 500)
    code, _, err = run("--db", tmp_path / "x.db")
    assert code == 2
    assert "not an audit trail" in err


def test_the_trail_is_named_by_option_or_environment(run, tmp_path, monkeypatch):
    with AuditLogger(tmp_path / "a.db") as logger:
        call(logger)
    monkeypatch.setenv("AEGIS_DB", str(tmp_path / "nothing.db"))
    assert run("stats")[0] == 2
    assert run("--db", tmp_path / "a.db", "stats")[0] == 0
    assert run("stats", "--db", tmp_path / "a.db")[0] == 0
    monkeypatch.setenv("AEGIS_DB", str(tmp_path / "a.db"))
    assert run("stats")[0] == 0


def test_mistakes_exit_with_2(run, trail):
    for args in (("--since", "soon"), ("--risk", "huge"), ("--status", "odd"), ("nonsense",), ("--nonsense",)):
        assert run(*args)[0] == 2, args


def test_verify_passes_and_then_names_what_was_edited(run, trail):
    code, out, _ = run("verify")
    assert code == 0
    assert "verified" in out
    import sqlite3

    with sqlite3.connect("aegis_audit.db") as db:
        db.execute("UPDATE records SET reason = 'x' WHERE seq = 4")
    db.close()
    code, out, _ = run("verify")
    assert code == 1
    assert "row 4 does not match its hash" in out
    code, out, _ = run("verify", "--json")
    assert code == 1
    assert json.loads(out)["breaks"][0]["kind"] == "edited"


def test_checkpoints_prune_and_chain_exports_work_from_the_command_line(run, trail):
    pytest.importorskip("cryptography")
    assert run("keygen", "-o", "k")[0] == 0
    assert run("keygen", "-o", "k")[0] == 2
    assert run("checkpoint", "--key", "k", "-o", "kept.jsonl")[0] == 0
    assert json.loads(run("checkpoint", "--key", "k")[1])["kind"] == "checkpoint"
    assert run("export", "--chain", "-o", "chain.jsonl")[0] == 0
    for args in (
        ("verify", "--public-key", "k.pub", "--checkpoints", "kept.jsonl"),
        ("verify", "--chain", "chain.jsonl", "--public-key", "k.pub", "--checkpoints", "kept.jsonl"),
    ):
        code, out, _ = run(*args)
        assert (code, "note" in out) == (0, False), out
    Path("aegis_audit.db").unlink()
    assert run("verify", "--chain", "chain.jsonl")[0] == 0
    with AuditLogger() as logger:
        call(logger)
    assert run("verify", "--checkpoints", "kept.jsonl")[0] == 1
    assert run("verify", "--checkpoints", "nothing")[0] == 2
    assert run("prune", "--before", "0s", "--key", "k", "--yes")[0] == 0
    assert "nothing is that old" in run("prune", "--before", "9d", "--key", "k", "--yes")[1]
    assert run("--json")[1] == "[]\n"
    assert run("verify", "--public-key", "k.pub")[0] == 0


def test_export_takes_filters_and_writes_csv_too(run, trail):
    code, out, err = run("export", "--status", "success")
    assert code == 0
    assert len(out.splitlines()) == 2
    assert "2 calls exported" in err
    assert len(run("export", "--format", "csv")[1].splitlines()) == 6
    assert run("export", "--chain", "--status", "success")[0] == 2


def test_tail_shows_the_newest_calls(run, trail):
    assert len(run("tail")[1].splitlines()) == 5
    assert len(run("tail", "-n", "2")[1].splitlines()) == 2
    assert json.loads(run("tail", "-n", "1", "--json")[1])["result_status"] == "denied"


def test_tail_f_follows_calls_as_they_begin_and_end(trail):
    command = [sys.executable, "-m", "aegis", "audit", "tail", "-f", "--json", "-n", "1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert child.stdout is not None
    try:
        assert json.loads(child.stdout.readline())["result_status"] == "denied"
        with AuditLogger() as logger:
            begun = intent(type="late")
            logger.write(begun)
            assert json.loads(child.stdout.readline())["result_status"] == "running"
            time.sleep(0.3)
            logger.write(outcome(begun))
            assert json.loads(child.stdout.readline())["result_status"] == "success"
    finally:
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "Traceback" not in said


@pytest.mark.parametrize("end", ["", "-wal", ".key", ".lock"])
@pytest.mark.parametrize(
    "command",
    [("list",), ("export",), ("export", "--chain"), ("checkpoint", "--key", "aegis_signing.key")],
    ids=" ".join,
)
def test_no_output_is_written_over_the_trail_it_is_made_of(run, trail, command, end):
    if command[0] == "checkpoint":
        pytest.importorskip("cryptography")
        assert run("keygen")[0] == 0
    own = Path(f"aegis_audit.db{end}")
    with AuditLogger() as logger:
        logger.write(refusal())  # the log of changes is there as long as the trail is open
        before = own.read_bytes()
        (trail / "link").symlink_to(own)
        code, out, err = run(*command, "-o", "link")
        assert (code, out) == (2, "")
        assert "belongs to the audit trail and is not written over" in err
        assert own.read_bytes() == before
    assert run("verify")[0] == 0


def test_a_dash_for_the_output_is_standard_output(run, trail):
    assert run("--format", "jsonl", "-o", "-") == run("--format", "jsonl")
    assert run("export", "-o", "-") == run("export")
    assert not (trail / "-").exists()


def test_a_folder_in_place_of_a_trail_is_named_as_one(run, trail):
    code, _, err = run("--db", trail)
    assert code == 2
    assert err == f"Error: '{trail}' is a folder, not an audit trail; name a file in it\n"


@pytest.mark.parametrize("wrong", ["", ":memory:", "mysql://localhost/trail"])
def test_a_trail_that_cannot_be_one_is_a_mistake_in_the_command(run, trail, wrong):
    assert run("--db", wrong)[0] == 2


def test_a_status_may_be_written_in_any_case_like_a_risk(run, trail):
    assert len(entries(run("--json", "--status", "BLOCKED")[1])) == 1
    assert run("--json", "--status", "BLOCKED") == run("--json", "--status", "blocked")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_an_encoding_lacks_is_escaped_and_json_stays_the_same(tmp_path, encoding):
    params = {"name": "Zoë 東京 🙂"}
    with AuditLogger(tmp_path / "a.db") as logger:
        call(logger, params)
    for kind in ("json", "jsonl", "table", "csv"):
        ran = subprocess.run(
            [sys.executable, "-m", "aegis", "audit", "--db", str(tmp_path / "a.db"), "--format", kind],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, b"")
        if kind.startswith("json"):
            found = json.loads(ran.stdout.decode(encoding).strip().removeprefix("[").removesuffix("]"))
            assert found["action_params"] == params
