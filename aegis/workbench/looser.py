"""Whether a policy is anywhere less strict than another: shown by a call, proven not to be, or not known.

The proof rests on this. Turn one list of rules into the other step by step: first add what came, then remove what
went. Adding a rule loosens a call only if the rule is certain about it and does not block; removing one, only if the
rule may be about it and does not let it run. So only calls of such rules need be looked at, and of those, only where
another rule does not make up for it:

- a rule that came, and is certain only about calls of which an older rule before it is certain, changes nothing yet;
- a rule that went is not missed where a rule before it is as strict, and in doubt or certain wherever it was.

The rest is tried out cell by cell on both lists. Rules that are merely in doubt about a cell weigh on both lists alike,
unless only one of them gets as far as that rule.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from aegis.core.policy import Approval
from aegis.workbench.cells import answered, cells, follows
from aegis.workbench.examples import called, doubtful_names, show
from aegis.workbench.languages import TooLarge, is_literal, ordinary
from aegis.workbench.reach import covers, covers_doubt
from aegis_core.policy.globs import match_any, parse_glob

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis.workbench.atoms import Atom
    from aegis.workbench.cells import Answered
    from aegis.workbench.edits import Alignment, Side, Standing
    from aegis.workbench.examples import Call, Example
    from aegis.workbench.reach import Reach
    from aegis_core.policy.conditions.truth import Truth

__all__ = ["Answer", "Loosened", "loosened"]

_MOST_RULES = 14
"""Rules that are looked at together."""
_MOST_TRIES = 150
"""Calls that are tried for one rule."""
_MOST_DOUBTS = 400
"""Rules that are asked whether they may be in doubt."""


class Loosened(NamedTuple):
    """What is known of the calls of one rule that came or went, or of the defaults.

    Attributes:
        standing: The rule; None for the defaults.
        example: A call that is decided less strictly, or None: there may be one, and none was found.
        why: Why it is not known; empty where there is an example.
        came: Whether the rule came; else it went.
    """

    standing: Standing | None
    example: Example | None
    why: str = ""
    came: bool = False


class Answer(NamedTuple):
    """How a list of rules answers calls of a cell, as far as its rules are certain about them.

    Attributes:
        approval: The answer.
        merged: Where the deciding rule stands in both lists put together; infinity for the defaults.
    """

    approval: Approval
    merged: float


def loosened(alignment: Alignment) -> Iterator[Loosened]:
    """Everything by which the new policy is, or may be, less strict than the old one about some call."""
    old, new, _ = alignment
    search = _Search(old, new)
    for standing in new.rules:
        if not standing.stayed and standing.rule.approval is not Approval.BLOCK:
            yield from search.of_rule_that_came(standing)
    for standing in old.rules:
        if not standing.stayed and standing.rule.approval is not Approval.AUTO:
            yield from search.of_rule_that_went(standing)
    if new.default.approval.strictness < old.default.approval.strictness:
        yield from search.of_defaults()


class _Search:
    """Looks for calls about which one list is less strict than another."""

    def __init__(self, old: Side, new: Side) -> None:
        self._old = old
        self._new = new
        self._gone = [s for s in old.rules if not s.stayed and s.rule.approval is not Approval.AUTO]
        self._kept = [s for s in old.rules if s.stayed and s.rule.approval is not Approval.AUTO]
        self._tries = 0

    # --- the three ways of loosening -----------------------------------------------------------------------------

    def of_rule_that_came(self, standing: Standing) -> Iterator[Loosened]:
        """A rule that came, about the calls of which it is certain."""
        for other in self._meeting(self._old, standing.reach) or ():
            earlier = other.merged < standing.merged
            if earlier and covers(other.reach, standing.reach) and follows(standing.atoms, other.atoms):
                return
        found = self._certain_calls(standing)
        if found is not None:
            yield Loosened(standing, *found, came=True)

    def of_rule_that_went(self, standing: Standing) -> Iterator[Loosened]:
        """A rule that went, about the calls of which it was certain, or in doubt."""
        if self._is_made_up_for(standing):
            return
        found = self._certain_calls(standing)
        if found is None:
            found = self._doubtful_calls(standing)
        elif found[0] is None:
            shown = self._doubtful_calls(standing)
            found = shown if shown is not None and shown[0] is not None else found
        if found is not None:
            yield Loosened(standing, *found)

    def of_defaults(self) -> Iterator[Loosened]:
        """The defaults, about calls that no rule decides."""
        for number in range(20):
            name = (
                "some_tool"
                if not number
                else f"some_tool_{number}"
                if number % 2
                else f"{'xyzqjkvwu'[number // 2 - 1]}_tool"
            )
            example = self._tried(called((name, "some_server", None, None), ()))
            if example is not None:
                yield Loosened(None, example)
                return
        everything = [s for s in self._new.rules if not s.atoms and all(axis == ("*",) for axis in s.reach)]
        if not everything:
            yield Loosened(None, None, "no call was found that no rule decides, and there may be one")

    # --- what makes up for a rule --------------------------------------------------------------------------------

    def _meeting(self, side: Side, reach: Reach) -> list[Standing] | None:
        places = side.index.meeting(reach)
        return None if places is None else [side.rules[place] for place in places]

    def _is_made_up_for(self, gone: Standing) -> bool:
        for other in self._meeting(self._new, gone.reach) or ():
            if (
                other.merged < gone.merged
                and other.rule.approval.strictness >= gone.rule.approval.strictness
                and covers_doubt(other.reach, gone.reach)
                and follows(gone.atoms, other.atoms, doubt=True)
            ):
                return True
        return False

    # --- calls of which a rule is certain ------------------------------------------------------------------------

    def _certain_calls(self, standing: Standing) -> tuple[Example | None, str] | None:
        """A call that a rule is certain about and that is loosened; None if there certainly is none."""
        self._tries = 0
        sides = [self._meeting(side, standing.reach) for side in (self._old, self._new)]
        if sides[0] is None or sides[1] is None:
            return self._ordinary_call(standing, ()), "more rules meet it than are looked at together"
        before, after = (_up_to_cover(side, standing.reach) for side in sides if side is not None)
        near = list({s.key: s for s in (*before, *after)}.values())
        example = self._ordinary_call(standing, near[:_MOST_RULES])
        if example is not None:
            return example, ""
        if len(near) > _MOST_RULES:
            return None, "more rules meet it than are looked at together"
        try:
            return self._cell_by_cell(standing, near, before, after)
        except TooLarge:
            return None, "its conditions, and those of rules it meets, have too many cases"

    def _ordinary_call(self, standing: Standing, near: Sequence[Standing]) -> Example | None:
        """A call with values that its conditions, and those of rules it meets, speak of, if one shows something."""
        kind, target, agent, user = (None if axis == ("*",) else ordinary(axis[0]) for axis in standing.reach)
        names = (kind or "some_tool", target or "some_server", agent, user)
        for other in (standing, *near):
            try:
                for answers in itertools.islice(answered((*standing.atoms, *other.atoms), true=standing.atoms), 30):
                    example = self._tried(called(names, answers.chosen))
                    if example is not None:
                        return example
            except TooLarge:
                continue
        return None

    def _cell_by_cell(
        self, standing: Standing, near: list[Standing], before: list[Standing], after: list[Standing]
    ) -> tuple[Example | None, str] | None:
        suspect = ""
        for cell in cells(standing.reach, [s.reach for s in near]):
            matched = {near[n].key for n in cell.matched}
            old, new = _up_to_certain(before, matched), _up_to_certain(after, matched)
            atoms: set[Atom] = {atom for s in (*old, *new) for atom in s.atoms}
            seen: set[tuple[Answer, Answer]] = set()
            for answers in answered(atoms, true=standing.atoms):
                one = _answer(old, answers.truths, self._old)
                other = _answer(new, answers.truths, self._new)
                if other.approval.strictness < one.approval.strictness:
                    suspect = suspect or "no call could be made up that shows it"
                    example = self._tried(called(cell.names, answers.chosen))
                    if example is not None:
                        return example, ""
                elif (one, other) not in seen:
                    seen.add((one, other))
                    found = self._weighed(standing, answers, (one, other), matched)
                    if found is not None and found[0] is not None:
                        return found
                    suspect = suspect or (found[1] if found is not None else "")
        return (None, suspect) if suspect else None

    def _weighed(
        self, standing: Standing, answers: Answered, said: tuple[Answer, Answer], matched: set[Any]
    ) -> tuple[Example | None, str] | None:
        """Whether rules in doubt about a cell may weigh on the old list and not on the new one."""
        one, other = said
        if other.approval is Approval.BLOCK:
            return None
        asked = 0
        for doubting in self._only_before(one, other):
            if doubting.key in matched or doubting.rule.approval.strictness <= other.approval.strictness:
                continue
            asked += 1
            if asked > _MOST_DOUBTS:
                return None, "more rules may be in doubt about its calls than are looked at"
            if _may_doubt(doubting.reach, standing.reach):
                for names in doubtful_names(doubting.reach, [standing.reach]):
                    if standing.rule.match(names):
                        example = self._tried(called(names, answers.chosen))
                        if example is not None:
                            return example, ""
                return None, f"rule {doubting.rule.name!r} may be in doubt about some of its calls"
        return None

    def _only_before(self, one: Answer, other: Answer) -> Iterator[Standing]:
        """Rules of the old list before what decides there, that the new one has not, or does not get to."""
        for standing in self._gone:
            if standing.merged < one.merged:
                yield standing
        if other.merged < one.merged:
            for standing in self._kept:
                if other.merged < standing.merged < one.merged:
                    yield standing

    # --- calls about which a rule is in doubt --------------------------------------------------------------------

    def _doubtful_calls(self, gone: Standing) -> tuple[Example | None, str] | None:
        """A call about which a rule that went was in doubt, and that is loosened; None if there certainly is none."""
        self._tries = 0
        milder = [
            s
            for s in self._new.rules
            if s.rule.approval.strictness < gone.rule.approval.strictness
            and not (s.stayed and s.merged < gone.merged)  # where it decides, the rule that went was never asked
        ]
        strict_default = self._new.default.approval.strictness >= gone.rule.approval.strictness
        if strict_default and len(milder) <= _MOST_DOUBTS:
            milder = [s for s in milder if _may_doubt(gone.reach, s.reach)]
            if not milder:
                return None  # whatever it was in doubt about is decided as strictly without it
        try:
            choices = [called(("tool", "server", None, None), a.chosen) for a in answered(gone.atoms, true=gone.atoms)]
        except TooLarge:
            choices = []
        for made in choices[:4]:
            if made is None:
                continue
            for names in doubtful_names(gone.reach, [s.reach for s in milder[:20]]):
                example = self._tried(made.renamed(names))
                if example is not None:
                    return example, ""
        return None, "it set a floor for calls about which it was in doubt, and they may have lost it"

    # --- trying --------------------------------------------------------------------------------------------------

    def _tried(self, call: Call | None) -> Example | None:
        if call is None or self._tries > _MOST_TRIES:
            return None
        self._tries += 1
        example = show(call, self._old.policy, self._new.policy)
        if example.new.approval.strictness >= example.old.approval.strictness:
            return None
        for plainer in call.plainer():
            better = show(plainer, self._old.policy, self._new.policy)
            if (better.old, better.new) == (example.old, example.new):
                return better
        return example


def _up_to_cover(rules: Sequence[Standing], reach: Reach) -> list[Standing]:
    """The rules up to the first that decides every call of a reach: none after it is ever asked about one."""
    found: list[Standing] = []
    for standing in rules:
        found.append(standing)
        if not standing.atoms and covers(standing.reach, reach):
            break
    return found


def _up_to_certain(rules: Sequence[Standing], matched: set[Any]) -> list[Standing]:
    """The rules that match a cell, up to the first that has no conditions: none after it is ever asked."""
    found: list[Standing] = []
    for standing in rules:
        if standing.key in matched:
            found.append(standing)
            if not standing.atoms:
                break
    return found


def _answer(rules: Sequence[Standing], truths: dict[Atom, Truth], side: Side) -> Answer:
    """What a list of rules answers."""
    floor = Approval.AUTO
    for standing in rules:
        asked = [truths[atom] for atom in standing.atoms]
        if all(truth is True for truth in asked):
            return Answer(_stricter(standing.rule.approval, floor), standing.merged)
        if False not in asked:
            floor = _stricter(standing.rule.approval, floor)
    return Answer(_stricter(side.default.approval, floor), math.inf)


def _stricter(one: Approval, other: Approval) -> Approval:
    return one if one.strictness >= other.strictness else other


def _may_doubt(doubting: Reach, certain: Reach) -> bool:
    """Whether a match may be in doubt about, or certain of, a call that another certainly matches."""
    for patterns, names in zip(doubting, certain, strict=True):
        if all(map(is_literal, names)):
            globs = tuple(map(parse_glob, patterns))
            if all(match_any(globs, name) is False for name in names):
                return False
    return True
