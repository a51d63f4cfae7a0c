"""Cells: calls that the same rules certainly match, and every way in which conditions may then be answered.

Together they are all calls that a rule certainly matches, so what holds in every cell and for every answer is proven.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from aegis.workbench.atoms import implies
from aegis.workbench.languages import TooLarge, classes
from aegis.workbench.variables import variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aegis.workbench.atoms import Atom
    from aegis.workbench.languages import Patterns
    from aegis.workbench.reach import Reach
    from aegis.workbench.variables import Answers, Variable
    from aegis_core.policy.conditions.truth import Truth
    from aegis_core.policy.rule import Names

__all__ = ["Answered", "Cell", "answered", "cells", "follows", "possible"]

_MOST_CELLS = 2_000
_MOST_ANSWERS = 20_000
_ANY: Patterns = ("*",)


class Cell(NamedTuple):
    """Calls that certain rules match.

    Attributes:
        names: Type, target, agent and user of one of them.
        matched: The places of the rules that certainly match all of them; the others certainly match none.
    """

    names: Names
    matched: frozenset[int]


def cells(within: Reach, reaches: Sequence[Reach]) -> list[Cell]:
    """The calls that ``within`` certainly matches, told apart by which of the other rules do.

    Raises:
        TooLarge: If there are too many.
    """
    axes = [_axis(patterns, [reach[axis] for reach in reaches], axis) for axis, patterns in enumerate(within)]
    size = 1
    for options in axes:
        size *= len(options)
    if size > _MOST_CELLS:
        raise TooLarge
    found: list[Cell] = []
    for kind, target, agent, user in itertools.product(*axes):
        names = (str(kind[0]), str(target[0]), agent[0], user[0])
        found.append(Cell(names, kind[1] & target[1] & agent[1] & user[1]))
    return found


def _axis(within: Patterns, lists: Sequence[Patterns], axis: int) -> list[tuple[str | None, frozenset[int]]]:
    """A name of each kind on one axis, and the rules whose patterns match it."""
    everywhere = frozenset(n for n, patterns in enumerate(lists) if patterns == _ANY)
    narrow = tuple(dict.fromkeys(patterns for patterns in lists if patterns != _ANY))
    holders = [frozenset(n for n, patterns in enumerate(lists) if patterns == one) for one in narrow]
    found: list[tuple[str | None, frozenset[int]]] = []
    if within == _ANY and axis > 1:  # an agent or a user need not be known; then no pattern is certain
        found.append((None, everywhere))
        if not narrow:
            return found
    for matched, name in classes(narrow, within):
        found.append((name, everywhere.union(*(holders[n] for n in matched))))
    return found


class Answered(NamedTuple):
    """One way in which questions are answered.

    Attributes:
        truths: Every question's answer.
        chosen: The answers, variable by variable.
    """

    truths: dict[Atom, Truth]
    chosen: tuple[tuple[Variable, Answers], ...]


def answered(atoms: Iterable[Atom], *, true: Iterable[Atom] = ()) -> Iterator[Answered]:
    """Every way in which questions may be answered together, those in ``true`` with yes.

    Raises:
        TooLarge: If there are too many.
    """
    wanted = set(true)
    variables = _variables({*atoms, *wanted})
    options = [
        [answers for answers in one.answers if all(answers[n] is True for n, a in enumerate(one.atoms) if a in wanted)]
        for one in variables
    ]
    size = 1
    for option in options:
        size *= len(option)
    if size > _MOST_ANSWERS:
        raise TooLarge
    for choice in itertools.product(*options):
        truths: dict[Atom, Truth] = {}
        for one, answers in zip(variables, choice, strict=True):
            truths.update(zip(one.atoms, answers, strict=True))
        yield Answered(truths, tuple(zip(variables, choice, strict=True)))


def possible(atoms: Iterable[Atom]) -> bool:
    """Whether questions may all be answered with yes. True where that is not known."""
    wanted = set(atoms)
    names = next((atom.expected for atom in wanted if atom.kind == "param_names"), None)
    try:
        for one in _variables(wanted):
            if not any(all(answer is True for answer in answers) for answers in one.answers):
                return False
            kind, path = one.atoms[0].group
            if (
                names is not None
                and kind in ("param", "from")
                and not {path, path.split(".")[0].removesuffix("[]")} & set(names)
            ):
                return False  # a parameter must be there for a condition on it to hold, and there may be none
    except TooLarge:
        return True
    return True


def follows(given: Sequence[Atom], wanted: Sequence[Atom], *, doubt: bool = False) -> bool:
    """Whether ``wanted`` certainly hold wherever ``given`` do. False where that is not known.

    With ``doubt``: whether none of ``wanted`` is false where none of ``given`` is.
    """
    for atom in wanted:
        if atom in given or (not doubt and any(implies(one, atom) for one in given)):
            continue
        near = [one for one in given if one.group == atom.group]
        if not near:
            return False
        try:
            together = variable([*near, atom])
        except TooLarge:
            return False
        asked, last = [together.atoms.index(one) for one in near], together.atoms.index(atom)
        for answers in together.answers:
            held = [answers[n] for n in asked]
            if doubt and False not in held and answers[last] is False:
                return False
            if not doubt and all(truth is True for truth in held) and answers[last] is not True:
                return False
    return True


def _variables(atoms: Iterable[Atom]) -> list[Variable]:
    groups: dict[tuple[str, str], list[Atom]] = {}
    for atom in atoms:
        groups.setdefault(atom.group, []).append(atom)
    return [variable(groups[group]) for group in sorted(groups)]
