"""Reloading policies: whole versions only, strictly, on record. Lines 24 and 25b of what goes wrong elsewhere."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from aegis import Action, Policy, Runtime
from aegis.core.hierarchy import PolicyHierarchy
from aegis.errors import PolicyError
from aegis.runtime.watcher import PolicyWatcher
from aegis.testing import MemoryAuditLogger
from aegis_core.record import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPEN = 'version: "1"\nrules:\n  - {name: all, match: {type: "*"}, approval: auto}\n'
BLOCK = (
    'version: "1"\nrules:\n  - {name: no_drop, match: {type: "drop_*"}, approval: block}\n'
    '  - {name: all, match: {type: "*"}, approval: auto}\n'
)
DROP = Action("drop_table", "db")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(BLOCK)
    return path


def governed(policy: Policy | PolicyHierarchy) -> Runtime:
    return Runtime(policy=policy, audit_logger=MemoryAuditLogger())


def events(runtime: Runtime) -> list[tuple[str, Any]]:
    records: list[Any] = runtime.audit_logger.records  # type: ignore[attr-defined]
    return [(record.kind, record.data) for record in records if isinstance(record, Event)]


def test_a_new_version_counts_once_two_looks_agree(file: Path) -> None:
    runtime = governed(Policy.from_yaml(file))
    watcher = PolicyWatcher(runtime, file)
    assert watcher.poll() is None
    file.write_text(OPEN)
    assert watcher.poll() is None, "the first look at new contents proves nothing: the file may be half written"
    assert runtime.check(DROP).status == "blocked"
    reloaded = watcher.poll()
    assert reloaded is runtime.policy
    assert runtime.check(DROP).ok
    assert watcher.poll() is None


def test_line_24_a_half_written_file_that_is_valid_yaml_does_not_drop_the_block_rules(file: Path) -> None:
    whole = (
        'version: "1"\nrules:\n  - {name: all, match: {type: "*"}, approval: auto}\n'
        '  - {name: late, match: {type: "*"}, approval: block}\n'
    )
    file.write_text(whole)
    runtime = governed(Policy.from_yaml(file))
    watcher = PolicyWatcher(runtime, file)
    watcher.poll()
    half = whole[: whole.index("  - {name: late")]
    Policy.from_string(half)  # it would load
    file.write_text(half)
    watcher.poll()
    file.write_text(whole)
    watcher.poll()
    watcher.poll()
    assert events(runtime) == []
    assert len(runtime.policy.rules) == 2


def test_line_24_an_edit_that_keeps_the_time_and_size_of_the_file_is_seen(file: Path) -> None:
    runtime = governed(Policy.from_yaml(file))
    watcher = PolicyWatcher(runtime, file)
    watcher.poll()
    before = file.stat()
    file.write_text(BLOCK.replace("drop_*", "DROP_*"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    watcher.poll()
    assert watcher.poll() is not None


def test_line_24_an_edit_between_loading_and_watching_is_seen(file: Path) -> None:
    runtime = governed(Policy.from_yaml(file))
    file.write_text(OPEN)
    watcher = PolicyWatcher(runtime, file)
    watcher.poll()
    assert watcher.poll() is not None


@pytest.mark.parametrize(
    "broken",
    ["", "version: 1\nrulez: []\n", "\xff\xfe", "rules: [", 'version: "2"\n', "a: b: c", "version: '1'\nrules: 5"],
)
def test_line_24_a_version_that_does_not_load_is_refused_once_on_record_and_the_old_one_stays(
    file: Path, broken: str
) -> None:
    runtime = governed(Policy.from_yaml(file))
    watcher = PolicyWatcher(runtime, file)
    file.write_bytes(broken.encode("latin-1"))
    for _ in range(4):
        assert watcher.poll() is None
    assert runtime.check(DROP).status == "blocked"
    ((kind, data),) = events(runtime)
    assert kind == "policy_reload_refused"
    assert data["problems"]
    file.write_text(OPEN)
    watcher.poll()
    assert watcher.poll() is not None, "a good version afterwards is taken"


def test_a_version_that_an_integration_cannot_keep_is_refused_once_and_on_record(file: Path) -> None:
    runtime = governed(Policy.from_yaml(file))
    runtime.declare_unable_to_alter_results("AegisCallbackHandler")
    watcher = PolicyWatcher(runtime, file)
    file.write_text(OPEN + "results:\n  - {name: short, match: {type: fetch}, max_bytes: 10}\n")
    for _ in range(4):
        assert watcher.poll() is None
    (event,) = events(runtime)
    assert event[0] == "policy_reload_refused"
    assert "result rule 'short' could not be kept" in event[1]["problems"][0]
    assert runtime.check(DROP).status == "blocked"
    file.write_text(OPEN)
    watcher.poll()
    assert watcher.poll() is runtime.policy


def test_a_file_that_is_gone_leaves_the_policy_in_force(file: Path) -> None:
    runtime = governed(Policy.from_yaml(file))
    watcher = PolicyWatcher(runtime, file)
    file.unlink()
    for _ in range(3):
        watcher.poll()
    assert runtime.check(DROP).status == "blocked"
    ((_, data),) = events(runtime)
    assert "cannot be read" in data["problems"][0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_in_the_place_of_the_file_is_not_waited_for(file: Path) -> None:
    runtime = governed(Policy.from_yaml(file))
    watcher = PolicyWatcher(runtime, file)
    file.unlink()
    os.mkfifo(file)
    assert [watcher.poll() for _ in range(3)] == [None, None, None]
    assert runtime.check(DROP).status == "blocked"
    assert [kind for kind, _ in events(runtime)] == ["policy_reload_refused"]


def test_a_reload_is_on_record_and_says_which_block_rules_are_gone(file: Path) -> None:
    runtime = governed(Policy.from_yaml(file))
    old = runtime.policy.digest
    watcher = PolicyWatcher(runtime, file)
    file.write_text(OPEN)
    watcher.poll()
    watcher.poll()
    ((kind, data),) = events(runtime)
    assert kind == "policy_reloaded"
    assert (data["old_digest"], data["new_digest"]) == (old, runtime.policy.digest)
    assert data["block_rules_removed"] == ["no_drop"]


def test_line_25b_reloading_one_layer_keeps_the_blocks_of_the_others(tmp_path: Path) -> None:
    org, team = tmp_path / "org.yaml", tmp_path / "team.yaml"
    org.write_text('version: "1"\nrules:\n  - {name: no_drop, match: {type: "drop_*"}, approval: block}\n')
    team.write_text(OPEN)
    runtime = governed(PolicyHierarchy(org=Policy.from_yaml(org), team=Policy.from_yaml(team)))
    watcher = PolicyWatcher(runtime, team)
    team.write_text(OPEN.replace("name: all", "name: everything"))
    watcher.poll()
    assert watcher.poll() is not None
    assert [rule.name for rule in runtime.policy.rules] == ["org/no_drop", "team/everything"]
    assert runtime.check(DROP).status == "blocked"


def test_a_merged_policy_is_rebuilt_from_all_its_files_and_what_came_from_none_stays(tmp_path: Path) -> None:
    base, other = tmp_path / "base.yaml", tmp_path / "other.yaml"
    base.write_text('version: "1"\nrules:\n  - {name: no_drop, match: {type: "drop_*"}, approval: block}\n')
    other.write_text('version: "1"\nrules:\n  - {name: read, match: {type: "read_*"}, approval: auto}\n')
    extra = Policy.from_dict(
        {"version": "1", "rules": [{"name": "extra", "match": {"type": "x"}, "approval": "approve"}]}
    )
    runtime = governed(Policy.from_yaml(base).merge(Policy.from_yaml(other)).merge(extra))
    watcher = PolicyWatcher(runtime, [base, other])
    other.write_text('version: "1"\nrules:\n  - {name: list, match: {type: "list_*"}, approval: auto}\n')
    watcher.poll()
    assert watcher.poll() is not None
    assert [rule.name for rule in runtime.policy.rules] == ["no_drop", "list", "extra"]


def test_a_file_the_policy_did_not_come_from_cannot_be_watched(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(OPEN)
    with pytest.raises(PolicyError, match="did not come from this file"):
        PolicyWatcher(governed(Policy.from_yaml(file)), other)
    with pytest.raises(PolicyError, match="did not come from this file"):
        PolicyWatcher(governed(Policy.from_string(BLOCK)), file)


def test_a_policy_the_program_put_in_force_itself_is_not_replaced(file: Path) -> None:
    runtime = governed(Policy.from_yaml(file))
    watcher = PolicyWatcher(runtime, file)
    runtime.update_policy(Policy.from_dict({"version": "1"}))
    file.write_text(OPEN)
    watcher.poll()
    assert watcher.poll() is None
    assert runtime.check(DROP).status == "blocked"


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
def test_an_interval_that_is_none_is_refused(file: Path, interval: float) -> None:
    with pytest.raises(ValueError, match="positive number of seconds"):
        PolicyWatcher(governed(Policy.from_yaml(file)), file, interval=interval)


def write(file: Path, text: str) -> None:
    """From coroutines: a test may wait for the disk."""
    file.write_text(text)


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_it_watches_in_the_background_and_tells_a_callback(file: Path, kind: str) -> None:
    told: list[Policy] = []

    async def later(policy: Policy) -> None:
        await asyncio.sleep(0)
        told.append(policy)

    runtime = governed(Policy.from_yaml(file))
    async with PolicyWatcher(runtime, file, interval=0.02, on_reload=told.append if kind == "sync" else later):
        write(file, OPEN)
        await _until(lambda: bool(told))
    assert told == [runtime.policy]
    write(file, BLOCK)
    await asyncio.sleep(0.1)
    assert runtime.check(DROP).ok, "after the block nobody watches"


async def test_a_callback_that_raises_does_not_end_the_watching(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_policy: Policy) -> None:
        raise RuntimeError("no")

    runtime = governed(Policy.from_yaml(file))
    watcher = PolicyWatcher(runtime, str(file), interval=0.02, on_reload=broken)
    await watcher.start()
    await watcher.start()
    write(file, OPEN)
    await _until(lambda: runtime.check(DROP).ok)
    write(file, BLOCK)
    await _until(lambda: not runtime.check(DROP).ok)
    await watcher.stop()
    await watcher.stop()
    assert "watching goes on" in caplog.text


def test_when_a_reload_cannot_be_recorded_it_is_in_force_and_nothing_runs_until_it_is(file: Path) -> None:
    runtime = governed(Policy.from_yaml(file))
    watcher = PolicyWatcher(runtime, file)
    file.write_text(OPEN)
    watcher.poll()
    runtime.audit_logger.fail = OSError("disk full")  # type: ignore[attr-defined]
    watcher.poll()
    from aegis.errors import AuditError

    with pytest.raises(AuditError):
        runtime.run(Action("read", "db"), lambda _: pytest.fail("it ran"))
    runtime.audit_logger.fail = None  # type: ignore[attr-defined]
    assert runtime.run(Action("read", "db"), lambda _: 1).ok
    assert [kind for kind, _ in events(runtime)] == ["policy_reloaded"]
