"""`govern_agent`: an agent whose every tool call is governed, and everything that it can hand over to."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from agents import Agent, FunctionTool, Handoff, ShellTool

from aegis_core.errors import AegisError
from aegis_openai_agents import sdk
from aegis_openai_agents.door import Door
from aegis_openai_agents.hearing import Listening, hear
from aegis_openai_agents.mcp import govern_mcp_server, target_of
from aegis_openai_agents.native import GOVERNORS
from aegis_openai_agents.tools import door_of, govern, original_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agents import RunContextWrapper, Tool

    from aegis_core.runtime import Runtime

__all__ = ["govern_agent"]

T = TypeVar("T")


def govern_agent(
    agent: Agent[T],
    runtime: Runtime,
    *,
    target: str | None = None,
    interrupt: bool = True,
    allow_hosted: Iterable[str] = (),
) -> Agent[T]:
    """A governed copy of an agent: local and MCP tools, agents used as tools, the agents it hands over to, and theirs.

    Tools, servers and handoffs that are added later are governed too, and so is what `Agent.clone` makes. MCP servers
    are governed in place (see `govern_mcp_server`). A refused call returns a text to the model that says why, and the
    run goes on.

    Args:
        agent: It is not changed, and stays ungoverned itself.
        runtime: Judges the calls, asks people, writes the trail.
        target: The name for the policy (``match.target``) of local tools; default ``openai-agents``. An MCP server's
            tools go by the server's name.
        interrupt: A call that needs approval interrupts the run (``result.interruptions``), to be approved or rejected
            through the `RunState`, perhaps in another process. False: it waits while the runtime's handler asks.
        allow_hosted: Names of tools that run where the model runs, out of reach, and that the agent may have all the
            same: ``web_search``, ``file_search``, ...; ``prompt`` for a stored prompt, which may bring tools too.

    Returns:
        The copy, of a subclass of the agent's class.

    Raises:
        TypeError: If it is not an `Agent`.
        ValueError: If it, or what it has, is already governed by another runtime or on other terms. (The same again
            changes nothing.)
        AegisError: If it has a tool that cannot be governed and is not allowed by name.
    """
    if not isinstance(agent, Agent):  # pyright: ignore[reportUnnecessaryIsInstance] - not every caller is typed
        raise TypeError(f"govern_agent takes an agents.Agent, got {agent!r}")
    terms = _Terms(runtime, target, interrupt, frozenset(allow_hosted))
    if isinstance(agent, _GovernedAgent) and agent.aegis_scope.terms != terms:
        raise ValueError(f"the agent {agent.name!r} is already governed, by another runtime or on other terms")
    governed: Agent[T] = _Scope(terms).agent(agent)
    return governed


class _Terms(NamedTuple):
    """How everything that one `govern_agent` reaches is governed."""

    runtime: Runtime
    target: str | None
    interrupt: bool
    allow_hosted: frozenset[str]


class _Scope:
    """Governs what one `govern_agent` reaches; every agent once, so that agents may hand over to each other."""

    def __init__(self, terms: _Terms) -> None:
        self.terms = terms
        self._agents: dict[int, tuple[Agent[Any], Agent[Any]]] = {}  # by id of the original, which is kept alive
        self._classes: dict[type[Agent[Any]], type[Agent[Any]]] = {}

    def agent(self, agent: Agent[Any]) -> Agent[Any]:
        """The governed copy of an agent."""
        if isinstance(agent, _GovernedAgent):
            return agent
        if id(agent) not in self._agents:
            governed = copy.copy(agent)
            self._agents[id(agent)] = (agent, governed)
            object.__setattr__(governed, "__class__", self._class(type(agent)))
            for name in ("tools", "handoffs", "mcp_servers"):
                setattr(governed, name, list(getattr(agent, name)))
                getattr(governed, name)  # What cannot be governed is refused now.
            self.refuse_prompt(agent)
        return self._agents[id(agent)][1]

    def _class(self, cls: type[Agent[Any]]) -> type[Agent[Any]]:
        if cls not in self._classes:
            self._classes[cls] = sdk.subclass(cls, _GovernedAgent, aegis_scope=self)
        return self._classes[cls]

    def tool(self, tool: Tool, agent: Agent[Any]) -> Tool:
        """A governed tool of an agent.

        Raises:
            ValueError: It is governed by another runtime.
            AegisError: It cannot be governed.
        """
        door = Door(self.terms.runtime, self.terms.target, agent.name, self.terms.interrupt)
        if isinstance(tool, FunctionTool):
            return self._function(tool, agent, door)
        present: Door | None = getattr(tool, "_aegis_door", None)
        if present == door:
            return tool
        if present is not None:  # It came here from another agent.
            tool = tool._aegis_original  # type: ignore[union-attr]
        how = next((how for kind, how in GOVERNORS.items() if isinstance(tool, kind)), None)
        if how is None or (isinstance(tool, ShellTool) and tool.executor is None):
            name = str(getattr(tool, "name", type(tool).__name__))
            if name in self.terms.allow_hosted:
                return tool
            raise AegisError(
                f"{type(tool).__name__} ({name!r}) of agent {agent.name!r} cannot be governed: what it does is done "
                f"out of reach. Take it away, or accept that: govern_agent(..., allow_hosted=[{name!r}])"
            )
        governed = how(tool, door)
        governed._aegis_door, governed._aegis_original = door, tool
        return governed  # type: ignore[no-any-return]

    def _function(self, tool: FunctionTool, agent: Agent[Any], door: Door) -> FunctionTool:
        present, original = door_of(tool), original_of(tool)
        if present is not None and present.runtime is not door.runtime:
            raise ValueError(f"the tool {tool.name!r} of agent {agent.name!r} is already governed by another runtime")
        if present is not None and present.agent is None:
            door = present  # The program governed it by itself, on terms of its own.
        else:
            binding = sdk.binding(original)
            if binding is not None:
                servers = (server for server in agent.mcp_servers if sdk.server_name(server) == binding.server)
                door = door._replace(target=next(map(target_of, servers), None))
        nested = sdk.agent_of(original)
        if nested is not None and not isinstance(nested, _GovernedAgent):
            original = sdk.with_agent(original, self.agent)
        elif present == door:
            return tool
        return govern(original, door)

    def handoff(self, handoff: Agent[Any] | Handoff[Any, Any], _agent: Agent[Any]) -> Agent[Any] | Handoff[Any, Any]:
        """A handoff to governed agents only.

        Raises:
            AegisError: It is neither an agent nor a `Handoff`.
        """
        if isinstance(handoff, Agent):
            return self.agent(handoff)
        if not isinstance(handoff, Handoff):  # pyright: ignore[reportUnnecessaryIsInstance] - the SDK takes others
            raise AegisError(f"the handoff {handoff!r} is neither an Agent nor a Handoff and cannot be governed")
        if isinstance(handoff.on_invoke_handoff, _Transfer):
            return handoff
        governed = copy.copy(handoff)
        governed.on_invoke_handoff = _Transfer(handoff.on_invoke_handoff, self)
        target = sdk.target_of(handoff)
        if target is not None:
            sdk.name_target(governed, self.agent(target))
        return governed

    def server(self, server: Any, _agent: Agent[Any]) -> Any:
        """A governed MCP server: the same."""
        return govern_mcp_server(server, self.terms.runtime)

    def refuse_prompt(self, agent: Agent[Any]) -> None:
        """Refuse a stored prompt: the provider may know tools with it that nobody here does.

        Raises:
            AegisError: There is one, and it is not allowed.
        """
        if agent.prompt is not None and "prompt" not in self.terms.allow_hosted:
            raise AegisError(
                f"the stored prompt of agent {agent.name!r} may bring tools that cannot be governed. Take it away, or "
                "accept that: govern_agent(..., allow_hosted=['prompt'])"
            )


class _Transfer:
    """Invokes a handoff; whatever agent takes over is governed."""

    def __init__(self, invoke: Callable[..., Any], scope: _Scope) -> None:
        self._invoke = invoke
        self._scope = scope

    async def __call__(self, context: RunContextWrapper[Any], text: str) -> Agent[Any]:
        return self._scope.agent(await self._invoke(context, text))


class _Governing:
    """A list of an agent's. Every look at it governs what is in it, whenever that came to be there."""

    def __init__(self, govern_one: Callable[[_Scope, Any, Agent[Any]], Any]) -> None:
        self._govern_one = govern_one

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, agent: _GovernedAgent | None, _owner: type | None = None) -> Any:
        if agent is None:
            return self
        items = vars(agent)[self._name]
        for index, item in enumerate(items):
            items[index] = self._govern_one(agent.aegis_scope, item, agent)
        return items

    def __set__(self, agent: _GovernedAgent, items: Any) -> None:
        vars(agent)[self._name] = items


class _Hooks:
    """An agent's hooks, which hear what its tools do not."""

    def __get__(self, agent: _GovernedAgent | None, _owner: type | None = None) -> Any:
        return self if agent is None else Listening(vars(agent).get("hooks"))

    def __set__(self, agent: _GovernedAgent, hooks: Any) -> None:
        vars(agent)["hooks"] = hooks.__wrapped__ if isinstance(hooks, Listening) else hooks


class _GovernedAgent(Agent[Any]):
    """An agent whose tools, servers and handoffs are governed: put before its own class."""

    aegis_scope: _Scope
    _aegis_listed: list[Tool]

    tools: Any = _Governing(_Scope.tool)
    handoffs: Any = _Governing(_Scope.handoff)
    mcp_servers: Any = _Governing(_Scope.server)
    hooks: Any = _Hooks()

    async def get_all_tools(self, run_context: RunContextWrapper[Any]) -> list[Tool]:
        """The tools of this turn, MCP servers' included."""
        hear(run_context, self.aegis_scope.terms.runtime)
        tools = [self.aegis_scope.tool(tool, self) for tool in await super().get_all_tools(run_context)]
        sdk.public(self)._aegis_listed = tools
        return tools

    async def get_prompt(self, run_context: RunContextWrapper[Any]) -> Any:
        """The stored prompt, if there may be one."""
        self.aegis_scope.refuse_prompt(self)
        return await super().get_prompt(run_context)
