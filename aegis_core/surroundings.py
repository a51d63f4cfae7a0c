"""What a governed call asks of its surroundings: the policy in force, the trail, and who asks people.

`call.Terms` and `drive.World` say what that is; a `Runtime` is these surroundings and the doors into them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis_core.decision import Approval, Decision, RiskLevel
from aegis_core.errors import PolicyError, Problem
from aegis_core.log import logger
from aegis_core.policy.hierarchy import PolicyHierarchy
from aegis_core.policy.policy import Policy
from aegis_core.record import Event, Intent
from aegis_core.redact import REDACTOR
from aegis_core.session import Sessions
from aegis_core.snapshot import canonical
from aegis_core.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aegis_core.action import Action
    from aegis_core.approval.asking import ApprovalHandler
    from aegis_core.record import BudgetExhausted, Record, Sink
    from aegis_core.redact import Redactor
    from aegis_core.request import ApprovalAnswer, ApprovalRequest

__all__ = ["AskingThrough", "Surroundings"]

_log = logger("aegis")


class Surroundings:
    """What calls are governed in.

    Args:
        policy: The policy in force.
        approval_handler: Asks people.
        audit_logger: Where calls are written down: the authority, and mirrors.
        approval_timeout: Seconds a call waits for a person; None as long as the request lives.
        enforced: False to decide and record only.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a value is out of range.
    """

    request_lifetime = 3600.0
    """Seconds after which an answer to a request is refused, and so is a yes that was never used."""

    def __init__(
        self,
        policy: Policy | PolicyHierarchy,
        approval_handler: ApprovalHandler,
        *,
        audit_logger: Sink | Sequence[Sink] | None,
        approval_timeout: float | None,
        enforced: bool,
    ) -> None:
        self._policy = _flat(policy)
        _check_timeout(approval_timeout)
        self.approval_handler = approval_handler
        self.approval_timeout = approval_timeout
        self.enforced = enforced
        self._trail = Trail(audit_logger)
        _check_store(approval_handler, self._trail)
        self._trail.redactor = self._policy.needs.redactor
        self._sessions = Sessions()
        self._unable_doors: list[str] = []

    # --- the policy in force ---

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

    def declare_unable_to_alter_results(self, door: str) -> None:
        """An integration that sees results but cannot change them says so when it is made.

        Args:
            door: Its name, for the message.

        Raises:
            PolicyError: If the policy has ``results``: they could not be kept. So does `update_policy` from now on.
        """
        _refuse_result_rules(self._policy, door)
        self._unable_doors.append(door)

    # --- what a call asks (call.Terms) ---

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
    def redactor(self) -> Redactor:
        """Masks secrets for people who are asked, as the policy in force wants it, with the trail's keyed digests."""
        return (self._policy.needs.redactor or REDACTOR).marked(self._trail.digest)

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

    # --- what its steps do to the world (drive.World) ---

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


class AskingThrough:
    """The same world, but for who puts the approval requests to people.

    Args:
        approval_handler: Puts them.
        surroundings: Everything else.
    """

    def __init__(self, approval_handler: ApprovalHandler, surroundings: Surroundings) -> None:
        self._handler = approval_handler
        self.write = surroundings.write
        self.awrite = surroundings.awrite
        self.recall = surroundings.recall
        self.arecall = surroundings.arecall

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """Put a request to a person and wait."""
        from aegis_core.approval.asking import ask  # noqa: PLC0415 - loads threads and event loops

        return ask(self._handler, request)  # type: ignore[no-any-return]

    async def aask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """`ask` from a coroutine."""
        from aegis_core.approval.asking import aask  # noqa: PLC0415 - loads threads and event loops

        return await aask(self._handler, request)  # type: ignore[no-any-return]


def _check_timeout(seconds: object) -> None:
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"approval_timeout must be a number of seconds or None, got {seconds!r}")
    if not seconds > 0:
        raise ValueError(f"approval_timeout must be a positive number of seconds or None, got {seconds!r}")


def _check_store(handler: ApprovalHandler, trail: Trail) -> None:
    """A yes is used up in the transaction that writes the intent: it must lie where the intent is written."""
    store = getattr(handler, "store", None)
    if store is not None and not trail.is_authority(store):
        name = type(handler).__name__
        raise ValueError(
            f"{name} files its requests in another place than this runtime's trail, so that its approvals could not be"
            f" used up; give both the same, Runtime(audit_logger=trail, approval_handler={name}(trail, ...)), and where"
            " audit_logger is a list, the trail comes first"
        )


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
