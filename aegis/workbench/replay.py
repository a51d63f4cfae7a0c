"""A trail under another policy: which calls would have gone another way, counted as they are read."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from aegis.core.policy import Approval
from aegis.workbench.recorded import Judge
from aegis_core.audit.filters import Filters, moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis.core.policy import Policy
    from aegis.runtime.audit import AuditLogger
    from aegis.workbench.recorded import Judged

__all__ = ["NOW", "Replay", "RuleTally", "judge_calls", "replay"]

NOW = {Approval.BLOCK: "blocked", Approval.APPROVE: "asked", Approval.AUTO: "free"}
"""What a call whose decision changed would be now."""


@dataclass(slots=True)
class RuleTally:
    """What one rule of the new policy does to the calls it decides.

    Attributes:
        calls: Calls it decides, or would at the strictest.
        blocked: Calls that it would block and that were not blocked. Likewise ``asked`` and ``free``.
        unsure: Calls of which the trail does not say enough.
    """

    calls: int = 0
    blocked: int = 0
    asked: int = 0
    free: int = 0
    unsure: int = 0


@dataclass(slots=True)
class Replay:
    """The sums. Bounded, however long the trail.

    Attributes:
        shown: How many calls of each kind of change are kept as examples.
        calls: Calls judged.
        first: When the first of them was made; ``last``, the last.
        unchanged: Calls that would certainly be decided alike.
        unsure: Calls of which the trail does not say enough.
        moves: Calls that would certainly be decided otherwise, by what was decided and what would be.
        asked_then: Calls that asked a person.
        asked_now: Calls that certainly would.
        asked_perhaps: Calls that might: the trail does not say.
        free_though_denied: Calls a person said no to, that would now run unasked.
        blocked_though_approved: Calls a person said yes to, that would now be blocked.
        rules: By rule of the new policy, what it changes.
        examples: Per kind of change, the first calls.
    """

    shown: int = 10
    calls: int = 0
    first: str | None = None
    last: str | None = None
    unchanged: int = 0
    unsure: int = 0
    moves: Counter[tuple[Approval, Approval]] = field(default_factory=Counter[tuple[Approval, Approval]])
    asked_then: int = 0
    asked_now: int = 0
    asked_perhaps: int = 0
    free_though_denied: int = 0
    blocked_though_approved: int = 0
    rules: dict[str, RuleTally] = field(default_factory=lambda: defaultdict(RuleTally))
    examples: dict[str, list[Judged]] = field(default_factory=lambda: defaultdict(list))

    def add(self, judged: Judged) -> None:
        """Count one call."""
        entry, then, decision = judged.entry, judged.recorded, judged.decision
        self.calls += 1
        self.first = self.first or entry["timestamp"]
        self.last = entry["timestamp"]
        self.asked_then += then is Approval.APPROVE
        tally = self.rules[decision.matched_rule]
        tally.calls += 1
        if not judged.sure:
            self.unsure += 1
            tally.unsure += 1
            self.asked_perhaps += Approval.APPROVE in judged.possible
            self._keep("unsure", judged)
            return
        now = decision.approval
        self.asked_now += now is Approval.APPROVE
        if now is then:
            self.unchanged += 1
            return
        self.moves[then, now] += 1
        word = NOW[now]
        setattr(tally, word, getattr(tally, word) + 1)
        human = entry["human_decision"]
        self.free_though_denied += human == "denied" and now is Approval.AUTO
        self.blocked_though_approved += human == "approved" and now is Approval.BLOCK
        self._keep(word, judged)

    def _keep(self, kind: str, judged: Judged) -> None:
        if len(self.examples[kind]) < self.shown:
            self.examples[kind].append(judged)

    def now(self, approval: Approval) -> int:
        """How many calls would certainly come to this, that did not."""
        return sum(count for (_, now), count in self.moves.items() if now is approval)


def replay(trail: AuditLogger, policy: Policy, filters: Filters, *, shown: int = 10) -> Replay:
    """Judge the calls of a trail under a policy.

    Args:
        trail: The trail.
        policy: The policy.
        filters: Which calls to count.
        shown: How many calls of each kind of change to keep as examples.

    Raises:
        AuditError: The trail cannot be read.
    """
    sums = Replay(shown)
    for judged in judge_calls(trail, policy, filters):
        sums.add(judged)
    return sums


def judge_calls(trail: AuditLogger, policy: Policy, filters: Filters) -> Iterator[Judged]:
    """Judge calls of a trail one after another, oldest first. Reads no more of it than it must."""
    if not policy.needs.session:
        yield from Judge(policy).judge_all(_entries(trail, filters))
        return
    # What was called before in a session matters: every call is judged, and those that are asked for are counted.
    cut = any(event["event"] == "cut" for event in trail.reader.events(Filters()))
    judge = Judge(policy, whole=not cut)
    for entry in _entries(trail, Filters(until=filters.until)):
        judged = judge.judge(entry)
        if filters.accepts(entry, moment(entry["timestamp"])):
            yield judged


def _entries(trail: AuditLogger, filters: Filters) -> Iterator[dict[str, Any]]:
    for chunk in trail.chunks(**asdict(filters)):
        yield from chunk
