"""The Runtime: one policy, one trail, one way to ask; every door governs its calls through it."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

from aegis_core.action import Action
from aegis_core.call import Reply, describe, governed_call
from aegis_core.decision import Approval, Decision, RiskLevel
from aegis_core.drive import Call, adrive, drive
from aegis_core.enclosing import ENCLOSING, Enclosing, no_stricter
from aegis_core.errors import AegisError
from aegis_core.policy.hierarchy import PolicyHierarchy
from aegis_core.policy.policy import Policy
from aegis_core.record import Event, new_id
from aegis_core.result import Result, ResultStatus
from aegis_core.session import Session
from aegis_core.snapshot import canonical
from aegis_core.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aegis_core.approval.asking import ApprovalHandler
    from aegis_core.drive import World
    from aegis_core.executor import BaseExecutor
    from aegis_core.record import BudgetExhausted, Record, Sink
    from aegis_core.request import ApprovalAnswer, ApprovalRequest

__all__ = ["Runtime", "active_runtime", "set_runtime"]

_log = logging.getLogger("aegis")
_ACTIVE: ContextVar[Runtime | None] = ContextVar("aegis_active_runtime", default=None)
_SESSION: ContextVar[Session | None] = ContextVar("aegis_session", default=None)
_process_runtime: Runtime | None = None


class Runtime:
    """Governs calls: judges them by a policy, asks a person where it must, runs them, and writes it all down.

    Safe to share between threads, event loops and tasks; a forked child may go on using it.

    Args:
        policy: The policy, or a `PolicyHierarchy`.
        executor: Runs actions for which no tool is given.
        approval_handler: Asks people. Default: on the terminal, and no where there is none.
        audit_logger: Where calls are written down; a list means the first is the authority and the others mirror it. Default:
            ``AuditLogger()``, the file ``aegis_audit.db`` in the working directory.
        session_id: The session calls belong to unless they say otherwise; default a new one for this Runtime.
        agent: Who calls, unless the call says otherwise.
        user: On whose behalf, unless the call says otherwise.
        approval_timeout: Seconds a call waits for a person; None waits as long as the request lives (an hour).
        mode: ``"enforce"``; or ``"observe"``: decide and record, ask nobody, let everything run.

    Raises:
        TypeError: If an argument has the wrong type; a Runtime never starts with something it would have to ignore.
        ValueError: If a value is out of range.
    """

    request_lifetime = 3600.0

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
        self._policy = _flat(policy)
        if mode not in ("enforce", "observe"):
            raise ValueError(f"mode must be 'enforce' or 'observe', got {mode!r}")
        if approval_timeout is not None and not approval_timeout > 0:
            raise ValueError(f"approval_timeout must be a positive number of seconds or None, got {approval_timeout!r}")
        if executor is not None and not callable(getattr(executor, "execute", None)):
            raise TypeError(f"executor must have an execute method (see BaseExecutor), got {executor!r}")
        if approval_handler is not None and not callable(getattr(approval_handler, "ask", None)):
            raise TypeError(f"approval_handler must have an ask method (see ApprovalHandler), got {approval_handler!r}")
        if approval_handler is None:
            from aegis_core.approval.terminal import TerminalApprovalHandler  # Only the default needs a terminal.

            approval_handler = TerminalApprovalHandler()
        self.approval_handler: ApprovalHandler = approval_handler
        self.executor = executor
        self.approval_timeout = approval_timeout
        self.mode = mode
        self.enforced = mode == "enforce"
        self.session_id = session_id if session_id is not None else f"session-{new_id()}"
        self.agent = agent
        self.user = user
        self._trail = Trail(audit_logger)

    # --- governing ---

    def run(
        self,
        action: Action,
        tool: Callable[[dict[str, Any]], Any] | None = None,
        *,
        approval_handler: ApprovalHandler | None = None,
    ) -> Result:
        """Govern one call.

        Args:
            action: The call.
            tool: Takes a fresh dict of the judged arguments and does the work. Default: the executor runs the action.
            approval_handler: Asks for this call in place of the runtime's own: a framework's way to pause for a person.

        Returns:
            How it ended, also where it was refused or the tool raised.

        Raises:
            AuditError: The call could not be written down, so it was not run.
        """
        action = self._complete(action)
        if ENCLOSING.get() is not None and self._joins(action):
            try:
                return _joined(action, self._perform(action, tool))
            except Exception as error:  # noqa: BLE001 - the tool's own exception is its outcome
                return _joined_failure(action, error)
        world = self._world(approval_handler)
        return drive(governed_call(new_id(), action, self), world, lambda judged: self._perform(judged, tool))

    async def arun(
        self,
        action: Action,
        tool: Callable[[dict[str, Any]], Any] | None = None,
        *,
        approval_handler: ApprovalHandler | None = None,
    ) -> Result:
        """`run` from a coroutine. ``tool`` may be async, or return an awaitable; a sync tool runs on the event loop."""
        action = self._complete(action)
        if ENCLOSING.get() is not None and self._joins(action):
            try:
                return _joined(action, await self._aperform(action, tool))
            except Exception as error:  # noqa: BLE001 - the tool's own exception is its outcome
                return _joined_failure(action, error)
        world = self._world(approval_handler)
        return await adrive(governed_call(new_id(), action, self), world, lambda judged: self._aperform(judged, tool))

    def begin(
        self, action: Action, *, can_edit: bool = False, approval_handler: ApprovalHandler | None = None
    ) -> Call:
        """Govern a call whose tool a framework runs: returns once it is decided, and written down if it may run.

        If ``call.permitted``, run the tool with ``call.action.arguments()`` and say how it ended (``call.finish(value)`` or ``call.fail(error)``);
        else ``call.result`` says why not.

        Args:
            action: The call.
            can_edit: Whether the framework can be made to run the tool with arguments an approver edited.
            approval_handler: As for `run`.

        Raises:
            AuditError: The call could not be written down and must not be run.
        """
        return self._suspended(self._complete(action), self._world(approval_handler), can_edit=can_edit).begin()

    async def abegin(
        self, action: Action, *, can_edit: bool = False, approval_handler: ApprovalHandler | None = None
    ) -> Call:
        """`begin` from a coroutine."""
        call = self._suspended(self._complete(action), self._world(approval_handler), can_edit=can_edit)
        return await call.abegin()

    def check(self, action: Action) -> Result:
        """What would happen to a call, without making it: nothing runs, nobody is asked, nothing is written.

        ``ok`` only if it could run right now without anyone being asked; ``pending_approval`` where a person would be.
        """
        action = self._complete(action)
        decision, _ = self.judge(action)
        status = _DRY[decision.approval] if self.enforced else ResultStatus.SUCCESS
        error = None if status is ResultStatus.SUCCESS else f"{action.type}: {decision.reason}."
        return Result(action, status, error=error, decision=decision)

    # --- surroundings ---

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._policy

    @property
    def audit_logger(self) -> Sink:
        """The authoritative sink."""
        return self._trail.authority

    def update_policy(self, policy: Policy | PolicyHierarchy, *, reason: str = "update_policy") -> None:
        """Put another policy in force, now, for every call not yet begun; the change goes on record.

        Calls waiting for a person are judged again under it when the answer comes.
        """
        old, new = self._policy, _flat(policy)
        self._policy = new
        self._trail.write(Event("policy_reloaded", data=_describe_change(old, new, reason)))

    def record(self, event: Event) -> None:
        """Put an event beside the calls on the trail."""
        self._trail.write(event)

    @contextmanager
    def session(self, id: str, *, agent: str | None = None, user: str | None = None) -> Iterator[Session]:  # noqa: A002
        """Within the block, calls belong to this session and, unless they say otherwise, to this agent and user."""
        entered = Session(id, agent if agent is not None else self.agent, user if user is not None else self.user)
        token = _SESSION.set(entered)
        try:
            yield entered
        finally:
            _SESSION.reset(token)

    @contextmanager
    def activate(self) -> Iterator[Runtime]:
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

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Runtime:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"Runtime(policy={self._policy!r}, mode={self.mode!r})"

    # --- what a governed call asks of its surroundings (call.Terms, drive.World) ---

    def judge(self, action: Action) -> tuple[Decision, str]:
        """The decision under the policy in force now, and that policy's digest. A policy that fails to answer blocks."""
        policy = self._policy
        try:
            return policy.evaluate(action), policy.digest
        except Exception as error:
            _log.critical("evaluating the policy failed; the call is blocked", exc_info=True)
            reason = f"blocked: the policy could not be evaluated ({type(error).__name__})"
            return Decision(Approval.BLOCK, RiskLevel.CRITICAL, "<error>", reason), policy.digest

    def bind(self, action: Action, decision: Decision) -> str:
        """What a yes to this action, asked for by these rules, binds to."""
        return self._trail.digest(canonical((*action.names, action.params, decision.rules_digest)))

    def exhausted(self, budget: BudgetExhausted) -> None:
        """No condition of the base language reserves anything."""

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """Put a request to a person and wait."""
        from aegis_core.approval.asking import ask  # Calls that nobody is asked about need not load threads and loops.

        return ask(self.approval_handler, request)  # type: ignore[no-any-return]

    async def aask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """`ask` from a coroutine."""
        from aegis_core.approval.asking import aask

        return await aask(self.approval_handler, request)  # type: ignore[no-any-return]

    def write(self, record: Record) -> None:
        """Write a record down."""
        self._trail.write(record)

    async def awrite(self, record: Record) -> None:
        """`write` from a coroutine."""
        await self._trail.awrite(record)

    # --- inside ---

    def _complete(self, action: Action) -> Action:
        """The action with agent, user and session filled in from the session block or the runtime."""
        session = _SESSION.get()
        agent, user, session_id = action.agent, action.user, action.session_id
        if agent is None:
            agent = self.agent if session is None else session.agent
        if user is None:
            user = self.user if session is None else session.user
        if session_id is None:
            session_id = self.session_id if session is None else session.id
        if session_id is action.session_id and agent is action.agent and user is action.user:
            return action
        return Action(
            action.type,
            action.target,
            action.params,
            agent=agent,
            user=user,
            session_id=session_id,
            labels=action.labels,
            description=action.description,
        )

    def _perform(self, action: Action, tool: Callable[[dict[str, Any]], Any] | None) -> Any:
        """Run the tool inside this call."""
        enclosing = Enclosing(self, action)
        token = ENCLOSING.set(enclosing)
        try:
            if tool is not None:
                return tool(action.arguments())
            from aegis_core.executor import execute  # Only runtimes with an executor need event loops here.

            return execute(self._required_executor(), action)
        finally:
            enclosing.open = False
            ENCLOSING.reset(token)

    async def _aperform(self, action: Action, tool: Callable[[dict[str, Any]], Any] | None) -> Any:
        enclosing = Enclosing(self, action)
        token = ENCLOSING.set(enclosing)
        try:
            if tool is not None:
                value = tool(action.arguments())
                return await value if hasattr(value, "__await__") else value
            from aegis_core.executor import aexecute

            return await aexecute(self._required_executor(), action)
        finally:
            enclosing.open = False
            ENCLOSING.reset(token)

    def _required_executor(self) -> BaseExecutor:
        if self.executor is None:
            raise AegisError("no tool was given and this Runtime has no executor: pass run(action, tool) or Runtime(executor=...)")
        return self.executor

    def _joins(self, action: Action) -> bool:
        """Whether this is the enclosing call being made again by the code it runs, asking for nothing more."""
        enclosing = ENCLOSING.get()
        if enclosing is None or not enclosing.repeats(self, action):
            return False
        if not no_stricter(self.judge(action)[0], self.judge(enclosing.action)[0]):
            return False
        enclosing.open = False  # once: the same code calling again is another execution
        return True

    def _world(self, approval_handler: ApprovalHandler | None) -> World:
        return self if approval_handler is None else _AskingThrough(approval_handler, self)

    def _suspended(self, action: Action, world: World, *, can_edit: bool) -> Call:
        call_id = new_id()
        enclosing = Enclosing(self, action)
        ENCLOSING.set(enclosing)

        def ended() -> None:
            enclosing.open = False

        return Call(call_id, action, governed_call(call_id, action, self, can_edit=can_edit), world, ended)


class _AskingThrough:
    """A runtime's world, but for who puts the approval requests to people."""

    def __init__(self, approval_handler: ApprovalHandler, runtime: Runtime) -> None:
        self._handler = approval_handler
        self.write = runtime.write
        self.awrite = runtime.awrite

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        from aegis_core.approval.asking import ask

        return ask(self._handler, request)  # type: ignore[no-any-return]

    async def aask(self, request: ApprovalRequest) -> ApprovalAnswer:
        from aegis_core.approval.asking import aask

        return await aask(self._handler, request)  # type: ignore[no-any-return]


def _joined(action: Action, value: Any) -> Result:
    """The result of a call that joined the enclosing one: the record is the enclosing call's."""
    if isinstance(value, Reply):
        status = ResultStatus.SUCCESS if value.failed is None else ResultStatus.FAILED
        return Result(action, status, value.value, value.failed, exception=value.exception)
    return Result(action, ResultStatus.SUCCESS, value)


def _joined_failure(action: Action, error: Exception) -> Result:
    return Result(action, ResultStatus.FAILED, error=describe(error), exception=error)


_DRY = {
    Approval.AUTO: ResultStatus.SUCCESS,
    Approval.APPROVE: ResultStatus.PENDING_APPROVAL,
    Approval.BLOCK: ResultStatus.BLOCKED,
}


def _flat(policy: object) -> Policy:
    if isinstance(policy, PolicyHierarchy):
        return policy.flatten()
    if not isinstance(policy, Policy):
        raise TypeError(f"policy must be a Policy or a PolicyHierarchy, got {policy!r}; load one with Policy.from_yaml(path)")
    return policy


def _describe_change(old: Policy, new: Policy, reason: str) -> Mapping[str, Any]:
    blocks = [rule for rule in old.rules if rule.approval is Approval.BLOCK]
    kept = {rule.digest for rule in new.rules}
    removed = [rule.name for rule in blocks if rule.digest not in kept]
    return {
        "reason": reason,
        "old_digest": old.digest,
        "new_digest": new.digest,
        "rules": len(new.rules),
        "sources": list(new.sources),
        "block_rules_removed": removed,
    }


def set_runtime(runtime: Runtime | None) -> None:
    """Make a runtime the one `@governed` functions of this process use where no `Runtime.activate` block says otherwise."""
    global _process_runtime  # noqa: PLW0603 - the one place of process-wide state, set by the program itself
    _process_runtime = runtime


def active_runtime() -> Runtime | None:
    """The runtime of the innermost `Runtime.activate` block, else the process's."""
    return _ACTIVE.get() or _process_runtime
