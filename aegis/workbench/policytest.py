"""Judging the calls of test files by the engine itself, and which rules decided any of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from aegis.core.action import Action
from aegis.core.policy import Approval
from aegis_core.policy.places import RulePlace, rule_places
from aegis_core.policy.reading import given
from aegis_core.policy.results import screen
from aegis_core.policy.rule import Rule
from aegis_core.session import SessionState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from aegis.core.policy import Decision, Policy
    from aegis.workbench.testfile import (
        CallDocument,
        ExpectDocument,
        OutcomeDocument,
        SessionDocument,
        StepDocument,
        TestCaseDocument,
        TestDocument,
        TestFile,
    )

__all__ = ["Case", "Coverage", "Difference", "Miss", "Report", "RuleOf", "run_test_file"]

_SESSION = "test"


class Difference(NamedTuple):
    """One thing that is not as expected.

    Attributes:
        what: What it is: approval, rule, risk, ...
        expected: As the test has it.
        got: As it is.
    """

    what: str
    expected: str
    got: str


class Miss(NamedTuple):
    """A call that was not judged as expected.

    Attributes:
        call: Which, where a case has several; else empty.
        differences: What is not as expected.
        why: The decision explained; empty where no decision is at fault.
    """

    call: str
    differences: tuple[Difference, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A test or a session, judged.

    Attributes:
        name: Its name.
        line: The line it begins on.
        calls: How many calls it has.
        asked: How many of them asked a person.
        misses: What was not as expected.
    """

    name: str
    line: int
    calls: int
    asked: int
    misses: tuple[Miss, ...]
    session: bool = False

    @property
    def ok(self) -> bool:
        """Whether all was as expected."""
        return not self.misses


class RuleOf(NamedTuple):
    """A rule or result rule of a policy under test.

    Attributes:
        place: Its file and line.
        name: Its name in that file.
    """

    place: RulePlace
    name: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """The rules to be tested, and which of them decided a test's call. Those of included files have tests elsewhere."""

    rules: frozenset[RuleOf]
    decided: frozenset[RuleOf]

    @classmethod
    def of(cls, parts: Iterable[Coverage]) -> Coverage:
        """Several together: what any test decided is covered."""
        parts = list(parts)
        return cls(
            frozenset().union(*(part.rules for part in parts)), frozenset().union(*(part.decided for part in parts))
        )

    @property
    def missing(self) -> list[RuleOf]:
        """The rules that decided none, in the order of their files."""
        return sorted(self.rules - self.decided, key=lambda rule: (rule.place.source, rule.place.line or 0, rule.name))

    @property
    def percent(self) -> float:
        """How many of the rules decided one, in percent; 100 where there are none."""
        return 100.0 * len(self.rules & self.decided) / len(self.rules) if self.rules else 100.0


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a test file."""

    path: Path
    cases: tuple[Case, ...]
    coverage: Coverage


def run_test_file(file: TestFile) -> Report:
    """Judge all calls of a test file.

    A call counts for the coverage where the test says what is to become of it.
    """
    bench = _Bench(file.policy, file.document)
    cases = [
        *(bench.test(test, file.lines["tests", number]) for number, test in enumerate(file.document.tests)),
        *(
            bench.session(session, file.lines["sessions", number])
            for number, session in enumerate(file.document.sessions)
        ),
    ]
    return Report(file.path, tuple(sorted(cases, key=lambda case: case.line)), bench.coverage())


@dataclass(slots=True)
class _Bench:
    """A policy under test, and what it has decided so far."""

    policy: Policy
    document: TestDocument
    _decided: set[int] = field(default_factory=set)

    def test(self, test: TestCaseDocument, line: int) -> Case:
        now = test.now or self.document.now
        session = None if test.given is None else _SoFar(now)
        if test.given is not None and session is not None:
            session.hear(test.given.said)
            for earlier in test.given.calls:
                action = self._action(earlier, in_session=True)
                session.begin(action, self.policy.evaluate(action, session=session.state, now=now))
                if "result" in given(earlier):
                    session.learn(action, earlier.result)
        action = self._action(test.call, in_session=session is not None)
        decision, miss = self._judge(action, session, now, test.expect)
        differences = list(miss.differences if miss is not None else ())
        if test.expect.result is not None:
            value, rules = self._screened(action, test.result)
            differences += _outcome(test.expect.result, value, rules)
        why = "" if miss is None else miss.why
        misses = (Miss("", tuple(differences), why),) if differences else ()
        return Case(test.name, line, 1, int(decision.approval is Approval.APPROVE), misses)

    def session(self, document: SessionDocument, line: int) -> Case:
        now = document.now or self.document.now
        session = _SoFar(now)
        misses: list[Miss] = []
        calls = asked = 0
        for step in document.steps:
            session.hear(step.said)
            if step.type is None:
                continue
            calls += 1
            decision, miss = self._step(step, session, now)
            asked += decision.approval is Approval.APPROVE
            if miss is not None:
                misses.append(miss._replace(call=f"call {calls}, {step.type}"))
        if asked != document.approvals:
            misses.append(Miss("", (Difference("approvals", str(document.approvals), str(asked)),)))
        return Case(document.name, line, calls, asked, tuple(misses), session=True)

    def _step(self, step: StepDocument, session: _SoFar, now: datetime) -> tuple[Decision, Miss | None]:
        action = self._action(step, in_session=True)
        decision, miss = self._judge(action, session, now, step.expect)
        runs = decision.approval is Approval.AUTO or (decision.approval is Approval.APPROVE and not step.denied)
        if runs:
            session.begin(action, decision)
        returned = "result" in given(step)
        value, rules = self._screened(action, step.result) if runs and returned else (None, ())
        if runs and returned:
            session.learn(action, value)
        if step.expect is not None and step.expect.result is not None:
            differences = (*(() if miss is None else miss.differences), *_outcome(step.expect.result, value, rules))
            miss = Miss("", differences, "" if miss is None else miss.why) if differences else None
        return decision, miss

    def _judge(
        self, action: Action, session: _SoFar | None, now: datetime, expect: ExpectDocument | None
    ) -> tuple[Decision, Miss | None]:
        state = None if session is None else session.state
        decision = self.policy.evaluate(action, session=state, now=now)
        if expect is not None:
            deciders = decision.deciders[: len(decision.deciders) - len(decision.floors)]
            self._decided.update(id(rule) for rule in deciders if isinstance(rule, Rule))
        differences = tuple(_differences(expect, decision))
        if not differences:
            return decision, None
        return decision, Miss("", differences, str(self.policy.explain(action, session=state, now=now)))

    def _screened(self, action: Action, value: Any) -> tuple[Any, tuple[str, ...]]:
        value, names = screen(self.policy.needs.results, action, value)
        self._decided.update(id(rule) for rule in self.policy.needs.results if rule.name in names)
        return value, names

    def _action(self, call: CallDocument | StepDocument, *, in_session: bool) -> Action:
        return Action(
            call.type or "",
            call.target or self.document.target or "",
            call.params,
            agent=call.agent or self.document.agent,
            user=call.user or self.document.user,
            session_id=_SESSION if in_session else None,
        )

    def coverage(self) -> Coverage:
        included = {str(path) for path in self.policy.origin.included}
        places = rule_places(self.policy)
        own: dict[int, RuleOf] = {}
        for layer in self.policy.layers:
            named = [(id(rule), rule.document.name) for rule in layer.rules]
            named += [(id(rule), rule.document.name) for rule in layer.results]
            for number, name in named:
                if places[number].source not in included:
                    own[number] = RuleOf(places[number], name)
        decided = (own[number] for number in self._decided if number in own)
        return Coverage(frozenset(own.values()), frozenset(decided))


class _SoFar:
    """A session while its calls are judged: all of them at the same moment, so no budget recovers."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._taken: Counter[str] = Counter()
        self._limits: dict[str, int] = {}
        self.state = SessionState(exhausted=self._exhausted)

    def hear(self, said: Sequence[str] | None) -> None:
        for text in said or ():
            self.state.add_user_text(text)

    def begin(self, action: Action, decision: Decision) -> None:
        self.state.add_calls([(action.type, action.target)])
        for budget in decision.reserves:
            self._taken[budget.key] += 1
            self._limits[budget.key] = budget.limit

    def learn(self, action: Action, value: Any) -> None:
        self.state.add_result(action.type, action.target, value, action.params)

    def _exhausted(self, budget: str) -> int | None:
        used_up = budget in self._limits and self._taken[budget] >= self._limits[budget]
        return int((self._now + timedelta(seconds=1)).timestamp() * 1e6) if used_up else None


def _differences(expect: ExpectDocument | None, decision: Decision) -> Iterator[Difference]:
    got = decision.approval.value
    if expect is None:
        if decision.approval is Approval.BLOCK:
            yield Difference("approval", "auto or approve", got)
        return
    if decision.approval is not expect.approval:
        yield Difference("approval", expect.approval.value, got)
    if expect.rule is not None and decision.matched_rule != expect.rule:
        yield Difference("rule", expect.rule, decision.matched_rule)
    if expect.risk is not None and decision.risk_level is not expect.risk:
        yield Difference("risk", expect.risk.name.lower(), decision.risk_level.name.lower())
    floors = tuple(floor.rule for floor in decision.floors)
    if expect.floors is not None and floors != expect.floors:
        yield Difference("floors", _listing(expect.floors), _listing(floors))


def _outcome(expect: OutcomeDocument, value: Any, rules: tuple[str, ...]) -> Iterator[Difference]:
    if expect.rules is not None and expect.rules != rules:
        yield Difference("result rules", _listing(expect.rules), _listing(rules))
    if "equals" in given(expect) and value != expect.equals:
        yield Difference("result", _text(expect.equals), _text(value))
    text = _text(value)
    for wanted in expect.contains or ():
        if wanted not in text:
            yield Difference("result", f"… {wanted} …", text)
    for unwanted in expect.lacks or ():
        if unwanted in text:
            yield Difference("result", f"no {unwanted}", text)


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
