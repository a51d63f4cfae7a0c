"""Judging the calls of test files, and counting which rules decided them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aegis.workbench.policytest import Case, Coverage, Report, run_test_file
from aegis.workbench.testfile import read_test_file

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """version: "1"
trust:
  - {match: {type: get_contacts}, results: trusted}
rules:
  - {name: no_drops, match: {type: "drop_*"}, risk_level: critical, approval: block}
  - {name: reads, match: {type: "read_*"}, conditions: {param_path: {path: {under: [/data]}}}, approval: auto}
  - {name: after_web, match: {type: save}, conditions: {after: {type: fetch}}, approval: approve}
  - {name: saves, match: {type: save}, approval: auto}
  - {name: by_day, match: {type: deploy}, conditions: {time_after: "09:00", time_before: "17:00"}, approval: auto}
  - {name: to_known, match: {type: send}, conditions: {param_from: {to: [user, trusted]}}, approval: auto}
  - {name: few, match: {type: ping}, conditions: {calls: {max: 2, per: 1h, by: session}}, approval: auto}
  - {name: for_alice, match: {type: pay, user: alice, agent: bot}, approval: approve}
results:
  - {name: mask, match: {type: "read_*"}, redact: {patterns: ["ACME-[0-9]+"]}}
  - {name: short, match: {type: save}, max_bytes: 10}
  - {name: data, match: {type: fetch}, mark: untrusted}
  - {name: none, match: {type: "get_*"}, block: true}
"""


@pytest.fixture
def judge(tmp_path: Path) -> Any:
    def run(tests: str, *, head: str = "target: t", policy: str = POLICY) -> Report:
        (tmp_path / "p.yaml").write_text(policy)
        (tmp_path / "p.aegis-test.yaml").write_text(f"{head}\n{tests}")
        return run_test_file(read_test_file(tmp_path / "p.aegis-test.yaml"))

    return run


def one(report: Report) -> Case:
    (case,) = report.cases
    return case


def missed(case: Case) -> list[tuple[str, str, str]]:
    return [(what, expected, got) for miss in case.misses for what, expected, got in miss.differences]


CASES = {
    "{call: {type: drop_x}, expect: {approval: block, rule: no_drops, risk: critical}}": [],
    "{call: {type: drop_x}, expect: {approval: auto, rule: reads, risk: low}}": [
        ("approval", "auto", "block"),
        ("rule", "reads", "no_drops"),
        ("risk", "low", "critical"),
    ],
    "{call: {type: read_x, params: {path: /data/x}}, expect: auto}": [],
    "{call: {type: read_x, params: {path: /data/../x}}, "
    "expect: {approval: block, rule: <default>, floors: [reads]}}": [],
    "{call: {type: read_x, params: {path: /x}}, expect: {approval: block, floors: [reads]}}": [
        ("floors", "reads", "none")
    ],
    # the session so far
    "{call: {type: save}, expect: {approval: approve, rule: saves, floors: [after_web]}}": [],
    "{call: {type: save}, given: {}, expect: {approval: auto, rule: saves}}": [],
    "{call: {type: save}, given: {calls: [{type: fetch}]}, expect: {approval: approve, rule: after_web}}": [],
    "{call: {type: send, params: {to: jane@x.com}}, given: {said: mail jane@x.com}, expect: auto}": [],
    "{call: {type: send, params: {to: eve@x.com}}, given: {said: mail jane@x.com}, expect: block}": [],
    "{call: {type: send, params: {to: eve@x.com}}, given: {said: hi}, expect: auto}": [("approval", "auto", "block")],
    "{call: {type: send, params: {to: joe@x.com}}, given: {said: hi, calls: "
    "[{type: get_contacts, result: [{mail: joe@x.com}]}]}, expect: auto}": [],
    "{call: {type: send, params: {to: joe@x.com}}, given: {said: hi, calls: "
    "[{type: fetch, result: [{mail: joe@x.com}]}]}, expect: block}": [],
    "{call: {type: ping}, given: {calls: [{type: ping}]}, expect: auto}": [],
    "{call: {type: ping}, given: {calls: [{type: ping}, {type: ping}]}, expect: block}": [],
    # time
    "{call: {type: deploy}, expect: auto}": [],
    '{call: {type: deploy}, now: "2026-03-24T20:00:00Z", expect: block}': [],
    '{call: {type: deploy}, now: "2026-03-24T08:30:00-05:00", expect: auto}': [],
    '{call: {type: deploy}, now: "2026-03-24T16:59", expect: auto}': [],
    # who
    "{call: {type: pay, user: alice, agent: bot}, expect: approve}": [],
    "{call: {type: pay, user: bob, agent: bot}, expect: block}": [],
    # results
    "{call: {type: read_x, params: {path: /data}}, result: code ACME-12, expect: {approval: auto, result: "
    "{rules: [mask], contains: code, lacks: [ACME, '12']}}}": [],
    "{call: {type: read_x, params: {path: /data}}, result: code ACME-12, expect: {approval: auto, result: "
    "{rules: [], lacks: code}}}": [("result rules", "none", "mask"), ("result", "no code", "code [redacted]")],
    "{call: {type: save}, given: {}, result: [short], expect: {approval: auto, result: {equals: [short]}}}": [],
    "{call: {type: save}, given: {}, result: 0123456789abc, expect: {approval: auto, result: {lacks: abc}}}": [],
    "{call: {type: save}, given: {}, result: {a: 1}, "
    "expect: {approval: auto, result: {equals: {a: 2}, contains: b}}}": [
        ("result", '{"a": 2}', '{"a": 1}'),
        ("result", "… b …", '{"a": 1}'),
    ],
    "{call: {type: get_contacts}, result: x, "
    "expect: {approval: block, result: {rules: [none], contains: withheld}}}": [],
}


@pytest.mark.parametrize("test", CASES)
def test_a_call_is_judged_by_the_engine_in_the_session_so_far(judge: Any, test: str) -> None:
    case = one(judge(f"tests:\n  - {{name: it, {test[1:]}"))
    got = missed(case)
    assert [(what, want, text[:40]) for what, want, text in got] == CASES[test]
    assert case.ok is (not CASES[test])


def test_a_miss_of_the_decision_explains_it(judge: Any) -> None:
    case = one(judge("tests:\n  - {name: it, call: {type: read_x, params: {path: /etc}}, expect: auto}"))
    assert "it lies under none of the folders" in case.misses[0].why
    assert case.line == 3


def test_a_session_is_judged_call_by_call_and_its_approvals_are_counted(judge: Any) -> None:
    steps = """sessions:
  - name: work
    approvals: 3
    steps:
      - said: mail jane@x.com
      - {type: send, params: {to: jane@x.com}, expect: auto}
      - {type: save, expect: auto}
      - {type: fetch, target: web, expect: block}
      - {type: save, expect: auto}
      - {type: pay, user: alice, agent: bot, denied: true, expect: approve}
      - {type: pay, user: alice, agent: bot}
      - {said: "and joe@x.com", type: send, params: {to: joe@x.com}, expect: auto}
      - {type: ping}
      - {type: ping}
      - {type: ping, expect: block}
      - {type: pay, user: alice, agent: bot, expect: {approval: approve, rule: for_alice}}
"""
    case = one(judge(steps))
    assert (case.ok, case.calls, case.asked, missed(case)) == (True, 11, 3, [])
    case = one(
        judge(
            steps.replace("approvals: 3", "approvals: 0").replace(
                "expect: block}\n      - {type: save, expect: auto", "expect: auto}\n      - {type: save, expect: block"
            )
        )
    )
    assert [miss.call for miss in case.misses] == ["call 3, fetch", "call 4, save", ""]
    assert missed(case)[-1] == ("approvals", "0", "3")


def test_in_a_session_a_call_that_says_nothing_must_not_be_blocked(judge: Any) -> None:
    case = one(judge("sessions: [{name: s, approvals: 0, steps: [{type: unknown}]}]"))
    assert missed(case) == [("approval", "auto or approve", "block")]


def test_what_was_denied_or_blocked_has_not_been_called(judge: Any) -> None:
    policy = POLICY.replace(
        "{name: after_web", "{name: fetches, match: {type: fetch}, approval: approve}\n  - {name: after_web"
    )
    steps = "sessions: [{name: s, approvals: 1, steps: [{type: fetch, denied: %s}, {type: save, expect: %s}]}]"
    assert one(judge(steps % ("true", "auto"), policy=policy)).ok
    assert one(judge((steps % ("false", "approve")).replace("approvals: 1", "approvals: 2"), policy=policy)).ok


def test_results_in_a_session_are_screened_before_they_are_learned(judge: Any) -> None:
    steps = (
        "sessions: [{name: s, approvals: 0, steps: [{said: hello there}, {type: get_contacts, result: joe@x.com}, %s]}]"
    )
    send = "{type: send, params: {to: joe@x.com}, expect: %s}"
    lets = POLICY.replace(
        "{name: to_known", "{name: gets, match: {type: get_contacts}, approval: auto}\n  - {name: to_known"
    )
    assert one(judge(steps % (send % "block"), policy=lets)).ok, "the result is withheld, so nobody has read it"
    shown = lets.replace('  - {name: none, match: {type: "get_*"}, block: true}\n', "")
    assert one(judge(steps % (send % "auto"), policy=shown)).ok
    marked = "{type: get_contacts, result: x, expect: {approval: auto, result: {rules: [none], contains: withheld}}}"
    assert one(judge(steps % marked, policy=lets)).ok


def names(coverage: Coverage) -> list[str]:
    return [rule.name for rule in coverage.missing]


def test_a_rule_is_covered_by_a_call_it_decides_and_that_is_expected_of(judge: Any) -> None:
    report = judge(
        """tests:
  - {name: a, call: {type: drop_x}, expect: block}
  - name: b
    call: {type: read_x, params: {path: /data}}
    result: ACME-1
    expect: {approval: auto, result: {lacks: ACME}}
  - {name: c, call: {type: save}, given: {}, expect: auto}
sessions:
  - {name: s, approvals: 0, steps: [{type: ping}, {type: deploy, expect: auto}]}
"""
    )
    left = ["after_web", "to_known", "few", "for_alice", "short", "data", "none"]
    assert names(report.coverage) == left, "a floor is no decision, and a step without expectation no test"
    assert report.coverage.percent == pytest.approx(100 * 5 / 12)
    assert [rule.place.line for rule in report.coverage.missing][:2] == [7, 10]


def test_coverage_of_several_files_is_what_any_of_them_covers(judge: Any) -> None:
    one_file = judge("tests: [{name: a, call: {type: drop_x}, expect: block}]").coverage
    other = judge("tests: [{name: a, call: {type: ping}, given: {}, expect: auto}]").coverage
    both = Coverage.of([one_file, other])
    assert len(both.rules) == 12
    assert {"no_drops", "few"}.isdisjoint(names(both))


def test_every_layer_that_decides_covers_its_rule_and_included_rules_are_tested_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "org.yaml").write_text('version: "1"\nrules: [{name: a, match: {type: x}, approval: block}]\n')
    (tmp_path / "team.yaml").write_text(
        'version: "1"\ninclude: [memory, more.yaml]\nrules: [{name: a, match: {type: x}, approval: auto}]\n'
    )
    (tmp_path / "more.yaml").write_text('version: "1"\nrules: [{name: more, match: {type: z}, approval: auto}]\n')
    file = tmp_path / "all.aegis-test.yaml"
    file.write_text(
        "policy: {org: org.yaml, team: team.yaml}\n"
        "tests: [{name: a, call: {type: x, target: t}, expect: {approval: block, rule: org/a}}]\n"
    )
    coverage = run_test_file(read_test_file(file)).coverage
    assert len(coverage.rules) == 2
    assert coverage.percent == 100


def test_a_policy_without_rules_is_covered(judge: Any) -> None:
    report = judge("tests: [{name: a, call: {type: x}, expect: block}]", policy='version: "1"\n')
    assert (one(report).ok, report.coverage.percent) == (True, 100)
