"""Rules that never decide: proof, or silence.

A rule never decides if every call that it certainly matches, and whose conditions certainly hold, is one that a rule
above it certainly decides. (It may still set a floor for calls it is in doubt about.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis.workbench.atoms import atoms_of
from aegis.workbench.cells import answered, cells, follows, possible
from aegis.workbench.languages import TooLarge, ordinary
from aegis.workbench.reach import ReachIndex, covers, reach_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis.workbench.atoms import Atom
    from aegis_core.policy.rule import Rule
    from aegis_core.policy.trust import Trust

__all__ = ["Shadows"]

_MOST = 12
"""Rules above one that are looked at together."""


class Shadows:
    """Answers which rules of a list never decide.

    Args:
        rules: The rules, in the order they are walked.
        trust: Their layer's.
    """

    def __init__(self, rules: Sequence[Rule], trust: Trust) -> None:
        self._rules = rules
        self._reaches = [reach_of(rule.document.match) for rule in rules]
        self._atoms = [atoms_of(rule, trust) for rule in rules]
        self._index = ReachIndex(self._reaches)

    def contradicts_itself(self, number: int) -> bool:
        """Whether a rule's own conditions certainly exclude each other."""
        return len(self._atoms[number]) > 1 and not possible(self._atoms[number])

    def over(self, number: int) -> list[int] | None:
        """The rules above one that together decide every call it could; None if that is not so, or not known."""
        above = self._index.meeting(self._reaches[number], before=number)
        if not above:
            return None
        for other in above:
            if covers(self._reaches[other], self._reaches[number]) and self._follows(number, other):
                return [other]
        if len(above) > _MOST or self._has_calls_of_its_own(number, above):
            return None
        try:
            return self._together(number, above)
        except TooLarge:
            return None

    def _has_calls_of_its_own(self, number: int, above: list[int]) -> bool:
        """Whether no rule above certainly matches an ordinary call of a rule. False where that is not plain."""
        kind, target, agent, user = (None if axis == ("*",) else ordinary(axis[0]) for axis in self._reaches[number])
        names = (kind or "qzjxw_tool", target or "qzjxw_server", agent, user)
        return self._rules[number].match(names) is True and all(
            self._rules[other].match(names) is not True for other in above
        )

    def _follows(self, number: int, other: int) -> bool:
        """Whether a rule's conditions plainly include another's."""
        return follows(self._atoms[number], self._atoms[other])

    def _together(self, number: int, above: list[int]) -> list[int] | None:
        needed: set[int] = set()
        for cell in cells(self._reaches[number], [self._reaches[other] for other in above]):
            matching = [above[n] for n in sorted(cell.matched)]
            free = next((other for other in matching if self._follows(number, other)), None)
            if free is not None:
                needed.add(free)
                continue
            if not matching:
                return None
            used = self._by_answers(number, matching)
            if used is None:
                return None
            needed |= used
        return sorted(needed)

    def _by_answers(self, number: int, matching: list[int]) -> set[int] | None:
        """The rules of which, whatever is answered, one holds whenever this one does."""
        atoms: set[Atom] = {atom for other in matching for atom in self._atoms[other]}
        used: set[int] = set()
        for answers in answered(atoms, true=self._atoms[number]):
            holding = next(
                (other for other in matching if all(answers.truths[atom] is True for atom in self._atoms[other])), None
            )
            if holding is None:
                return None
            used.add(holding)
        return used
