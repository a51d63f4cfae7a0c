"""Approved bytes are executed bytes, whatever is repeated, resumed, edited, disguised or changed in between.

And under load nothing is lost and nothing runs twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import subprocess
import sys
import textwrap
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis import Action, Runtime
from aegis.errors import ApprovalError, AuditError
from aegis.runtime.approval import QueueApprovalHandler
from aegis_core.answers import edited
from aegis_core.approval.filed import action_of
from aegis_core.approval.store import ApprovalStore
from aegis_core.request import ApprovalAnswer
from aegis_core.snapshot import canonical, freeze, freeze_params
from tests.core.policies import ASK, ASK_ELSEWHERE, BLOCK

if TYPE_CHECKING:
    from aegis_core.audit.sqlite import AuditLogger

# What looks, compares or prints alike, and is not the same to a tool.
ALIKE: list[list[Any]] = [
    [1, "1", True, 1.0],
    ["a", "a\u200b", "\u0430", "a\U000e0041"],
    ["\u00e9", "e\u0301"],
    [None, "None", ""],
    [[1, 2], (1, 2), [2, 1], "[1, 2]"],
    [{"x": 1, "y": 2}, {"x": 1}, {"x": {"y": 2}}],
]
VALUES = st.sampled_from([value for group in ALIKE for value in group])
PARAMS = st.dictionaries(st.sampled_from(["p", "q", "P"]), VALUES, min_size=1, max_size=2)
ACTIONS = st.builds(
    Action,
    st.sampled_from(["write", "write_"]),
    st.sampled_from(["fs", "fs2"]),
    PARAMS,
    agent=st.sampled_from(["bot", "bot2"]),
    session_id=st.sampled_from(["s1", "s2"]),
)
INDEX = st.integers(0, 3)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["again", "again", "yes", "yes", "resume", "reordered", "no", "replay"]), INDEX),
    st.tuples(st.sampled_from(["again", "yes", "resume", "disguised"]), INDEX),
    st.tuples(st.just("call"), ACTIONS),
    st.tuples(st.just("edit"), st.tuples(INDEX, VALUES)),
    st.tuples(st.just("policy"), st.sampled_from([ASK, ASK, ASK_ELSEWHERE, BLOCK])),
)
_examples = itertools.count()


def key(action: Action, params: Any) -> bytes:
    """One call, as far as its approver can see it: JSON knows no tuples."""
    return canonical((*action.names, freeze_params(json.loads(json.dumps(params)))))


def _like(value: Any) -> Any:
    """Another value of its kind."""
    for group in ALIKE:
        for number, other in enumerate(group):
            if canonical(freeze(other)) == canonical(freeze(value)):
                return group[(number + 1) % len(group)]
    raise AssertionError(value)


class World:
    """Calls, the approver and the policy, and a tally of what was approved and what has run."""

    def __init__(self, trail: AuditLogger) -> None:
        self.user = f"user-{next(_examples)}"  # sets this example apart on the trail
        self.store = ApprovalStore(trail)
        self.runtime = Runtime(policy=ASK, audit_logger=trail, approval_handler=QueueApprovalHandler(trail, wait=False))
        self.approved: Counter[bytes] = Counter()
        self.executed: Counter[bytes] = Counter()
        self.ran: Counter[str] = Counter()
        self.calls: list[tuple[str, Action]] = []

    def call(self, action: Action) -> None:
        action = action.replace(user=self.user)
        self.calls.append((self.perform(lambda tool: self.runtime.run(action, tool)), action))

    def again(self, index: int) -> None:
        if self.calls:
            self.call(self.calls[index % len(self.calls)][1])

    def reordered(self, index: int) -> None:
        if self.calls:
            action = self.calls[index % len(self.calls)][1]
            self.call(action.replace(params=dict(reversed(list(action.arguments().items())))))

    def disguised(self, index: int) -> None:
        """Make an earlier call again with other arguments that look like its own."""
        if self.calls:
            action = self.calls[index % len(self.calls)][1]
            self.call(action.replace(params={name: _like(value) for name, value in action.arguments().items()}))

    def resume(self, index: int) -> None:
        if self.calls:
            call_id = self.calls[index % len(self.calls)][0]
            with contextlib.suppress(ApprovalError):  # it has run, or has ended
                self.perform(lambda tool: self.runtime.resume(call_id, tool))

    def perform(self, run: Any) -> str:
        got: list[Any] = []
        result = run(got.append)
        for arguments in got:
            assert key(result.action, arguments) == key(result.action, result.action.params), "judged is executed"
            self.executed[key(result.action, arguments)] += 1
            self.ran[result.call_id] += 1
        return str(result.call_id)

    def answer(self, index: int, *, approved: bool, edits: Any = None) -> None:
        waiting = [ticket for ticket in self.store.requests(pending=True) if ticket.request["user"] == self.user]
        if not waiting:
            return
        ticket = waiting[index % len(waiting)]
        shown = action_of(ticket.request)
        if edits is not None:
            edits = {next(iter(shown.params)): edits}
            answer = ApprovalAnswer(ticket.id, ticket.digest, approved=True, edits=edits)
            if key(shown, edited(shown, answer).params) == key(shown, shown.params):
                edits = None  # the same again: a plain yes
        if approved and edits is None:
            self.approved[key(shown, shown.params)] += 1
        self.store.answer(ticket.id, approved=approved, approver="ann", via="test", edits=edits)

    def replay(self, index: int) -> None:
        done = [t for t in self.store.requests() if t.request["user"] == self.user and t.state != "pending"]
        if done:
            try:
                self.store.answer(done[index % len(done)].id, approved=True, approver="bob", via="test")
            except ApprovalError:
                return
            raise AssertionError("an answer was taken twice")

    def step(self, kind: str, detail: Any) -> None:
        if kind == "policy":
            self.runtime.update_policy(detail)
        elif kind == "edit":
            self.answer(detail[0], approved=True, edits=detail[1])
        elif kind in ("yes", "no"):
            self.answer(detail, approved=kind == "yes")
        else:
            getattr(self, kind)(detail)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(first=ACTIONS, steps=st.lists(STEPS, min_size=6, max_size=24))
def test_17_what_runs_is_what_was_approved_and_as_often(
    either: AuditLogger, first: Action, steps: list[tuple[str, Any]]
) -> None:
    world = World(either)
    world.call(first)
    for kind, detail in steps:
        world.step(kind, detail)
        assert world.executed <= world.approved, (kind, detail)
        assert all(count == 1 for count in world.ran.values()), "no call runs twice"


def test_the_tally_notices_what_runs(either: AuditLogger) -> None:
    """The property above is not vacuous: with a yes, calls do run."""
    world = World(either)
    world.call(Action("write", "fs", {"p": {"x": 1, "y": 2}}, agent="bot", session_id="s1"))
    world.answer(0, approved=True)
    world.call(Action("write", "fs", {"p": {"y": 2, "x": 1}}, agent="bot", session_id="s2"))
    world.call(Action("write", "fs", {"p": "edited"}, agent="bot"))
    world.answer(0, approved=True, edits="other")
    world.resume(2)
    world.answer(0, approved=True)
    world.resume(2)
    assert world.executed.total() == world.approved.total() == 2


ANSWERING = """
    import sys, time
    from aegis.errors import AegisError
    from aegis_core.approval.store import ApprovalStore
    from aegis_core.audit.sqlite import AuditLogger

    with AuditLogger(sys.argv[1]) as trail:
        store, left, watch = ApprovalStore(trail), int(sys.argv[2]), trail.watch()
        print("ready", flush=True)
        sys.stdin.readline()
        while left:
            for ticket in store.requests(pending=True):
                even = int(ticket.request["params"]["number"]) % 2 == 0
                store.answer(ticket.id, approved=even, approver="ann", via="test")
                left -= 1
            watch.wait(0.1)
        watch.close()
"""
PENDING, ARRIVING, RATE = 200, 50, 50


def _wait_for(store: ApprovalStore, count: int) -> None:
    """Return when so many requests wait."""
    waiting: list[Any] = []
    while len(waiting) < count:
        time.sleep(0.05)
        with contextlib.suppress(AuditError):  # the first call is still making the tables
            waiting = store.requests(pending=True)


async def test_under_load_nothing_is_lost_and_nothing_runs_twice(stored: str, either: AuditLogger) -> None:
    """Two hundred calls wait, fifty a second arrive, and another process answers them all."""
    runtime = Runtime(
        policy=ASK, audit_logger=either, approval_handler=QueueApprovalHandler(either), approval_timeout=120
    )
    ran: Counter[int] = Counter()

    def tool(arguments: dict[str, Any]) -> int:
        ran[arguments["number"]] += 1
        return int(arguments["number"])

    def made(number: int) -> asyncio.Task[Any]:
        return asyncio.create_task(runtime.arun(Action("write", "fs", {"number": number}, agent="bot"), tool))

    calls = [made(number) for number in range(PENDING)]
    store = ApprovalStore(either)
    await asyncio.to_thread(_wait_for, store, PENDING)
    command = [sys.executable, "-c", textwrap.dedent(ANSWERING), stored, str(PENDING + ARRIVING)]
    process = await asyncio.to_thread(subprocess.Popen, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        assert (await asyncio.to_thread(process.stdout.readline)).strip() == b"ready"
        process.stdin.write(b"go\n")
        process.stdin.flush()
        for number in range(PENDING, PENDING + ARRIVING):
            calls.append(made(number))
            await asyncio.sleep(1 / RATE)
        results = await asyncio.gather(*calls)
    finally:
        process.kill()
        await asyncio.to_thread(process.communicate)
    assert [result.ok for result in results] == [number % 2 == 0 for number in range(PENDING + ARRIVING)]
    assert ran == Counter(range(0, PENDING + ARRIVING, 2))
    assert Counter(ticket.state for ticket in store.requests()) == {"used": 125, "denied": 125}
    assert len(either.get_log()) == PENDING + ARRIVING
    assert either.verify().ok
