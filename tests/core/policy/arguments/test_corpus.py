"""The corpora: what each condition makes of hostile and of benign values, one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from aegis_core.policy.arguments import ARGUMENTS, MissingExtra
from aegis_core.policy.reading import read

CORPUS = Path(__file__).parents[3] / "corpus"
NAMES = ("path", "sql", "url", "shell", "email")


class Case(NamedTuple):
    name: str
    purpose: str
    kind: str
    spec: dict[str, Any]
    value: str
    truth: bool | None


def _cases(name: str) -> list[Case]:
    corpus = yaml.safe_load((CORPUS / f"{name}.yaml").read_text(encoding="utf-8"))
    return [
        Case(name, purpose, kind, spec, value, None if truth == "undecided" else truth)
        for purpose in ("allowing", "forbidding")
        for group in corpus[purpose]
        for spec in group.get("specs", [group.get("spec")])
        for kind in ("benign", "hostile")
        for truth, values in group.get(kind, {}).items()
        for value in values
    ]


CASES = {name: _cases(name) for name in NAMES if (CORPUS / f"{name}.yaml").exists()}


def _condition(name: str, spec: dict[str, Any]) -> Any:
    grammar, condition = ARGUMENTS[f"param_{name}"]
    try:
        return condition(read(grammar, spec))
    except MissingExtra as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("name", CASES)
def test_every_value_is_judged_as_the_corpus_says(name: str) -> None:
    wrong = []
    for case in CASES[name]:
        condition = _condition(name, case.spec)
        truth = condition.judge(case.value)
        if truth is not case.truth:
            wrong.append(f"{case.spec} {case.value!r}: {truth}, not {case.truth}: {condition.why(case.value)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", CASES)
def test_no_hostile_value_opens_a_rule_and_none_that_does_the_forbidden_thing_is_false(name: str) -> None:
    for case in CASES[name]:
        assert (case.purpose, case.kind, case.truth) not in (
            ("allowing", "hostile", True),
            ("forbidding", "hostile", False),
        )


@pytest.mark.parametrize("name", CASES)
def test_at_least_95_of_100_benign_values_open_a_rule(name: str) -> None:
    truths = [case.truth for case in CASES[name] if (case.purpose, case.kind) == ("allowing", "benign")]
    assert truths.count(True) >= 0.95 * len(truths)


@pytest.mark.parametrize("name", CASES)
def test_a_corpus_is_large_enough_to_mean_something(name: str) -> None:
    count = {kind: sum(case.kind == kind for case in CASES[name]) for kind in ("hostile", "benign")}
    assert count["hostile"] >= 100
    assert count["benign"] >= 40


@pytest.mark.parametrize("name", CASES)
def test_a_reason_is_one_short_line_and_not_the_value(name: str) -> None:
    for case in CASES[name]:
        why = _condition(name, case.spec).why(case.value)
        assert why
        assert why.isprintable()
        assert len(why) <= 240
        assert len(case.value) < 20 or case.value not in why
