"""Two policies over the calls of an audit trail: which of them would now go another way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aegis.workbench.edits import align
from aegis.workbench.recorded import Judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aegis.core.policy import Policy
    from aegis.workbench.recorded import Judged

__all__ = ["Crossing", "cross"]


@dataclass
class Crossing:
    """What was found on a trail.

    Attributes:
        calls: Calls looked at.
        same: Calls that both policies decide alike.
        unsure: Calls of which the trail does not know enough.
        moved: Calls that go another way, counted by what both policies say and which rules decide.
        shown: The first call of each kind, by its id on the trail.
    """

    calls: int = 0
    same: int = 0
    unsure: int = 0
    moved: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    shown: dict[tuple[str, str, str, str], Mapping[str, Any]] = field(default_factory=dict)


def cross(old: Policy, new: Policy, entries: Iterable[Mapping[str, Any]], *, whole: bool = True) -> Crossing:
    """Judge every recorded call by both policies.

    Args:
        old: The one policy.
        new: The other.
        entries: Calls as the trail shows them, oldest first.
        whole: Whether they begin where the trail does.
    """
    judges = Judge(old, whole=whole), Judge(new, whole=whole)
    touched = _Touched(old, new)
    found = Crossing()
    for entry in entries:
        found.calls += 1
        before, after = (judge.judge(entry) for judge in judges)
        if before.sure and after.sure:
            if before.decision.approval is after.decision.approval:
                found.same += 1
            else:
                one, other = before.decision, after.decision
                kind = (one.approval.value, other.approval.value, one.matched_rule, other.matched_rule)
                found.moved[kind] += 1
                found.shown.setdefault(kind, entry)
        elif touched.by_changes(before):
            found.unsure += 1
        else:
            found.same += 1
    return found


class _Touched:
    """Whether anything that changed between two policies has to do with a call."""

    def __init__(self, old: Policy, new: Policy) -> None:
        alignment = align(old, new)
        self._layers = (old.layers[0], new.layers[0])
        self._changed = [{s.rule.name for s in side.rules if not s.stayed} for side in (alignment.old, alignment.new)]
        for one, other in alignment.stayed:
            pair = alignment.old.rules[one].rule, alignment.new.rules[other].rule
            if pair[0].document.conditions != pair[1].document.conditions:
                self._changed[0].add(pair[0].name)
                self._changed[1].add(pair[1].name)
        self._default = alignment.old.default.approval is not alignment.new.default.approval

    def by_changes(self, judged: Judged) -> bool:
        """Whether a rule that changed may be about a call, or its answer may be the default's."""
        entry = judged.entry
        names = (entry["action_type"], entry["action_target"], entry["agent"], entry["user"])
        if self._default or any(name in judged.hidden for name in names):
            return True
        return any(
            rule.name in changed
            for layer, changed in zip(self._layers, self._changed, strict=True)
            for rule, _ in layer.concerned(names)
        )
