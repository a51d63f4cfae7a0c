"""The Runtime: one policy, one trail, one way to ask; every door governs its calls through it."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, Self

from aegis_core.action import Action
from aegis_core.call import ending, governed_call
from aegis_core.decision import Approval, Decision, RiskLevel
from aegis_core.drive import Call, adrive, drive
from aegis_core.enclosing import ENCLOSING, Enclosing, Split
from aegis_core.errors import PolicyError, Problem
from aegis_core.perform import aperform, perform
from aegis_core.policy.hierarchy import PolicyHierarchy
from aegis_core.policy.policy import Policy
from aegis_core.record import Event, Intent, new_id
from aegis_core.result import Result, ResultStatus, result_of
from aegis_core.session import Session, Sessions
from aegis_core.snapshot import FrozenDict, canonical
from aegis_core.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from aegis_core.approval.asking import ApprovalHandler
    from aegis_core.call import Outcome
    from aegis_core.drive import World
    from aegis_core.executor import BaseExecutor
    from aegis_core.perform import Tool
    from aegis_core.record import BudgetExhausted, Record, Sink
    from aegis_core.redact import Redactor
    from aegis_core.request import ApprovalAnswer, ApprovalRequest

__all__ = ["Runtime", "active_runtime", "set_runtime"]

_log = logging.getLogger("aegis")
_ACTIVE: ContextVar[Runtime | None] = ContextVar("aegis_active_runtime", default=None)
_SESSIONS: ContextVar[Mapping[Runtime, Session] | None] = ContextVar("aegis_sessions", default=None)
_process_runtime: Runtime | None = None


class Runtime:
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
        _check_timeout(approval_timeout)
        _check_object("executor", executor, "execute", "a BaseExecutor")
        _check_object(
            "approval_handler", approval_handler, "ask", "an ApprovalHandler, e.g. CallbackApprovalHandler(fn)"
        )
        for name, text in (("session_id", session_id), ("agent", agent), ("user", user)):
            _check_text(name, text)
        if approval_handler is None:
            from aegis_core.approval.terminal import TerminalApprovalHandler  # noqa: PLC0415 - for the default

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
        self._trail.redactor = self._policy.needs.redactor
        self._sessions = Sessions()
        self._unable_doors: list[str] = []

    # --- governing ---

    def run(
        self,
        action: Action,
        tool: Tool | None = None,
        *,
        can_edit: bool = True,
        approval_handler: ApprovalHandler | None = None,
    ) -> Result:
        """Govern one call.

        Args:
            action: The call.
            tool: Takes a fresh dict of the judged arguments and does the work. Default: the executor runs the action.
            can_edit: Whether ``tool`` does as the arguments it is given say, also where an approver edited them.
            approval_handler: Asks for this call in place of the runtime's own: a framework's way to pause for a person.

        Returns:
            How it ended, also where it was refused or the tool raised.

        Raises:
            AuditError: The call could not be written down, so it was not run.
        """
        action = self._complete(action)
        function = getattr(tool, "aegis_function", None)
        outer = ENCLOSING.get()
        if outer is not None and self._joins(outer, action, function):
            return _joined(outer.intent, action, perform(action, tool, executor=self.executor))

        def run_tool(intent: Intent) -> Outcome:
            enclosing = Enclosing(self, intent, function, session=self._session())
            return perform(intent.action, tool, executor=self.executor, enclosing=enclosing)

        call = governed_call(new_id(), action, self, can_edit=can_edit)
        return drive(call, self._world(approval_handler), run_tool)

    async def arun(
        self,
        action: Action,
        tool: Tool | None = None,
        *,
        can_edit: bool = True,
        approval_handler: ApprovalHandler | None = None,
    ) -> Result:
        """`run` from a coroutine. ``tool`` may be async, or return an awaitable; a sync tool runs on the event loop."""
        action = self._complete(action)
        function = getattr(tool, "aegis_function", None)
        outer = ENCLOSING.get()
        if outer is not None and self._joins(outer, action, function):
            return _joined(outer.intent, action, await aperform(action, tool, executor=self.executor))

        async def run_tool(intent: Intent) -> Outcome:
            enclosing = Enclosing(self, intent, function, session=self._session())
            return await aperform(intent.action, tool, executor=self.executor, enclosing=enclosing)

        call = governed_call(new_id(), action, self, can_edit=can_edit)
        return await adrive(call, self._world(approval_handler), run_tool)

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

        Raises:
            PolicyError: If it has result rules and an integration is in use that cannot apply them.
        """
        old, new = self._policy, _flat(policy)
        for door in self._unable_doors:
            _refuse_result_rules(new, door)
        self._policy = new
        self._trail.redactor = new.needs.redactor
        if new.needs.listening != old.needs.listening:
            self._sessions.lose_track()
        self._trail.write(Event("policy_reloaded", data=_describe_change(old, new, reason)))

    def record(self, event: Event) -> None:
        """Put an event beside the calls on the trail."""
        self._trail.write(event)

    @contextmanager
    def session(self, id: str, *, agent: str | None = None, user: str | None = None) -> Generator[Session]:  # noqa: A002
        """Within the block, this runtime's calls belong to this session and, by default, to this agent and user."""
        for name, text in (("agent", agent), ("user", user)):
            _check_text(name, text)
        if type(id) is not str:
            raise TypeError(f"a session's id must be a string, got {id!r}")
        entered = Session(
            id,
            agent if agent is not None else self.agent,
            user if user is not None else self.user,
            tell_text=self._sessions.add_user_text,
            tell_result=self._tell_result,
        )
        token = _SESSIONS.set({**(_SESSIONS.get() or {}), self: entered})
        try:
            yield entered
        finally:
            _SESSIONS.reset(token)

    def declare_unable_to_alter_results(self, door: str) -> None:
        """An integration that sees results but cannot change them says so when it is made.

        Args:
            door: Its name, for the message.

        Raises:
            PolicyError: If the policy has ``results``: they could not be kept. So does `update_policy` from now on.
        """
        _refuse_result_rules(self._policy, door)
        self._unable_doors.append(door)

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

    # --- what a governed call asks of its surroundings (call.Terms, drive.World) ---

    def judge(self, action: Action) -> tuple[Decision, str]:
        """The decision by the policy in force now, and that policy's digest. A policy that fails to answer blocks."""
        policy = self._policy
        try:
            session = self._sessions.get(action.session_id) if policy.needs.session and action.session_id else None
            return policy.evaluate(action, session=session), policy.digest
        except Exception as error:  # noqa: BLE001 - doubt means no
            _log.critical("evaluating the policy failed; the call is blocked", exc_info=True)
            reason = f"blocked: the policy could not be evaluated ({type(error).__name__})"
            return Decision(Approval.BLOCK, RiskLevel.CRITICAL, "<error>", reason), policy.digest

    def bind(self, action: Action, decision: Decision) -> str:
        """What a yes to this action, asked for by these rules, binds to."""
        return self._trail.digest(canonical((*action.names, action.params, decision.rules_digest)))

    @property
    def redactor(self) -> Redactor | None:
        """Masks secrets as the policy in force wants it; None where it adds nothing to the default."""
        return self._policy.needs.redactor

    @property
    def recalls(self) -> bool:
        """Whether the policy in force asks what was begun in a session."""
        return self._policy.needs.history

    def exhausted(self, budget: BudgetExhausted) -> None:
        """Remember that a budget is used up, so that its rule does not open until a unit is free again."""
        self._sessions.exhausted(budget)

    def screen(self, action: Action, value: Any) -> tuple[Any, tuple[str, ...]]:
        """What the policy's result rules leave of what a tool returned. A rule that fails withholds it."""
        rules = self._policy.needs.results
        if not rules:
            return value, ()
        from aegis_core.policy.results import screen, withheld  # noqa: PLC0415 - for result rules

        try:
            screened, changes = screen(rules, action, value)
        except Exception as error:  # noqa: BLE001 - doubt means no
            _log.critical("applying the result rules failed; the result is withheld", exc_info=True)
            screened, changes = withheld(action, value, f"a result rule failed ({type(error).__name__})"), ("<error>",)
        return screened if self.enforced else value, changes

    def learn(self, action: Action, value: Any) -> None:
        """Remember what a tool that the policy may trust returned in a session."""
        needs = self._policy.needs
        if not needs.listening or action.session_id is None or not needs.may_trust(action.type, action.target):
            return
        try:
            self._sessions.add_result(action.session_id, action.type, action.target, value, given=action.params)
        except Exception:  # noqa: BLE001 - what was not heard is doubt; the effect has happened and the caller gets it
            _log.critical("a result could not be taken note of", exc_info=True)
            self._sessions.lose_track()

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """Put a request to a person and wait."""
        from aegis_core.approval.asking import ask  # noqa: PLC0415 - loads threads and event loops

        return ask(self.approval_handler, request)  # type: ignore[no-any-return]

    async def aask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """`ask` from a coroutine."""
        from aegis_core.approval.asking import aask  # noqa: PLC0415 - loads threads and event loops

        return await aask(self.approval_handler, request)  # type: ignore[no-any-return]

    def write(self, record: Record) -> None:
        """Write a record down."""
        self._trail.write(record)
        if self._policy.needs.history and isinstance(record, Intent):
            self._sessions.begun(record.action)

    async def awrite(self, record: Record) -> None:
        """`write` from a coroutine."""
        await self._trail.awrite(record)
        if self._policy.needs.history and isinstance(record, Intent):
            self._sessions.begun(record.action)

    def recall(self, session_id: str) -> None:
        """Learn which calls were begun in a session, here or elsewhere, from the trail."""
        changes = self._trail.changes()
        if self._sessions.behind(session_id, changes):
            self._sessions.catch_up(session_id, self._trail, changes)

    async def arecall(self, session_id: str) -> None:
        """`recall` from a coroutine."""
        changes = self._trail.changes()
        if self._sessions.behind(session_id, changes):
            import asyncio  # noqa: PLC0415 - for policies that ask what was begun before

            await asyncio.to_thread(self._sessions.catch_up, session_id, self._trail, changes)

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

    def _joins(self, outer: Enclosing, action: Action, function: object) -> bool:
        """Whether this is the enclosing call being made again by the code it runs, asking for nothing more."""
        return outer.repeats(self, action, function) and outer.covers(self.judge(action)[0]) and outer.join()

    def _world(self, approval_handler: ApprovalHandler | None) -> World:
        return self if approval_handler is None else _AskingThrough(approval_handler, self)

    def _call(self, action: Action, approval_handler: ApprovalHandler | None, *, can_edit: bool) -> Call:
        call_id, action = new_id(), self._complete(action)
        generator = governed_call(call_id, action, self, can_edit=can_edit)
        return Call(call_id, action, generator, self._world(approval_handler))

    def _begun(self, call: Call) -> Call:
        intent = call.intent
        if intent is not None:
            ENCLOSING.set(Split(self, call, intent, session=self._session()))
        return call


class _AskingThrough:
    """A runtime's world, but for who puts the approval requests to people."""

    def __init__(self, approval_handler: ApprovalHandler, runtime: Runtime) -> None:
        self._handler = approval_handler
        self.write = runtime.write
        self.awrite = runtime.awrite
        self.recall = runtime.recall
        self.arecall = runtime.arecall

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        from aegis_core.approval.asking import ask  # noqa: PLC0415 - loads threads and event loops

        return ask(self._handler, request)  # type: ignore[no-any-return]

    async def aask(self, request: ApprovalRequest) -> ApprovalAnswer:
        from aegis_core.approval.asking import aask  # noqa: PLC0415 - loads threads and event loops

        return await aask(self._handler, request)  # type: ignore[no-any-return]


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


def _check_text(name: str, value: object) -> None:
    if value is not None and type(value) is not str:
        raise TypeError(f"{name} must be a string or None, got {value!r}")


def _check_timeout(seconds: object) -> None:
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"approval_timeout must be a number of seconds or None, got {seconds!r}")
    if not seconds > 0:
        raise ValueError(f"approval_timeout must be a positive number of seconds or None, got {seconds!r}")


def _check_object(name: str, value: object, method: str, what: str) -> None:
    if isinstance(value, type) and callable(getattr(value, method, None)):
        raise TypeError(f"{name} must be {what}, got the class itself: {value.__name__}(...) makes one")
    if value is not None and not callable(getattr(value, method, None)):
        raise TypeError(f"{name} must be {what}, which has a method {method!r}; got {value!r}")


def _flat(policy: object) -> Policy:
    if isinstance(policy, PolicyHierarchy):
        return policy.flatten()
    if not isinstance(policy, Policy):
        raise TypeError(
            f"policy must be a Policy or a PolicyHierarchy, got {policy!r}; load one with Policy.from_yaml(path)"
        )
    return policy


def _refuse_result_rules(policy: Policy, door: str) -> None:
    if policy.needs.results:
        raise PolicyError(
            [
                Problem(
                    f"{door} cannot alter what tools return, so result rule {rule.name!r} could not be kept; "
                    "wrap the tools instead, or remove the rule",
                    ", ".join(policy.sources),
                    rule=rule.name,
                )
                for rule in policy.needs.results
            ]
        )


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
    """Make a runtime the one that `@governed` functions of this process use outside of `Runtime.activate` blocks."""
    global _process_runtime  # noqa: PLW0603 - the one place of process-wide state, set by the program itself
    _process_runtime = runtime


def active_runtime() -> Runtime | None:
    """The runtime of the innermost `Runtime.activate` block, else the process's."""
    return _ACTIVE.get() or _process_runtime
