"""What people said to recorded calls, kind by kind: the evidence for rules that could say it as well."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aegis.core.policy import Approval
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis.core.policy import Policy
    from aegis.workbench.recorded import Judged

__all__ = ["Evidence", "History"]

_GROUPS = 2_000
"""Different kinds of calls that are told apart; of more, the first count."""
_SAMPLES = 5_000
"""Calls of a kind whose arguments are kept."""


@dataclass(slots=True)
class Evidence:
    """What people said to calls of one kind: one rule asking, one tool, one server, one set of arguments.

    Attributes:
        rule: The rule that asks, or ``<default>``.
        type: The tool.
        target: The server.
        names: The arguments' names, sorted.
        approved: Calls that somebody approved; ``denied``, that somebody denied; ``unanswered``, neither.
        first: When the first was made; ``last``, the last.
        approvers: Who approved, and how many.
        agents: The agents that called; ``users``, the users on whose behalf.
        hidden: Arguments that are masked or cut on the trail in some call.
        samples: The arguments of approved calls.
    """

    rule: str
    type: str
    target: str
    names: tuple[str, ...]
    approved: int = 0
    denied: int = 0
    unanswered: int = 0
    first: str = ""
    last: str = ""
    approvers: Counter[str] = field(default_factory=Counter[str])
    agents: set[str | None] = field(default_factory=set[str | None])
    users: set[str | None] = field(default_factory=set[str | None])
    hidden: set[str] = field(default_factory=set[str])
    samples: list[Mapping[str, Any]] = field(default_factory=list[Any])

    def add(self, judged: Judged) -> None:
        """Count one call."""
        entry = judged.entry
        self.first = self.first or entry["timestamp"]
        self.last = entry["timestamp"]
        if entry["human_decision"] == "approved":
            self.approved += 1
            self.approvers[entry["approver"] or "somebody"] += 1
            self.agents.add(entry["agent"])
            self.users.add(entry["user"])
            self.hidden.update(judged.hidden)
            if len(self.samples) < _SAMPLES:
                self.samples.append(entry["action_params"])
        elif entry["human_decision"] == "denied":
            self.denied += 1
        else:
            self.unanswered += 1

    @property
    def tool(self) -> str:
        """The tool and its server, fit for a terminal."""
        return visible(f"{self.type}@{self.target}")

    def said(self) -> str:
        """The numbers in words."""
        answers = self.approved + self.denied
        days = f"{self.first[:10]} to {self.last[:10]}"
        if self.approved:
            who = ", ".join(f"{visible(name)} ({count})" for name, count in self.approvers.most_common(3))
            return f"approved {self.approved} of {answers}, {days}, by {who}"
        return f"denied {self.denied} of {answers}, {days}"


@dataclass(slots=True)
class History:
    """What a trail says about the calls a policy asks about, and which of its rules were of use.

    Attributes:
        groups: What people said, by kind of call.
        used: Rules that decided a call, or may have.
        calls: Calls looked at.
    """

    groups: dict[tuple[str, str, str, tuple[str, ...]], Evidence] = field(default_factory=dict[Any, Evidence])
    used: set[str] = field(default_factory=set[str])
    calls: int = 0

    def add(self, judged: Judged, policy: Policy) -> None:
        """Learn from one call, as the policy judges it."""
        self.calls += 1
        entry, decision = judged.entry, judged.decision
        if not judged.sure:
            who = (entry["action_type"], entry["action_target"], entry["agent"], entry["user"])
            # Any rule that could concern the call may have decided it.
            self.used.update(rule.name for layer in policy.layers for rule, _ in layer.concerned(who))
            return
        self.used.add(decision.matched_rule)
        asked_both_times = decision.approval is Approval.APPROVE and judged.recorded is Approval.APPROVE
        if decision.floors or not asked_both_times or not isinstance(entry["action_params"], dict):
            return
        names = tuple(sorted(entry["action_params"]))
        key = (decision.matched_rule, entry["action_type"], entry["action_target"], names)
        evidence = self.groups.get(key)
        if evidence is None:
            if len(self.groups) >= _GROUPS:
                return
            evidence = self.groups[key] = Evidence(*key)
        evidence.add(judged)
