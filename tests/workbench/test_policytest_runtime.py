"""A session in a test file is judged as a runtime judges it: whatever happens in it, both decide every call alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis import Action, Policy, Runtime
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from aegis.workbench import testfile
from aegis.workbench.policytest import run_test_file
from aegis_core.policy.reading import read
from aegis_core.record import Intent, Refusal

if TYPE_CHECKING:
    from pathlib import Path

POLICY = Policy.from_string("""
version: "1"
trust:
  - {match: {type: contacts}, results: trusted}
rules:
  - {name: after_web, match: {type: [send, pay]}, conditions: {after: {type: fetch}}, approval: approve}
  - {name: to_known, match: {type: send}, conditions: {param_from: {to: [user, trusted]}}, approval: auto}
  - {name: to_others, match: {type: send}, approval: block}
  - {name: two, match: {type: pay}, conditions: {calls: {max: 2, per: 1h, by: session}}, approval: auto}
  - {name: more, match: {type: pay}, approval: approve}
  - {name: reads, match: {type: contacts}, approval: auto}
  - {name: web, match: {type: fetch}, approval: approve}
results:
  - {name: mask, match: {type: contacts}, redact: {patterns: ["carol"]}}
""")
PEOPLE = st.sampled_from(["alice@example.com", "bob@example.com", "carol@example.com"])


def step(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"target": st.just("t"), **fields})


STEPS = st.one_of(
    st.fixed_dictionaries({"said": PEOPLE.map(lambda person: (f"write to {person}",))}),
    step(type=st.just("send"), params=PEOPLE.map(lambda person: {"to": person})),
    step(type=st.just("contacts"), result=PEOPLE),
    step(type=st.just("fetch"), result=PEOPLE, denied=st.booleans()),
    step(type=st.just("pay"), denied=st.booleans()),
)


def at_a_runtime(steps: list[dict[str, Any]]) -> list[tuple[str, str]]:
    answers = iter([not made["denied"] for made in steps if "denied" in made])
    trail = MemoryAuditLogger()
    asked: list[bool] = []
    handler = ScriptedApprovalHandler([lambda request: request.approve() if asked[-1] else request.deny()] * len(steps))
    runtime = Runtime(policy=POLICY, audit_logger=trail, approval_handler=handler)
    with runtime.session("s") as session:
        for made in steps:
            for text in made.get("said", ()):
                session.add_user_text(text)
            if "type" in made:
                asked.append(next(answers) if "denied" in made else True)
                runtime.run(Action(made["type"], "t", made.get("params")), returning(made.get("result")))
    records = [record for record in trail.records if isinstance(record, Intent | Refusal)]
    return [(record.decision.approval.value, record.decision.matched_rule) for record in records]


def returning(value: Any) -> Any:
    return lambda _arguments: value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=12))
def test_every_call_of_any_session_is_judged_alike(tmp_path: Path, steps: list[dict[str, Any]]) -> None:
    decisions = at_a_runtime(steps)
    expected = iter(decisions)
    written = []
    for made in steps:
        approval, rule = next(expected) if "type" in made else ("", "")
        written.append({**made, "expect": {"approval": approval, "rule": rule}} if rule else made)
    asks = sum(approval == "approve" for approval, _ in decisions)
    document = read(testfile.TestDocument, {"sessions": [{"name": "s", "approvals": asks, "steps": written}]})
    report = run_test_file(testfile.TestFile(tmp_path / "x", document, POLICY, {("sessions", 0): 1}))
    assert report.cases[0].misses == ()
