"""Finding out that a trail was tampered with."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sqlite3
from pathlib import Path

import orjson
import pytest

from aegis_core.audit import AuditLogger
from aegis_core.audit.chain import GENESIS, link
from aegis_core.audit.chainfile import verify_file
from aegis_core.audit.checkpoint import load_statements
from aegis_core.audit.schema import ALL
from aegis_core.audit.signing import PublicKey, generate
from aegis_core.errors import AuditError
from aegis_core.record import Event, now_us
from tests.core.audit.samples import call, intent, refusal

MUTATIONS = int(os.environ.get("AEGIS_TEST_MUTATIONS", "300"))


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A trail with a checkpoint on it and a copy of that elsewhere; and a key."""
    pytest.importorskip("cryptography")
    folder = tmp_path_factory.mktemp("trail")
    generate(folder / "key")
    with AuditLogger(folder / "audit.db") as logger:
        for number in range(12):
            call(logger, {"path": f"/data/{number}"}, session_id=f"s{number % 3}", agent="bot", labels={"n": "x"})
        logger.write(refusal())
        logger.write(Event("policy_reloaded", data={"rules": 3}))
        statement = logger.checkpoint(folder / "key")
    (folder / "checkpoints.jsonl").write_bytes(orjson.dumps(statement.as_dict()) + b"\n")
    return folder


@pytest.fixture
def trail(original, tmp_path):
    for name in ("audit.db", "audit.db.key", "key", "key.pub", "checkpoints.jsonl"):
        shutil.copy(original / name, tmp_path / name)
    return tmp_path


def check(folder: Path, **options):
    with AuditLogger(folder / "audit.db") as logger:
        return logger.verify(public_key=folder / "key.pub", checkpoints=folder / "checkpoints.jsonl", **options)


def edit(folder: Path, sql: str, *values: object) -> None:
    with sqlite3.connect(folder / "audit.db") as db:
        db.execute(sql, values)
    db.close()


def only(found) -> tuple[str, int, int]:
    (wrong,) = found.breaks
    return wrong.kind, wrong.first, wrong.last


def test_an_untouched_trail_verifies(trail):
    found = check(trail)
    assert found.ok
    assert found.breaks == found.notes == []
    assert found.rows == found.last == 2 + 24 + 2 + 1
    assert found.checkpoints == 2  # on the chain, and the copy


def test_line_21_an_edited_row_is_named(trail):
    edit(trail, "UPDATE records SET action_params = '{}' WHERE seq = 7")
    found = check(trail)
    assert not found.ok
    assert only(found) == ("edited", 7, 7)


@pytest.mark.parametrize("column", [*ALL[1:], "hash"])
def test_an_edit_of_any_column_is_found(trail, column):
    edit(trail, f'UPDATE records SET "{column}" = ? WHERE seq = 5', b"x" if column == "hash" else "x")
    assert check(trail).breaks[0].kind == "edited"


@pytest.mark.parametrize("value", [b"\xff\xfe", 1.5, b"\x00"])
def test_values_of_a_kind_that_is_never_stored_are_found(trail, value):
    edit(trail, "UPDATE records SET reason = ? WHERE seq = 5", value)
    assert only(check(trail)) == ("edited", 5, 5)


def test_text_that_is_no_text_is_found(trail):
    edit(trail, "UPDATE records SET reason = CAST(x'ff6162' AS TEXT) WHERE seq = 5")
    assert only(check(trail)) == ("edited", 5, 5)


def test_line_21_deleted_rows_are_named(trail):
    edit(trail, "DELETE FROM records WHERE seq IN (5, 6, 9)")
    found = check(trail)
    assert [(wrong.kind, wrong.first, wrong.last) for wrong in found.breaks] == [("missing", 5, 6), ("missing", 9, 9)]


def test_swapped_rows_are_named(trail):
    for old, new in ((5, -1), (8, 5), (-1, 8)):
        edit(trail, "UPDATE records SET seq = ? WHERE seq = ?", new, old)
    found = check(trail)
    named = {(wrong.kind, wrong.first) for wrong in found.breaks}
    assert {("reordered", 5), ("reordered", 8)} <= named
    assert "was written as row 8" in found.breaks[0].message


def test_a_tail_cut_off_below_a_checkpoint_is_named(trail):
    edit(trail, "DELETE FROM records WHERE seq > 20")
    assert only(check(trail)) == ("truncated", 21, 28)


def test_the_first_rows_cannot_go_without_a_cut(trail):
    edit(trail, "DELETE FROM records WHERE seq < 4")
    assert check(trail).breaks[0].message == "rows 1 to 3 are missing"


def recompute(folder: Path) -> None:
    db = sqlite3.connect(folder / "audit.db")
    last = GENESIS
    for row in db.execute(f"SELECT {', '.join(ALL)} FROM records ORDER BY seq").fetchall():
        last = link(last, row)
        db.execute("UPDATE records SET hash = ? WHERE seq = ?", (last, row[0]))
    db.commit()
    db.close()


def test_a_chain_recomputed_as_a_whole_is_found_by_its_checkpoint(trail):
    edit(trail, "UPDATE records SET action_type = 'harmless' WHERE seq = 7")
    recompute(trail)
    found = check(trail)
    assert {wrong.kind for wrong in found.breaks} == {"recomputed"}
    with AuditLogger(trail / "audit.db") as logger:
        assert logger.verify().breaks[0].kind == "recomputed", "the checkpoint on the chain itself shows it too"


def test_a_trail_put_in_place_of_another_is_named(trail):
    (trail / "audit.db").unlink()
    with AuditLogger(trail / "audit.db") as logger:
        for _ in range(40):
            call(logger)
    assert "foreign" in {wrong.kind for wrong in check(trail).breaks}


def test_a_forged_checkpoint_is_named(trail):
    (statement,) = load_statements(trail / "checkpoints.jsonl")
    forged = {**statement.as_dict(), "hash": "00" * 32}
    (trail / "checkpoints.jsonl").write_bytes(orjson.dumps(forged))
    assert "unsigned" in {wrong.kind for wrong in check(trail).breaks}


def test_what_cannot_be_checked_is_said(trail):
    with AuditLogger(trail / "audit.db") as logger:
        assert logger.verify().notes == ["signatures were not checked: no public key was given"]
        generate(trail / "other")
        assert "another key" in logger.verify(public_key=trail / "other.pub").notes[0]
    edit(trail, "DELETE FROM records WHERE kind = 'checkpoint'")
    with AuditLogger(trail / "audit.db") as logger:
        found = logger.verify()
        assert found.ok
        assert "no checkpoint vouches" in found.notes[0]


def test_writing_goes_on_after_a_checkpoint_and_the_chain_still_verifies(trail):
    with AuditLogger(trail / "audit.db") as logger:
        call(logger)
        logger.checkpoint(trail / "key")
        call(logger)
    found = check(trail)
    assert found.ok
    assert found.checkpoints == 3


def test_an_export_of_the_chain_is_checked_alone(trail, tmp_path):
    with AuditLogger(trail / "audit.db") as logger:
        rows = logger.export_chain(tmp_path / "chain.jsonl")
    key = PublicKey.load(trail / "key.pub")
    kept = load_statements(trail / "checkpoints.jsonl")
    found = verify_file(tmp_path / "chain.jsonl", public_key=key, checkpoints=kept)
    assert found.ok
    assert found.rows == rows
    assert found.notes == []

    lines = (tmp_path / "chain.jsonl").read_bytes().splitlines(keepends=True)
    for broken in (
        [*lines[:5], *lines[6:]],
        [*lines[:5], lines[6], lines[5], *lines[7:]],
        lines[:-3],
        [line.replace(b"/data/3", b"/data/4") for line in lines],
        [*lines[:5], b"{}\n", *lines[6:]],
        [*lines[:5], b"\xff\n", *lines[6:]],
        [*lines, lines[-1]],
    ):
        (tmp_path / "broken.jsonl").write_bytes(b"".join(broken))
        assert not verify_file(tmp_path / "broken.jsonl", public_key=key, checkpoints=kept).ok
    (tmp_path / "other.jsonl").write_text('{"some": "json"}\n')
    with pytest.raises(AuditError, match="not the export of a chain"):
        verify_file(tmp_path / "other.jsonl")
    with pytest.raises(AuditError, match="cannot be read"):
        verify_file(tmp_path / "nothing.jsonl")


def test_the_standard_library_alone_can_check_a_chain(trail, tmp_path):
    with AuditLogger(trail / "audit.db") as logger:
        call(logger, {"text": 'é\n\x1b\u2028\u202e\x7f😀\\"/'}, description="\x00\x01")
        logger.export_chain(tmp_path / "chain.jsonl")
    last = bytes(32)
    for line in (tmp_path / "chain.jsonl").read_text("utf-8").split("\n")[1:-1]:
        *columns, stored = json.loads(line)
        row = json.dumps(columns, ensure_ascii=False, separators=(",", ":"))
        last = hashlib.sha256(last + row.encode()).digest()
        assert last.hex() == stored


def test_retention_leaves_a_signed_cut_and_the_rest_verifies(trail):
    with AuditLogger(trail / "audit.db") as logger:
        running = intent()
        logger.write(running)
        limit = now_us()
        for _ in range(3):
            call(logger, type="young")
        (statement,) = logger.prune(limit, trail / "key")
        assert statement is not None
        assert {entry["action_type"] for entry in logger.get_log(status="success")} == {"young"}
        assert logger.get_log()[0]["call_id"] == running.call_id, "a running call stays"
        assert logger.get_log()[0]["result_status"] == "running"
        assert logger.prune(1, trail / "key") == []
        found = logger.verify(public_key=trail / "key.pub")
        assert found.ok
        assert found.first == statement.seq + 1
        logger.export_chain(trail / "chain.jsonl")
        assert verify_file(trail / "chain.jsonl", public_key=PublicKey.load(trail / "key.pub")).ok
        kept = logger.verify(public_key=trail / "key.pub", checkpoints=trail / "checkpoints.jsonl")
        assert kept.ok
    edit(trail, "DELETE FROM records WHERE kind = 'cut'")
    assert check(trail).breaks[0].kind == "missing"


def test_a_forged_cut_is_named(trail):
    with AuditLogger(trail / "audit.db") as logger:
        limit = now_us()
        call(logger)
        logger.prune(limit, trail / "key")
    db = sqlite3.connect(trail / "audit.db")
    facts = json.loads(db.execute("SELECT data FROM records WHERE kind = 'cut'").fetchone()[0])
    db.execute("UPDATE records SET data = ? WHERE kind = 'cut'", (json.dumps({**facts, "signature": "00" * 64}),))
    db.commit()
    db.close()
    assert {"unsigned", "edited"} <= {wrong.kind for wrong in check(trail).breaks}


def test_keys_are_private_and_never_overwritten(tmp_path):
    pytest.importorskip("cryptography")
    private, public, name = generate(tmp_path / "key")
    assert Path(private).stat().st_mode & 0o777 == 0o600
    assert PublicKey.load(public).id == name
    with pytest.raises(AuditError, match="exists already"):
        generate(tmp_path / "key")
    (tmp_path / "junk").write_text("junk")
    with AuditLogger(tmp_path / "audit.db") as logger:
        call(logger)
        for use in (
            lambda: logger.checkpoint(tmp_path / "junk"),
            lambda: logger.checkpoint(tmp_path / "nothing"),
            lambda: logger.verify(public_key=tmp_path / "junk"),
            lambda: logger.verify(checkpoints=tmp_path / "junk"),
        ):
            with pytest.raises(AuditError, match="cannot be used"):
                use()


def test_every_random_edit_at_or_below_the_last_checkpoint_is_found(trail):
    """AEGIS_TEST_MUTATIONS=10000 for the long run."""
    rng = random.Random(7)
    pristine = trail / "pristine.db"
    shutil.copy(trail / "audit.db", pristine)
    (statement,) = load_statements(trail / "checkpoints.jsonl")
    for number in range(MUTATIONS):
        shutil.copy(pristine, trail / "audit.db")
        db = sqlite3.connect(trail / "audit.db", isolation_level=None)
        what = mutate(db, rng, statement.seq)
        db.close()
        if what == "chain":
            recompute(trail)
        assert not check(trail).ok, (number, what)


def mutate(db: sqlite3.Connection, rng: random.Random, count: int) -> str:
    what = rng.choice(["flip", "flip", "flip", "delete", "swap", "cut", "head", "chain", "null", "type"])
    row = rng.randint(1, count)
    column = rng.choice([*ALL[1:], "hash"])
    if what == "flip":
        value = None
        while value is None:
            column = rng.choice([*ALL[1:], "hash"])
            value = db.execute(f'SELECT "{column}" FROM records WHERE seq = ?', (row,)).fetchone()[0]
        db.execute(f'UPDATE records SET "{column}" = ? WHERE seq = ?', (flip(value, rng), row))
    elif what == "delete":
        db.execute("DELETE FROM records WHERE seq = ?", (row,))
    elif what == "swap":
        other = rng.choice([number for number in range(1, count + 1) if number != row])
        for old, new in ((row, -1), (other, row), (-1, other)):
            db.execute("UPDATE records SET seq = ? WHERE seq = ?", (new, old))
    elif what == "cut":
        db.execute("DELETE FROM records WHERE seq >= ?", (row,))
    elif what == "head":
        db.execute("DELETE FROM records WHERE seq <= ?", (row,))
    elif what == "chain":
        db.execute("UPDATE records SET at = at + 1 WHERE seq = ?", (row,))
    elif what == "null":
        db.execute("UPDATE records SET at = NULL, hash = x'' WHERE seq = ?", (row,))
    else:
        db.execute("UPDATE records SET at = CAST(at AS TEXT) || 'x' WHERE seq = ?", (row,))
    return what


def flip(value: int | str | bytes, rng: random.Random) -> object:
    """The value with one bit changed."""
    if isinstance(value, int):
        return value ^ 1 << rng.randrange(40)
    data = bytearray(value.encode() if isinstance(value, str) else value)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    if isinstance(value, bytes):
        return bytes(data)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return bytes(data)
