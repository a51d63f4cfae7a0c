"""`AegisMiddleware`: the whole loop of an agent whose tools are governed, and approval through the graph's pause."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain")

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, HumanInTheLoopMiddleware, ToolRetryMiddleware
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from aegis import Policy, Runtime
from aegis.adapters.langchain import AegisMiddleware, govern_tool
from aegis.runtime.audit import AuditLogger
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from aegis_core.approval.store import ApprovalStore
from tests.langchain.scripted import answers, ask, model, policy

POLICY = policy({"read": "auto", "send": "approve", "delete": "block"})
THREAD: Any = {"configurable": {"thread_id": "t1"}}


class Tools:
    """Three tools that note when they run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

        @tool
        def read(path: str) -> str:
            """Read a file."""
            self.ran.append(f"read {path}")
            return f"contents of {path}"

        @tool
        def send(to: str, text: str = "hello") -> str:
            """Send a message."""
            self.ran.append(f"send {to} {text}")
            return f"sent {text!r} to {to}"

        @tool
        def delete(path: str) -> str:
            """Delete a file."""
            self.ran.append(f"delete {path}")
            return "deleted"

        self.all = [read, send, delete]


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[AuditLogger]:
    with AuditLogger(tmp_path / "audit.db", durable=False) as trail:
        yield trail


@pytest.fixture
def tools() -> Tools:
    return Tools()


TURNS = [[("read", {"path": "a"})], [("send", {"to": "bob"}), ("delete", {"path": "a"})], [("read", {"path": "b"})]]


def runtime(trail: Any, policy: Policy = POLICY, **options: Any) -> Runtime:
    options.setdefault("approval_handler", ScriptedApprovalHandler())
    return Runtime(policy=policy, audit_logger=trail, **options)


def statuses(trail: Any) -> list[tuple[str, str]]:
    return [(entry["action_type"], entry["result_status"]) for entry in trail.get_log()]


def yes(interrupted: Any, **more: Any) -> Any:
    asked = interrupted.value
    return {"decision": "approve", "id": asked["id"], "digest": asked["digest"], "approver": "alice", **more}


def paused(state: Any) -> Any:
    (only,) = state["__interrupt__"]
    return only


@pytest.mark.parametrize("approved", [True, False])
async def test_an_agent_reads_sends_when_approved_and_never_deletes(trail: AuditLogger, tools: Tools, approved: bool):
    handler = ScriptedApprovalHandler([approved])
    middleware = AegisMiddleware(runtime(trail, approval_handler=handler))
    agent: Any = create_agent(model(*TURNS), tools.all, middleware=[middleware], name="clerk")
    state = await agent.ainvoke(ask())
    assert state["messages"][-1].content == "done"
    said = answers(state)
    assert said["1.1"] == ("success", "contents of a")
    assert said["2.1"][0] == ("success" if approved else "error")
    assert ("sent 'hello' to bob" if approved else "denied by script") in said["2.1"][1]
    assert said["2.2"] == ("error", "delete: blocked by rule 'block_2'. The call did not run.")
    assert said["3.1"] == ("success", "contents of b")
    assert tools.ran == ["read a", *(["send bob hello"] if approved else []), "read b"]
    assert {entry["agent"] for entry in trail.get_log()} == {"clerk"}


async def test_an_approval_nobody_gives_in_time_is_a_no_and_the_agent_goes_on(trail: AuditLogger, tools: Tools):
    class Silent:
        async def ask(self, request: Any) -> Any:
            import asyncio

            await asyncio.Event().wait()

    middleware = AegisMiddleware(runtime(trail, approval_handler=Silent(), approval_timeout=0.05))
    state = await create_agent(model(*TURNS), tools.all, middleware=[middleware]).ainvoke(ask())
    assert "denied (timeout)" in answers(state)["2.1"][1]
    assert state["messages"][-1].content == "done"


class Scene:
    """An agent with a checkpointer."""

    def __init__(
        self, trail: Any, tools: Tools, *turns: Any, policy: Policy = POLICY, before: Any = (), after: Any = ()
    ):
        self.middleware = AegisMiddleware(runtime(trail, policy, approval_handler=ScriptedApprovalHandler([True] * 9)))
        self.agent = create_agent(
            model(*turns), tools.all, middleware=[*before, self.middleware, *after], checkpointer=InMemorySaver()
        )

    def go(self, given: Any) -> Any:
        return self.agent.invoke(given, THREAD)

    def resume(self, value: Any) -> Any:
        return self.agent.invoke(Command(resume=value), THREAD)


@pytest.fixture
def scene(trail: AuditLogger, tools: Tools) -> Scene:
    return Scene(trail, tools, [("send", {"to": "bob"})])


def test_with_a_checkpointer_the_graph_pauses_and_shows_the_request(scene: Scene, trail: AuditLogger, tools: Tools):
    asked = paused(scene.go(ask())).value
    assert asked["type"] == "aegis_approval"
    assert asked["call"]["type"] == "send"
    assert asked["call"]["params"] == {"to": "bob", "text": "hello"}
    assert asked["call"]["rule"] == "approve_1"
    assert tools.ran == []
    assert statuses(trail) == [("send", "pending_approval")]


def test_a_yes_to_the_request_runs_the_call_once_and_is_on_record(scene: Scene, trail: AuditLogger, tools: Tools):
    state = scene.resume(yes(paused(scene.go(ask()))))
    assert answers(state)["1.1"] == ("success", "sent 'hello' to bob")
    assert tools.ran == ["send bob hello"]
    assert statuses(trail) == [("send", "pending_approval"), ("send", "success")]
    assert trail.get_log()[1]["approver"] == "alice"


def test_a_no_is_a_no_and_the_model_reads_why(scene: Scene, tools: Tools):
    state = scene.resume(yes(paused(scene.go(ask())), decision="deny", reason="not to bob"))
    assert answers(state)["1.1"] == ("error", "send: denied by alice: not to bob. The call did not run.")
    assert tools.ran == []


NOT_A_YES: list[Callable[[dict[str, Any]], Any]] = [
    lambda answer: True,
    lambda answer: "yes",
    lambda answer: "approve",
    lambda answer: 7,
    lambda answer: {"decision": "approve"},
    lambda answer: {"type": "approve"},
    lambda answer: {"decisions": [{"type": "approve"}]},
    lambda answer: {**answer, "decision": True},
    lambda answer: {**answer, "decision": "approved"},
    lambda answer: {**answer, "decision": "deny"},
    lambda answer: {**answer, "id": None},
    lambda answer: {**answer, "id": ""},
    lambda answer: {**answer, "id": answer["id"][1:]},
    lambda answer: {**answer, "id": [answer["id"]]},
    lambda answer: {**answer, "id": answer["id"] + "x"},
    lambda answer: {**answer, "id": "ž"},
    lambda answer: {**answer, "digest": answer["digest"][::-1]},
    lambda answer: {name: value for name, value in answer.items() if name != "digest"},
    lambda answer: [answer],
]


@pytest.mark.parametrize("spoil", NOT_A_YES, ids=range(len(NOT_A_YES)))
def test_nothing_but_an_explicit_yes_to_this_request_is_a_yes(
    scene: Scene, tools: Tools, spoil: Callable[[dict[str, Any]], Any]
):
    state = scene.resume(spoil(yes(paused(scene.go(ask())))))
    assert answers(state)["1.1"][0] == "error"
    assert tools.ran == []


def test_the_yes_to_one_call_is_none_to_another(trail: AuditLogger, tools: Tools):
    scene = Scene(trail, tools, [("send", {"to": "bob"}), ("send", {"to": "eve"})])
    # The calls run side by side, so their interrupts come in either order.
    to_bob, to_eve = sorted(scene.go(ask())["__interrupt__"], key=lambda each: each.value["call"]["params"]["to"])
    said = answers(scene.resume({to_bob.id: yes(to_bob), to_eve.id: yes(to_bob)}))
    assert said["1.1"][0] == "success"
    assert said["1.2"][0] == "error"
    assert tools.ran == ["send bob hello"]


def test_one_yes_runs_one_of_two_equal_calls(trail: AuditLogger, tools: Tools):
    scene = Scene(trail, tools, [("send", {"to": "bob"}), ("send", {"to": "bob"})])
    first, second = scene.go(ask())["__interrupt__"]
    assert first.value["id"] == second.value["id"], "equal calls that wait together share a request"
    other = paused(scene.resume({first.id: yes(first), second.id: yes(second)}))
    assert other.value["id"] != first.value["id"]
    assert tools.ran == ["send bob hello"]
    assert {status for status, _ in answers(scene.resume(yes(other))).values()} == {"success"}
    assert tools.ran == ["send bob hello"] * 2


def test_a_later_call_cannot_use_an_earlier_yes(trail: AuditLogger, tools: Tools):
    scene = Scene(trail, tools, [("send", {"to": "bob"})], [("send", {"to": "bob"})])
    first = paused(scene.go(ask()))
    second = paused(scene.resume(yes(first)))
    assert second.value["digest"] == first.value["digest"]
    assert paused(scene.resume(yes(first))).value["id"] == second.value["id"]
    assert tools.ran == ["send bob hello"]


def test_going_back_to_an_earlier_checkpoint_asks_again(scene: Scene, tools: Tools):
    scene.resume(yes(paused(scene.go(ask()))))
    before = next(each for each in scene.agent.get_state_history(THREAD) if each.next == ("tools",))
    state = scene.agent.invoke(None, before.config)
    assert state["__interrupt__"]
    assert tools.ran == ["send bob hello"]


def test_an_answer_after_the_request_expired_is_a_no_and_the_graph_asks_anew(
    scene: Scene, tools: Tools, trail: AuditLogger
):
    scene.middleware._door.runtime.request_lifetime = 1.0
    asked = paused(scene.go(ask()))
    time.sleep(1.1)
    assert paused(scene.resume(yes(asked))).value["id"] != asked.value["id"]
    assert tools.ran == []


@pytest.mark.parametrize("approved", [True, False])
def test_a_request_can_be_answered_elsewhere_and_the_graph_resumed_with_anything(
    scene: Scene, tools: Tools, trail: AuditLogger, approved: bool
):
    asked = paused(scene.go(ask()))
    ApprovalStore(trail).answer(asked.value["id"], approved=approved, approver="alice", via="cli", reason="why not")
    state = scene.resume({"decision": "deny"} if approved else yes(asked))
    assert answers(state)["1.1"][0] == ("success" if approved else "error")
    assert tools.ran == (["send bob hello"] if approved else [])


def test_a_policy_that_changed_in_between_is_the_one_that_counts(scene: Scene, tools: Tools):
    asked = paused(scene.go(ask()))
    scene.middleware._door.runtime.update_policy(policy({"*": "block"}))
    assert "blocked" in answers(scene.resume(yes(asked)))["1.1"][1]
    assert tools.ran == []


def test_an_edit_is_judged_as_the_new_call_it_is(trail: AuditLogger, tools: Tools):
    rules = [
        {"name": "no", "match": {"type": "send"}, "conditions": {"param_eq": {"to": "eve"}}, "approval": "block"},
        {"name": "ask", "match": {"type": "send"}, "approval": "approve"},
    ]
    both = Policy.from_dict({"version": "1", "rules": rules})
    scene = Scene(trail, tools, [("send", {"to": "bob"})], policy=both)
    state = scene.resume(yes(paused(scene.go(ask())), edits={"to": "eve"}))
    assert "blocked by rule 'no'" in answers(state)["1.1"][1]
    assert tools.ran == []

    scene = Scene(trail, tools, [("send", {"to": "dave"})], policy=both)
    edited = paused(scene.resume(yes(paused(scene.go(ask())), edits={"to": "carol"})))
    assert edited.value["call"]["params"]["to"] == "carol"
    assert answers(scene.resume(yes(edited)))["1.1"][0] == "success"
    assert tools.ran == ["send carol hello"]


def test_a_tools_own_interrupt_passes_and_its_answer_is_its_own(trail: AuditLogger):
    @tool
    def send(to: str) -> str:
        """Send a message."""
        return f"sent {interrupt('what?')} to {to}"

    tools = Tools()
    tools.all = [send]
    scene = Scene(trail, tools, [("send", {"to": "bob"})])
    own = paused(scene.resume(yes(paused(scene.go(ask())))))
    assert own.value == "what?"
    assert answers(scene.resume("hello"))["1.1"] == ("success", "sent hello to bob")
    assert statuses(trail) == [("send", "pending_approval"), ("send", "failed"), ("send", "success")]


def test_a_retry_is_judged_and_asked_about_again(trail: AuditLogger):
    ran: list[str] = []

    @tool
    def send(to: str) -> str:
        """Send a message."""
        ran.append(to)
        raise ConnectionError("busy")

    tools = Tools()
    tools.all = [send]
    retry = ToolRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)
    places: list[Any] = [{"before": [retry]}, {"after": [retry]}]
    for retries in places:
        ran.clear()
        scene = Scene(trail, tools, [("send", {"to": "bob"})], **retries)
        first = paused(scene.go(ask()))
        second = paused(scene.resume(yes(first)))
        assert ran == ["bob"]
        assert second.value["id"] != first.value["id"]
        scene.resume(yes(second))
        assert ran == ["bob", "bob"], "every execution had a yes of its own"


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("mode", ["batched", "per_call"])
def test_another_middlewares_edit_is_judged_wherever_that_middleware_stands(
    trail: AuditLogger, tools: Tools, inside: bool, mode: Any
):
    human = HumanInTheLoopMiddleware(interrupt_on={"read": True}, interrupt_mode=mode)
    place: Any = {"after": [human]} if inside else {"before": [human]}
    scene = Scene(trail, tools, [("read", {"path": "a"})], policy=policy({"read": "auto", "delete": "block"}), **place)
    scene.go(ask())
    to_delete = mode == "batched"  # in the other mode an edit cannot name another tool
    edited = {"name": "delete" if to_delete else "read", "args": {"path": "secret"}}
    decision = {"type": "edit", "edited_action": edited}
    state = scene.resume({"decisions": [decision]} if mode == "batched" else decision)
    assert "secret" in str(trail.get_log()[-1]["action_params"])
    assert tools.ran == ([] if to_delete else ["read secret"])
    assert answers(state)["1.1"][0] == ("error" if to_delete else "success")


class Brings(AgentMiddleware):
    """Runs a tool that the agent does not list."""

    def __init__(self, extra: Any) -> None:
        super().__init__()
        self.extra = extra

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        return handler(request.override(tool=self.extra))

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        return await handler(request.override(tool=self.extra))


@pytest.mark.parametrize("inside", [False, True])
async def test_a_tool_that_other_middleware_brings_is_governed(trail: AuditLogger, tools: Tools, inside: bool):
    brings = Brings(tools.all[2])
    aegis = AegisMiddleware(runtime(trail))
    order: list[Any] = [aegis, brings] if inside else [brings, aegis]
    for is_async in False, True:
        agent: Any = create_agent(model([("delete", {"path": "a"})]), tools.all[:1], middleware=order)
        state = await agent.ainvoke(ask()) if is_async else agent.invoke(ask())
        assert answers(state)["1.1"] == ("error", "delete: blocked by rule 'block_2'. The call did not run.")
    assert tools.ran == []


def test_a_tool_keeps_the_target_it_was_governed_under_and_is_judged_once(trail: AuditLogger, tools: Tools):
    governing = runtime(trail)
    read = govern_tool(tools.all[0], governing, target="files")
    agent: Any = create_agent(
        model([("read", {"path": "a"})]), [read], middleware=[AegisMiddleware(governing, target="x")]
    )
    agent.invoke(ask())
    (entry,) = trail.get_log()
    assert entry["action_target"] == "files"


def test_a_tool_governed_by_another_runtime_is_not_run(trail: AuditLogger, tools: Tools):
    lax = govern_tool(tools.all[0], runtime(MemoryAuditLogger(), policy({"*": "auto"})))
    agent: Any = create_agent(model([("read", {"path": "a"})]), [lax], middleware=[AegisMiddleware(runtime(trail))])
    with pytest.raises(ValueError, match="governed by another runtime"):
        agent.invoke(ask())
    assert tools.ran == []


def test_an_agent_that_is_a_tool_pauses_its_caller(trail: AuditLogger, tools: Tools):
    governing = runtime(trail)
    inner: Any = create_agent(
        model([("send", {"to": "bob"})]), tools.all, middleware=[AegisMiddleware(governing)], name="in"
    )

    @tool
    def delegate(task: str) -> str:
        """Have another agent do it."""
        return inner.invoke(ask(task))["messages"][-2].text

    outer: Any = create_agent(
        model([("delegate", {"task": "x"})]), [delegate], checkpointer=InMemorySaver(), name="out"
    )
    asked = paused(outer.invoke(ask(), THREAD))
    assert asked.value["call"]["agent"] == "in"
    state = outer.invoke(Command(resume=yes(asked)), THREAD)
    assert answers(state)["1.1"] == ("success", "sent 'hello' to bob")


ELSEWHERE = """
import sys
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command
from aegis import Runtime
from aegis.adapters.langchain import AegisMiddleware
from aegis.runtime.audit import AuditLogger
from aegis_core.approval.store import ApprovalStore
from tests.langchain.scripted import answers, ask, model, policy

@tool
def send(to: str) -> str:
    "Send a message."
    return "sent to " + to

folder, resumed = sys.argv[1], sys.argv[2:]
turns = [] if resumed else [[("send", {"to": "bob"}), ("send", {"to": "eve"})]]
config = {"configurable": {"thread_id": "t1"}}
with SqliteSaver.from_conn_string(folder + "/graph.db") as saver, AuditLogger(folder + "/trail.db") as trail:
    runtime = Runtime(policy=policy({"send": "approve"}), audit_logger=trail)
    agent = create_agent(model(*turns), [send], middleware=[AegisMiddleware(runtime)], checkpointer=saver)
    if resumed:
        given = {}
        for asked in agent.get_state(config).interrupts:
            decision = "approve" if asked.value["call"]["params"]["to"] == "bob" else "deny"
            names = {"id": asked.value["id"], "digest": asked.value["digest"]}
            given[asked.id] = {"decision": decision, "approver": "alice", **names}
        print(*sorted(answers(agent.invoke(Command(resume=given), config)).values()))
    else:
        print(len(agent.invoke(ask(), config)["__interrupt__"]))
"""


def test_an_approval_survives_the_process_that_asked(tmp_path: Path):
    pytest.importorskip("langgraph.checkpoint.sqlite")

    def process(*arguments: str) -> str:
        command = [sys.executable, "-c", ELSEWHERE, str(tmp_path), *arguments]
        root = Path(__file__).parents[2]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert process() == "2"
    said = process("resumed")
    assert "('success', 'sent to bob')" in said
    assert "send: denied by alice" in said
    with AuditLogger(tmp_path / "trail.db") as trail:
        ended = [(entry["action_params"]["to"], entry["result_status"]) for entry in trail.get_log()]
    assert sorted(ended) == [
        ("bob", "pending_approval"),
        ("bob", "success"),
        ("eve", "denied"),
        ("eve", "pending_approval"),
    ]


def test_the_message_of_a_refusal_answers_the_models_call(trail: AuditLogger, tools: Tools):
    agent: Any = create_agent(
        model([("delete", {"path": "a"})]), tools.all, middleware=[AegisMiddleware(runtime(trail))]
    )
    (message,) = [each for each in agent.invoke(ask())["messages"] if isinstance(each, ToolMessage)]
    assert (message.name, message.tool_call_id, message.status) == ("delete", "1.1", "error")
