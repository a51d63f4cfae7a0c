"""The Runtime: one policy, one trail, one way to ask; every door governs its calls through it."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, NoReturn, Self

from aegis_core.action import Action, plain_text, text_or_none
from aegis_core.call import ending, governed_call, refused_call
from aegis_core.decision import Approval
from aegis_core.drive import Call, adrive, drive
from aegis_core.enclosing import ENCLOSING, Enclosing, Split
from aegis_core.perform import aperform, perform
from aegis_core.record import new_id
from aegis_core.result import Result, ResultStatus, result_of
from aegis_core.session import Session
from aegis_core.snapshot import FrozenDict
from aegis_core.surroundings import AskingThrough, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from aegis_core.approval.asking import ApprovalHandler
    from aegis_core.call import Outcome
    from aegis_core.decision import Caution
    from aegis_core.drive import World
    from aegis_core.executor import BaseExecutor
    from aegis_core.perform import Tool
    from aegis_core.policy.hierarchy import PolicyHierarchy
    from aegis_core.policy.policy import Policy
    from aegis_core.record import Event, Intent, Sink

__all__ = ["Runtime", "active_runtime", "set_runtime"]

_ACTIVE: ContextVar[Runtime | None] = ContextVar("aegis_active_runtime", default=None)
_SESSIONS: ContextVar[Mapping[Runtime, Session] | None] = ContextVar("aegis_sessions", default=None)
_process_runtime: Runtime | None = None


class Runtime(Surroundings):
    """Governs calls: judges them by a policy, asks a person where it must, runs them, and writes it all down.

    Safe to share between threads, event loops and tasks; a forked child may go on using it.

    Args:
        policy: The policy, or a `PolicyHierarchy`.
        executor: Runs actions for which no tool is given.
        approval_handler: Asks people. Default: on the terminal, and no where there is none.
        audit_logger: Where calls are written down; a list means the first is the authority and the others mirror it.
            Default: ``AuditLogger()``, the file ``aegis_audit.db`` in the working directory.
        session_id: The session calls belong to unless they say otherwise; default a new one for this Runtime.
        agent: Who calls, unless the call says otherwise.
        user: On whose behalf, unless the call says otherwise.
        approval_timeout: Seconds a call waits for a person; None waits as long as the request lives (an hour).
        mode: ``"enforce"``; or ``"observe"``: decide and record, ask nobody, let everything run.

    Raises:
        TypeError: If an argument has the wrong type; a Runtime never starts with something it would have to ignore.
        ValueError: If a value is out of range.
    """

    def __init__(
        self,
        *,
        policy: Policy | PolicyHierarchy,
        executor: BaseExecutor | None = None,
        approval_handler: ApprovalHandler | None = None,
        audit_logger: Sink | Sequence[Sink] | None = None,
        session_id: str | None = None,
        agent: str | None = None,
        user: str | None = None,
        approval_timeout: float | None = 300.0,
        mode: Literal["enforce", "observe"] = "enforce",
    ) -> None:
        if mode not in ("enforce", "observe"):
            raise ValueError(f"mode must be 'enforce' or 'observe', got {mode!r}")
        _check_object("executor", executor, "execute", "a BaseExecutor")
        _check_object(
            "approval_handler", approval_handler, "ask", "an ApprovalHandler, e.g. CallbackApprovalHandler(fn)"
        )
        session_id = text_or_none("session_id", session_id)
        agent, user = text_or_none("agent", agent), text_or_none("user", user)
        if approval_handler is None:
            from aegis_core.approval.terminal import TerminalApprovalHandler  # noqa: PLC0415 - for the default

            approval_handler = TerminalApprovalHandler()
        super().__init__(
            policy,
            approval_handler,
            audit_logger=audit_logger,
            approval_timeout=approval_timeout,
            enforced=mode == "enforce",
        )
        self.executor = executor
        self.mode = mode
        self.session_id = session_id if session_id is not None else f"session-{new_id()}"
        self.agent = agent
        self.user = user

    # --- governing ---

    def run(
        self,
        action: Action,
        tool: Tool | None = None,
        *,
        can_edit: bool = True,
        approval_handler: ApprovalHandler | None = None,
        caution: Callable[[], Caution | None] | None = None,
    ) -> Result:
        """Govern one call.

        Args:
            action: The call.
            tool: Takes a fresh dict of the judged arguments and does the work. Default: the executor runs the action.
            can_edit: Whether ``tool`` does as the arguments it is given say, also where an approver edited them.
            approval_handler: Asks for this call in place of the runtime's own: a framework's way to pause for a person.
            caution: What the door knows of the tool besides, asked whenever the call is judged; it can only tighten.

        Returns:
            How it ended, also where it was refused or the tool raised.

        Raises:
            AuditError: The call could not be written down, so it was not run.
        """
        action = self._complete(action)
        function = getattr(tool, "aegis_function", None)
        outer = ENCLOSING.get()
        if outer is not None and self._joins(outer, action, function, caution):
            return _joined(outer.intent, action, perform(action, tool, executor=self.executor))

        def run_tool(intent: Intent) -> Outcome:
            enclosing = Enclosing(self, intent, function, session=self._session())
            if not self._trail.scopes:
                return perform(intent.action, tool, executor=self.executor, enclosing=enclosing)
            with self._trail.around(intent):
                return perform(intent.action, tool, executor=self.executor, enclosing=enclosing)

        call = governed_call(new_id(), action, self, can_edit=can_edit, caution=caution)
        return drive(call, self._world(approval_handler), run_tool)

    async def arun(
        self,
        action: Action,
        tool: Tool | None = None,
        *,
        can_edit: bool = True,
        approval_handler: ApprovalHandler | None = None,
        caution: Callable[[], Caution | None] | None = None,
    ) -> Result:
        """`run` from a coroutine. ``tool`` may be async, or return an awaitable; a sync tool runs on the event loop."""
        action = self._complete(action)
        function = getattr(tool, "aegis_function", None)
        outer = ENCLOSING.get()
        if outer is not None and self._joins(outer, action, function, caution):
            return _joined(outer.intent, action, await aperform(action, tool, executor=self.executor))

        async def run_tool(intent: Intent) -> Outcome:
            enclosing = Enclosing(self, intent, function, session=self._session())
            if not self._trail.scopes:
                return await aperform(intent.action, tool, executor=self.executor, enclosing=enclosing)
            with self._trail.around(intent):
                return await aperform(intent.action, tool, executor=self.executor, enclosing=enclosing)

        call = governed_call(new_id(), action, self, can_edit=can_edit, caution=caution)
        return await adrive(call, self._world(approval_handler), run_tool)

    def resume(self, call_id: str, tool: Tool | None = None, *, can_edit: bool = True) -> Result:
        """Pick up a call that waits for approval, wherever and whenever it was made, and run it if it was approved.

        What runs is exactly what the approver saw, rebuilt from the request on the trail; once, however many processes
        try. The call is judged again first, by the policy now in force. While nobody has answered it stays
        ``pending_approval``: this does not wait.

        Args:
            call_id: The call's id: ``result.call_id``, or ``ticket.call_id`` of a request.
            tool: As for `run`: it takes the arguments; default the executor.
            can_edit: As for `run`.

        Returns:
            How it ended.

        Raises:
            ApprovalError: There is no such call, it has ended, or it is not on record exactly: a call that holds
                secrets cannot be resumed. It can be made again with the same arguments; its approval covers that.
            AuditError: The call could not be written down, so it was not run; or the trail cannot be read.
        """
        from aegis_core.approval.resuming import let_go, pick_up  # noqa: PLC0415 - loads the queue

        trail = self._trail.authority
        request, answer = pick_up(trail, call_id, self.bind)
        function = getattr(tool, "aegis_function", None)

        def run_tool(intent: Intent) -> Outcome:
            enclosing = Enclosing(self, intent, function, session=self._session())
            return perform(intent.action, tool, executor=self.executor, enclosing=enclosing)

        call = governed_call(call_id, request.action, self, can_edit=can_edit, resumed=(request, answer))
        result = drive(call, self, run_tool)
        let_go(trail, request, result)
        return result

    async def aresume(self, call_id: str, tool: Tool | None = None, *, can_edit: bool = True) -> Result:
        """`resume` from a coroutine; ``tool`` may be async."""
        import asyncio  # noqa: PLC0415 - for the few that resume

        from aegis_core.approval.resuming import let_go, pick_up  # noqa: PLC0415 - loads the queue

        trail = self._trail.authority
        request, answer = await asyncio.to_thread(pick_up, trail, call_id, self.bind)
        function = getattr(tool, "aegis_function", None)

        async def run_tool(intent: Intent) -> Outcome:
            enclosing = Enclosing(self, intent, function, session=self._session())
            return await aperform(intent.action, tool, executor=self.executor, enclosing=enclosing)

        call = governed_call(call_id, request.action, self, can_edit=can_edit, resumed=(request, answer))
        result = await adrive(call, self, run_tool)
        await asyncio.to_thread(let_go, trail, request, result)
        return result

    def begin(self, action: Action, *, can_edit: bool = False, approval_handler: ApprovalHandler | None = None) -> Call:
        """Govern a call whose tool a framework runs: returns once it is decided, and written down if it may run.

        If ``call.permitted``, run the tool with ``call.action.arguments()`` and say how it ended
        (``call.finish(value)`` or ``call.fail(error)``); else ``call.result`` says why not.

        Args:
            action: The call.
            can_edit: Whether the framework can be made to run the tool with arguments an approver edited.
            approval_handler: As for `run`.

        Raises:
            AuditError: The call could not be written down and must not be run.
        """
        return self._begun(self._call(action, approval_handler, can_edit=can_edit).begin())

    async def abegin(
        self, action: Action, *, can_edit: bool = False, approval_handler: ApprovalHandler | None = None
    ) -> Call:
        """`begin` from a coroutine."""
        return self._begun(await self._call(action, approval_handler, can_edit=can_edit).abegin())

    def refuse(self, action: Action, reason: str, *, rule: str = "<refused>") -> Result:
        """Refuse a call on record, whatever the policy says of it: for integrations that cannot judge it.

        Args:
            action: The call, as far as it could be read.
            reason: Why, in words for people and models, without a full stop.
            rule: What the trail has in the place of a rule's name.

        Returns:
            The refusal, ``blocked``; also where it could not be written down, which is loud.
        """
        action = self._complete(action)
        return drive(refused_call(new_id(), action, reason, rule, self._policy.digest), self, _never)

    async def arefuse(self, action: Action, reason: str, *, rule: str = "<refused>") -> Result:
        """`refuse` from a coroutine."""
        action = self._complete(action)
        return await adrive(refused_call(new_id(), action, reason, rule, self._policy.digest), self, _never)

    def check(self, action: Action) -> Result:
        """What would happen to a call, without making it: nothing runs, nobody is asked, nothing is written.

        ``ok`` only if it could run right now without anyone being asked; ``pending_approval`` where a person would be.
        """
        action = self._complete(action)
        if self.recalls and action.session_id is not None:
            self.recall(action.session_id)
        decision, _ = self.judge(action)
        status = _DRY[decision.approval] if self.enforced else ResultStatus.SUCCESS
        error = None if status is ResultStatus.SUCCESS else f"{action.type}: {decision.reason}."
        return Result(action, status, error=error, decision=decision)

    # --- surroundings ---

    @property
    def traced(self) -> bool:
        """Whether a mirror surrounds tools with spans, so that a door may hand on the trace they are in."""
        return bool(self._trail.scopes)

    def record(self, event: Event) -> None:
        """Put an event beside the calls on the trail."""
        self._trail.write(event)

    @contextmanager
    def session(self, id: str, *, agent: str | None = None, user: str | None = None) -> Generator[Session]:  # noqa: A002
        """Within the block, this runtime's calls belong to this session and, by default, to this agent and user."""
        entered = Session(
            plain_text("a session's id", id),
            self.agent if agent is None else plain_text("agent", agent, " or None"),
            self.user if user is None else plain_text("user", user, " or None"),
            tell_text=self._sessions.add_user_text,
            tell_result=self._tell_result,
        )
        token = _SESSIONS.set({**(_SESSIONS.get() or {}), self: entered})
        try:
            yield entered
        finally:
            _SESSIONS.reset(token)

    @contextmanager
    def activate(self) -> Generator[Runtime]:
        """Within the block, `@governed` functions without a runtime of their own use this one."""
        token = _ACTIVE.set(self)
        try:
            yield self
        finally:
            _ACTIVE.reset(token)

    def close(self) -> None:
        """Write what is unwritten and close the trail if this Runtime opened it. Idempotent."""
        self._trail.close()

    async def aclose(self) -> None:
        """`close` from a coroutine."""
        self._trail.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def principal(self) -> tuple[str | None, str | None, str]:
        """Agent, user and session of calls made here and now that do not say otherwise.

        They are those of the call whose tool makes them, unless that tool has entered a session since.
        """
        session, outer = self._session(), ENCLOSING.get()
        if outer is not None and outer.runtime is self and outer.session is session and outer.reaches_here():
            action = outer.intent.action
            return action.agent, action.user, action.session_id or self.session_id
        if session is None:
            return self.agent, self.user, self.session_id
        return session.agent, session.user, session.id

    def _session(self) -> Session | None:
        sessions = _SESSIONS.get()
        return sessions.get(self) if sessions else None

    def __repr__(self) -> str:
        return f"Runtime(policy={self._policy!r}, mode={self.mode!r})"

    # --- inside ---

    def _complete(self, action: Action) -> Action:
        """The action with agent, user and session filled in from the session block or the runtime."""
        if action.__class__ is not Action:
            raise TypeError(f"a call is an Action(type, target, params), got {action!r}")
        agent, user, session_id = action.agent, action.user, action.session_id
        if agent is None or user is None or session_id is None:
            usual = self.principal()
            agent = usual[0] if agent is None else agent
            user = usual[1] if user is None else user
            session_id = usual[2] if session_id is None else session_id
        known = session_id is action.session_id and agent is action.agent and user is action.user
        return action if known and action.params.__class__ is FrozenDict else action.of(agent, user, session_id)

    def _tell_result(self, session_id: str, type: str, target: str, value: object) -> None:  # noqa: A002 - as in Action
        if self._policy.needs.may_trust(type, target):
            self._sessions.add_result(session_id, type, target, value)

    def _joins(
        self, outer: Enclosing, action: Action, function: object, caution: Callable[[], Caution | None] | None
    ) -> bool:
        """Whether this is the enclosing call being made again by the code it runs, asking for nothing more."""
        if not outer.repeats(self, action, function):
            return False
        decision, said = self.judge(action)[0], None if caution is None else caution()
        return outer.covers(decision if said is None else decision.under(said)) and outer.join()

    def _world(self, approval_handler: ApprovalHandler | None) -> World:
        return self if approval_handler is None else AskingThrough(approval_handler, self)

    def _call(self, action: Action, approval_handler: ApprovalHandler | None, *, can_edit: bool) -> Call:
        call_id, action = new_id(), self._complete(action)
        generator = governed_call(call_id, action, self, can_edit=can_edit)
        return Call(call_id, action, generator, self._world(approval_handler))

    def _begun(self, call: Call) -> Call:
        intent = call.intent
        if intent is not None:
            ENCLOSING.set(Split(self, call, intent, session=self._session()))
        return call


def _never(intent: Intent) -> NoReturn:
    raise AssertionError(f"call {intent.call_id} was refused and cannot run")


def _joined(intent: Intent, action: Action, outcome: Outcome) -> Result:
    """The result of a call that joined the enclosing one, whose record is the record of both."""
    status, data, error, exception, _ = ending(outcome)
    if exception is not None and not isinstance(exception, Exception):
        raise exception
    return result_of(action, status, data, error, exception, intent.decision, intent.call_id)


_DRY = {
    Approval.AUTO: ResultStatus.SUCCESS,
    Approval.APPROVE: ResultStatus.PENDING_APPROVAL,
    Approval.BLOCK: ResultStatus.BLOCKED,
}


def _check_object(name: str, value: object, method: str, what: str) -> None:
    if isinstance(value, type) and callable(getattr(value, method, None)):
        raise TypeError(f"{name} must be {what}, got the class itself: {value.__name__}(...) makes one")
    if value is not None and not callable(getattr(value, method, None)):
        raise TypeError(f"{name} must be {what}, which has a method {method!r}; got {value!r}")


def set_runtime(runtime: Runtime | None) -> None:
    """Make a runtime the one that `@governed` functions of this process use outside of `Runtime.activate` blocks.

    Raises:
        TypeError: If it is neither a runtime nor None.
    """
    _check_object("runtime", runtime, "arun", "a Runtime or None")
    global _process_runtime  # noqa: PLW0603 - the one place of process-wide state, set by the program itself
    _process_runtime = runtime


def active_runtime() -> Runtime | None:
    """The runtime of the innermost `Runtime.activate` block, else the process's."""
    return _ACTIVE.get() or _process_runtime
