"""What conditions can answer about one parameter: no combination that some value has is missing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aegis import Action, Policy
from aegis.workbench.atoms import atoms_of
from aegis.workbench.languages import TooLarge, classes, includes, meet
from aegis.workbench.variables import variable
from aegis_core.policy.conditions.truth import Context
from aegis_core.policy.globs import parse_glob
from tests.core.policy.strategies import examples
from tests.workbench.universe import CONDITIONS, NAMES, PATTERNS, VALUES

ABOUT_X = [condition for condition in CONDITIONS if "x" in next(iter(condition.values()))]
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 4), st.floats(), st.text("ab/.@cd", max_size=5))
ANYTHING = st.one_of(
    st.sampled_from(VALUES), SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.text(), SCALARS)
)


@examples(150)
@given(st.lists(st.sampled_from(ABOUT_X), min_size=1, max_size=4), st.lists(ANYTHING, min_size=1, max_size=20))
def test_no_value_answers_conditions_in_a_way_that_was_not_foreseen(asked: list[dict[str, Any]], values: list[Any]):
    rules = [{"name": f"r{n}", "conditions": one, "approval": "block"} for n, one in enumerate(asked)]
    policy = Policy.from_dict({"version": "1", "rules": rules})
    try:
        known = variable(atom for rule in policy.rules for atom in atoms_of(rule))
    except TooLarge:
        return
    for value in values:
        action = Action("tool", "server", {"x": value})
        answers = tuple(atom.condition.judge(action, Context()) for atom in known.atoms if atom.condition is not None)
        assert answers in known.answers, (value, answers)


@examples(200)
@given(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3), st.lists(st.sampled_from(PATTERNS), min_size=1))
def test_languages_say_what_trying_every_name_says(one: list[str], other: list[str]):
    first, second = tuple(one), tuple(other)
    both = [{name for name in NAMES if any(parse_glob(p).exact(name) for p in some)} for some in (first, second)]
    if includes(first, second):
        assert both[1] <= both[0]
    if not meet(first, second):
        assert not both[0] & both[1]
    for matched, name in classes((first,), second):
        assert any(parse_glob(pattern).exact(name) for pattern in second)
        assert bool(matched) == any(parse_glob(pattern).exact(name) for pattern in first)
    found = {bool(matched) for matched, _ in classes((first,), second)}
    assert found >= {name in both[0] for name in both[1]}
