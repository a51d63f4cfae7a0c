"""A power cut, simulated: of every file only the bytes survive that were on the disk when something was promised.

What a disk keeps after a cut is what was synced, and perhaps some of what was not. The worst case is kept here: a copy
of the files is taken whenever the trail waits for the disk, and nothing written later is in it. Pages that SQLite syncs
of its own accord (before it reuses its log) only ever add what was committed.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import pytest

from aegis_core import portability
from aegis_core.audit import AuditLogger, database
from aegis_core.record import Event
from tests.core.audit.samples import intent, outcome, refusal


class Disk:
    """Takes the copies, and remembers what had been acknowledged at every cut."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.folder = path.parent / "disk"
        self.folder.mkdir()
        self.count = 0
        self.acknowledged: set[str] = set()
        self.cuts: list[tuple[int, set[str]]] = []
        sync = portability.sync_data

        def copying(fd: int) -> None:
            sync(fd)
            self.count += 1
            for suffix in ("", "-wal"):
                if Path(f"{path}{suffix}").exists():
                    shutil.copy(f"{path}{suffix}", self.folder / f"{self.count}{suffix}")

        monkeypatch.setattr(database, "sync_data", copying)

    def said(self, name: str) -> None:
        """Something was acknowledged; the power might fail right now."""
        self.acknowledged.add(name)
        self.cuts.append((self.count, set(self.acknowledged)))

    def after(self, cut: tuple[int, set[str]], folder: Path) -> AuditLogger:
        """The trail as it is found when the power is back."""
        folder.mkdir()
        for suffix in ("", "-wal"):
            if (self.folder / f"{cut[0]}{suffix}").exists():
                shutil.copy(self.folder / f"{cut[0]}{suffix}", folder / f"audit.db{suffix}")
        return AuditLogger(folder / "audit.db")


def check(disk: Disk, tmp_path: Path, opened: set[str]) -> None:
    rng = random.Random(3)
    for number, cut in enumerate(rng.sample(disk.cuts, min(25, len(disk.cuts)))):
        with disk.after(cut, tmp_path / f"after{number}") as logger:
            entries = {entry["call_id"]: entry["result_status"] for entry in logger.get_log()}
            assert cut[1] <= set(entries), "something acknowledged is lost"
            assert set(entries) <= opened
            assert logger.verify().ok
            unknown = [call_id for call_id in cut[1] if entries[call_id] not in ("success", "blocked")]
            # `running`, because the process that wrote them, this one, is alive
            assert all(entries[call_id] == "running" for call_id in unknown)
            logger.write(intent())
            assert logger.verify().ok


def test_a_power_cut_loses_no_intent_and_no_refusal_that_was_acknowledged(tmp_path, monkeypatch):
    disk = Disk(tmp_path / "audit.db", monkeypatch)
    opened: set[str] = set()
    with AuditLogger(disk.path) as logger:
        for number in range(150):
            begun = intent({"text": "x" * 2_000})
            opened.add(begun.call_id)
            logger.write(begun)
            disk.said(begun.call_id)
            logger.write(outcome(begun))
            if number % 10 == 0:
                refused = refusal()
                opened.add(refused.call_id)
                logger.write(refused)
                disk.said(refused.call_id)
            if number % 40 == 0:
                logger.transact(lambda tx: tx.append(Event("x", data={"text": "y" * 10_000})))
    check(disk, tmp_path, opened)


def test_every_outcome_is_on_disk_before_the_next_tool_starts(tmp_path, monkeypatch):
    disk = Disk(tmp_path / "audit.db", monkeypatch)
    ended: set[str] = set()
    with AuditLogger(disk.path) as logger:
        for _ in range(30):
            begun = intent()
            logger.write(begun)  # the tool starts here
            cut = (disk.count, set[str]())
            with disk.after(cut, tmp_path / begun.call_id) as found:
                statuses = {entry["call_id"]: entry["result_status"] for entry in found.get_log()}
            assert {call_id for call_id, status in statuses.items() if status == "success"} == ended
            logger.write(outcome(begun))
            ended.add(begun.call_id)


async def test_a_power_cut_loses_nothing_of_a_crowd_either(tmp_path, monkeypatch):
    disk = Disk(tmp_path / "audit.db", monkeypatch)
    opened: set[str] = set()

    async def one(logger: AuditLogger) -> None:
        for _ in range(6):
            begun = intent()
            opened.add(begun.call_id)
            await logger.awrite(begun)
            disk.said(begun.call_id)
            await logger.awrite(outcome(begun))

    with AuditLogger(disk.path) as logger:
        await asyncio.gather(*(one(logger) for _ in range(20)))
    check(disk, tmp_path, opened)


@pytest.mark.parametrize("attentive", [0, 100])
def test_outcomes_reach_the_disk_by_themselves_whether_the_thread_rests_or_looks(tmp_path, monkeypatch, attentive):
    monkeypatch.setattr("aegis_core.audit.writer._ATTENTIVE", attentive)
    disk = Disk(tmp_path / "audit.db", monkeypatch)
    with AuditLogger(disk.path) as logger:
        begun = intent()
        logger.write(begun)
        before = disk.count
        logger.write(outcome(begun))
        for _ in range(200):
            if disk.count > before:
                break
            asyncio.run(asyncio.sleep(0.01))
        with disk.after((disk.count, set()), tmp_path / "later") as found:
            assert found.get_log()[0]["result_status"] == "success"
