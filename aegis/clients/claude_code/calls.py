"""Governs a call of which a hook event says that it is about to be made: decided and written down, then answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis.clients.claude_code.event import readings
from aegis.clients.claude_code.rules import writable
from aegis_core.action import Action
from aegis_core.audit.sqlite import AuditLogger
from aegis_core.call import Ask, Execute, Outcome, Recall, governed_call
from aegis_core.decision import Approval, Caution
from aegis_core.errors import AegisError
from aegis_core.policy.policy import Policy
from aegis_core.record import Intent, now_us
from aegis_core.result import Result
from aegis_core.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Generator

    from aegis.clients.claude_code.event import Event
    from aegis.clients.claude_code.hook import Options
    from aegis_core.call import Step
    from aegis_core.request import ApprovalAnswer, ApprovalRequest

__all__ = ["judge"]

HOLD = 40.0
"""Seconds a call waits for an answer from the queue."""


def judge(options: Options, event: Event) -> bytes:
    """Judge a call that is about to be made, and write it down.

    Args:
        options: The command line.
        event: A PreToolUse event.

    Returns:
        What belongs on standard output; nothing means no opinion.

    Raises:
        AegisError: The call must not run.
    """
    policy = Policy.from_yaml(Path(options.policy))
    within = writable(policy, options.db, event, agent=options.agent, user=options.user or None)
    if within and not options.allow_writable_policy:
        raise AegisError(
            f"the policy lets {within[0]} change {within[1]}, which governs it: add a rule that blocks or asks, "
            "or run the hook with --allow-writable-policy (which goes on record)"
        )
    with AuditLogger(options.db) as trail:
        decision, reason = _decide(options, event, policy, trail, open_to_it=bool(within))
    if decision is None:
        return b""
    said = {"hookEventName": "PreToolUse", "permissionDecision": decision, "permissionDecisionReason": reason}
    return json.dumps({"hookSpecificOutput": said}).encode() + b"\n"


def _decide(
    options: Options, event: Event, policy: Policy, trail: AuditLogger, *, open_to_it: bool
) -> tuple[str | None, str]:
    """The client's word for the decision, which is on record by then, and the reason; None for no opinion."""
    runtime = Runtime(
        policy=policy,
        audit_logger=trail,
        approval_handler=_queue(trail) if options.queue else _NobodyHere(),
        approval_timeout=None,
        mode="observe" if options.observe else "enforce",
    )
    runtime.declare_unable_to_alter_results("aegis hook claude-code")
    labels = {**event.facts, **({"writable_policy": "allowed"} if open_to_it else {})}
    actions = [
        Action(
            kind, target, event.arguments,
            agent=options.agent, user=options.user or None, session_id=event.session, labels=labels,
        )
        for kind, target in readings(event.tool)
    ]  # fmt: skip
    call = governed_call(
        event.call_id(trail.digest),
        actions[0],
        runtime,
        can_edit=False,
        caution=None if len(actions) == 1 else lambda: _strictest(runtime, actions[1:]),
    )
    asked = _drive(call, runtime, ask_here=not options.queue)
    if isinstance(asked, Result):
        return "deny", asked.error or "blocked by Aegis"
    if asked.decision.approval is Approval.APPROVE and asked.answer is None and runtime.enforced:
        return "ask", f"Aegis: {asked.decision.reason}"
    return ("allow", f"Aegis: {asked.decision.reason}") if options.allow and runtime.enforced else (None, "")


def _drive(call: Generator[Step, Outcome, Result], runtime: Runtime, *, ask_here: bool) -> Intent | Result:
    """Take a call to the point where its tool may run, or to its refusal.

    Where the client asks its user, the intent goes on record without an answer: whether the call ran, and so what the
    user said, its outcome will tell.
    """
    step = next(call)
    while True:
        if isinstance(step, Execute):
            return step.intent
        if isinstance(step, Ask) and ask_here:
            asked = step.request
            intent = Intent(
                asked.call_id, now_us(), asked.action, asked.decision, asked.policy_digest, runtime.enforced
            )
            runtime.write(intent)
            return intent
        try:
            outcome = Outcome(_perform(step, runtime))
        except Exception as error:  # noqa: BLE001 - every error is an outcome; the call decides what it means
            outcome = Outcome(None, error)
        try:
            step = call.send(outcome)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]


def _perform(step: Step, runtime: Runtime) -> Any:
    if isinstance(step, Ask):
        return runtime.ask(step.request)
    if isinstance(step, Recall):
        return runtime.recall(step.session_id)
    assert not isinstance(step, Execute)
    return runtime.write(step)


def _strictest(runtime: Runtime, others: list[Action]) -> Caution:
    """What the policy says if the tool's name means something else."""
    decisions = [runtime.judge(action)[0] for action in others]
    worst = max(decisions, key=lambda decision: decision.approval.strictness)
    risk = max(decision.risk_level for decision in decisions)
    return Caution("<name>", worst.approval, risk, f"{worst.reason} (the name can be read so)", worst.rules_digest)


class _NobodyHere:
    """Stands where a handler must: the client asks its own user."""

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        return request.deny(reason="the client asks its user")


def _queue(trail: AuditLogger) -> Any:
    from aegis_core.approval.queue import QueueApprovalHandler  # noqa: PLC0415 - loads event loops

    return QueueApprovalHandler(trail, wait=HOLD)
