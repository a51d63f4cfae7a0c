"""Everything that questions about one thing can be answered, together: no combination that some call has is missing.

The combinations are over-estimated where a question is not understood (a pattern, a parser), and never under-estimated:
what holds in all of them holds for every call. Some of them come with a value that has them, found by trying.
"""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from aegis.core.action import Action
from aegis.workbench.atoms import implies
from aegis.workbench.languages import TooLarge
from aegis.workbench.samples import numbers, texts
from aegis_core.policy.conditions.clock import load_timezone, parse_clock, parse_moment
from aegis_core.policy.conditions.truth import Context

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from aegis.workbench.atoms import Atom
    from aegis_core.policy.conditions.truth import Truth

__all__ = ["ABSENT", "Answers", "Variable", "nested", "variable"]

Answers = tuple["Truth", ...]
"""How the atoms of a variable are answered, in their order."""
ABSENT = object()
"""Stands for a parameter that a call has not."""

_FREE: tuple[Truth, ...] = (True, False, None)
_MOST = 8_000
_MANY = 60
_ORDERED = ("param_gt", "param_gte", "param_lt", "param_lte")
_SCALARS = (str, int, float, bool)


class Variable(NamedTuple):
    """What some questions are about.

    Attributes:
        atoms: The questions.
        answers: Every combination of answers there may be.
        witnesses: For some of them a value (a parameter's, a time) that has it.
    """

    atoms: tuple[Atom, ...]
    answers: tuple[Answers, ...]
    witnesses: dict[Answers, Any]


def variable(atoms: Iterable[Atom]) -> Variable:
    """The variable of some questions of one group.

    Raises:
        TooLarge: If there are too many combinations.
    """
    return _variable(tuple(sorted(set(atoms), key=lambda atom: atom.text)))


@lru_cache(maxsize=8192)
def _variable(atoms: tuple[Atom, ...]) -> Variable:
    kind = atoms[0].group[0]
    if kind == "param":
        return _parameter(atoms)
    if kind == "clock":
        return _clock(atoms)
    if kind == "until":
        return _until(atoms)
    if len(atoms) > 6:
        raise TooLarge
    pairs = [(n, m) for n, one in enumerate(atoms) for m, other in enumerate(atoms) if n != m and implies(one, other)]
    free = _without(itertools.product(_FREE, repeat=len(atoms)), pairs)
    return Variable(atoms, tuple(_in_order(free)), {})


def _without(found: Iterable[Answers], implied: Sequence[tuple[int, int]]) -> set[Answers]:
    """The answers in which nothing holds without what it implies."""
    return {one for one in found if not any(one[n] is True and one[m] is not True for n, m in implied)}


# --- parameters ------------------------------------------------------------------------------------------------------


def nested(path: str, value: Any) -> dict[str, Any]:
    """Parameters in which a path leads to a value; none for `ABSENT`."""
    if value is ABSENT:
        return {}
    for part in reversed(path.split(".")):
        value = {part.removesuffix("[]"): [value] if part.endswith("[]") else value}
    found: dict[str, Any] = value
    return found


def _parameter(atoms: tuple[Atom, ...]) -> Variable:
    path = atoms[0].group[1]
    exact = [atom for atom in atoms if _is_exact(atom)]
    named = [value for atom in exact for value in _expected(atom)]
    tried: dict[Answers, Any] = {}

    def real(value: Any) -> Answers:
        answers = _asked(atoms, nested(path, value))
        tried.setdefault(answers, value)
        return answers

    found: set[Answers] = {tuple([False] * len(atoms)), tuple([None] * len(atoms))}
    found.update(real(value) for value in (ABSENT, True, False, *numbers(named)))
    words = sorted({value for value in named if isinstance(value, str)})
    found.update(map(real, words))
    for gap in ["", *(f"{word}\0" for word in words)]:
        if gap not in words:
            found |= _of_text(atoms, real(gap), exact)
    # A mapping, and text that is no Unicode: in doubt for what compares, anything for the rest.
    found |= set(_product([_FREE if _is_whole(atom) else (None,) for atom in atoms]))
    found |= set(_product([_FREE if _is_parsing(atom) else (None,) for atom in atoms]))
    found |= set(_of_lists(atoms, found))
    if len(found) > _MOST:
        raise TooLarge
    for text in texts(atoms):
        real(text)
    singles = list(tried.values())[:14]
    for first, second in itertools.combinations([value for value in singles if value is not ABSENT], 2):
        real([first, second])
    real({"inner": 1})
    return Variable(atoms, tuple(_in_order(found)), tried)


def _is_exact(atom: Atom) -> bool:
    """Whether a condition compares with plain values, of which no others but the ones it names matter."""
    if atom.kind in _ORDERED:
        return True
    if atom.kind == "param_eq":
        return isinstance(atom.expected, _SCALARS)
    return atom.kind == "param_in" and all(isinstance(value, _SCALARS) for value in atom.expected)


def _expected(atom: Atom) -> Sequence[Any]:
    return atom.expected if atom.kind == "param_in" else (atom.expected,)


def _is_whole(atom: Atom) -> bool:
    """Whether a condition looks into lists or mappings."""
    return not _is_exact(atom) and atom.kind in ("param_contains", "param_eq", "param_in")


def _is_parsing(atom: Atom) -> bool:
    return atom.kind in ("param_path", "param_sql", "param_url", "param_shell", "param_email")


def _asked(atoms: Sequence[Atom], params: dict[str, Any], now: datetime | None = None) -> Answers:
    action, context = Action("tool", "server", params), Context(None, now)
    return tuple([atom.condition.judge(action, context) if atom.condition is not None else None for atom in atoms])


def _product(options: Sequence[Collection[Truth]]) -> Iterator[Answers]:
    """Every choice of one option each."""
    size = 1
    for option in options:
        size *= len(option)
    if size > _MOST:
        raise TooLarge
    return itertools.product(*options)


def _of_text(atoms: Sequence[Atom], seen: Answers, exact: Sequence[Atom]) -> set[Answers]:
    """The answers about all texts that compare like one of them: what does not compare may say anything."""
    known = dict(zip(atoms, seen, strict=True))

    def free(atom: Atom) -> tuple[Truth, ...]:
        if atom in exact:
            return (known[atom],)
        if _is_parsing(atom):
            return _FREE
        if atom.kind == "param_matches" or (atom.kind == "param_contains" and isinstance(atom.expected, str)):
            return (True, False)
        return _FREE

    pairs = [
        (n, m) for n, one in enumerate(atoms) for m, other in enumerate(atoms) if n != m and _text_implies(one, other)
    ]
    return _without(_product([free(atom) for atom in atoms]), pairs)


def _text_implies(one: Atom, other: Atom) -> bool:
    if one.kind == other.kind == "param_contains" and isinstance(one.expected, str) and isinstance(other.expected, str):
        return other.expected in one.expected
    return implies(one, other)


def _of_lists(atoms: Sequence[Atom], single: set[Answers]) -> set[Answers]:
    """The answers about lists: where elements differ, doubt; of what looks at the list itself, anything."""
    if len(single) > _MANY:  # more than there are, and sooner found
        return set(_product([{None, *(answers[n] for answers in single)} for n in range(len(atoms))]))
    found = set(single)
    fresh = list(found)
    while fresh:
        if len(found) > _MOST:
            raise TooLarge
        made = {_mixed(one, other) for one in fresh for other in single} - found
        found |= made
        fresh = list(made)
    whole = [n for n, atom in enumerate(atoms) if _is_whole(atom)]
    if whole:
        if len(found) * 3 ** len(whole) > _MOST * 3:
            raise TooLarge
        for choice in itertools.product(_FREE, repeat=len(whole)):
            told = dict(zip(whole, choice, strict=True))
            found |= {tuple([told.get(n, truth) for n, truth in enumerate(answers)]) for answers in list(found)}
    return found


def _mixed(one: Answers, other: Answers) -> Answers:
    return tuple([a if a is b else None for a, b in zip(one, other, strict=True)])


_RANK = {True: 0, False: 1, None: 2}


def _in_order(found: Iterable[Answers]) -> list[Answers]:
    """Plain answers first: the first example found should be an ordinary one."""
    return sorted(found, key=lambda answers: (answers.count(None), [_RANK[truth] for truth in answers]))


# --- time ------------------------------------------------------------------------------------------------------------

_MONDAY = datetime(2026, 1, 12)  # noqa: DTZ001 - a wall clock's; of a week in which few clocks are moved


def _clock(atoms: tuple[Atom, ...]) -> Variable:
    """Windows in one time zone: they can tell apart minutes of the week, and only at the times they name."""
    zone = load_timezone(atoms[0].group[1])
    named = {0}
    for atom in atoms:
        named |= {parse_clock(atom.expected[name]) for name in ("time_after", "time_before") if name in atom.expected}
    found: dict[Answers, Any] = {}
    for day in range(7):
        for minute in sorted(named):
            moment = (_MONDAY + timedelta(days=day, minutes=minute)).replace(tzinfo=zone)
            found.setdefault(_asked(atoms, {}, moment), moment)
    return Variable(atoms, tuple(_in_order(found)), found)


def _until(atoms: tuple[Atom, ...]) -> Variable:
    moments = sorted({parse_moment(atom.expected) for atom in atoms})
    found: dict[Answers, Any] = {}
    for moment in [moments[0] - timedelta(days=1), *moments]:
        found.setdefault(_asked(atoms, {}, moment), moment)
    return Variable(atoms, tuple(_in_order(found)), found)
