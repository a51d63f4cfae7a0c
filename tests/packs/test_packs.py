"""The packs against the real servers' tool lists: every tool decided on purpose, every rule tested, few questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aegis import Action, Policy, Runtime
from aegis.testing import MemoryAuditLogger, ScriptedApprovalHandler
from aegis.workbench.lint import lint
from aegis.workbench.policytest import run_test_file
from aegis.workbench.testfile import read_test_file
from aegis.workbench.tools import read_tools
from aegis_core.policy.packs import FOLDER, options, pack_names, pack_path
from aegis_core.policy.reading import given
from aegis_core.record import Intent, Refusal

if TYPE_CHECKING:
    from aegis.workbench.testfile import TestFile

TOOLS = Path(__file__).parents[1] / "mcp" / "tools"
PACKS = pack_names()
PARSERS = {"database": "sqlglot", "sqlite": "sqlglot", "fetch": "ada_url", "playwright": "ada_url"}
BLOCKED = {
    "email": {"batch_delete_emails", "create_filter", "create_filter_from_template"},
    "playwright": {"browser_evaluate", "browser_run_code_unsafe"},
}
"""Tools of a server that its pack never lets run, whatever their arguments."""


@pytest.fixture(params=PACKS)
def pack(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name in PARSERS:
        pytest.importorskip(PARSERS[name])
    return name


def tools(pack: str) -> dict[str, dict[str, Any]]:
    listed = json.loads((TOOLS / f"{pack}.json").read_text(encoding="utf-8"))["tools"]
    return {tool["name"]: tool["inputSchema"].get("properties", {}) for tool in listed}


def load(pack: str) -> Policy:
    return Policy.from_yaml(pack_path(pack))


def _returns(value: Any) -> Any:
    return lambda _arguments: value


def own_tests(pack: str) -> TestFile:
    return read_test_file(FOLDER / f"{pack}.aegis-test.yaml")


def test_a_packs_tests_hold_and_cover_every_rule(pack: str) -> None:
    report = run_test_file(own_tests(pack))
    assert [(case.name, case.misses) for case in report.cases if not case.ok] == []
    assert report.coverage.missing == []


def test_lint_finds_nothing_in_a_pack_with_the_tools_of_its_server(pack: str) -> None:
    assert lint([pack_path(pack)], servers=[read_tools(f"{pack}={TOOLS / pack}.json")]) == []


def test_every_tool_of_the_real_server_is_decided_by_a_rule_with_a_name(pack: str) -> None:
    policy = load(pack)
    for tool in tools(pack):
        decision = policy.evaluate(Action(tool, pack, {}))
        assert decision.matched_rule.startswith(f"{pack}_"), tool
    assert policy.evaluate(Action("brand_new_tool", pack, {})).matched_rule == f"{pack}_rest"
    assert policy.rules[-1].name == f"{pack}_rest"
    assert policy.rules[-1].approval == "block"


def test_every_tool_is_named_by_a_rule_or_blocked_on_purpose(pack: str) -> None:
    named = {tool for rule in load(pack).rules if rule.approval != "block" for tool in rule.document.match.type}
    assert named - {"*"} == set(tools(pack)) - BLOCKED.get(pack, set())


def test_no_rule_asks_for_an_argument_that_its_tools_do_not_have(pack: str) -> None:
    servers = tools(pack)
    for rule in load(pack).rules:
        if rule.document.conditions is None:
            continue
        concerned = servers if rule.document.match.type == ("*",) else rule.document.match.type
        for kind, value in given(rule.document.conditions).items():
            for path in value if kind.startswith("param_") else ():
                name = path.partition(".")[0].removesuffix("[]")
                assert any(name in servers[tool] for tool in concerned), (rule.name, path)
                assert rule.document.match.type == ("*",) or all(name in servers[tool] for tool in concerned), rule.name


def test_a_session_of_ordinary_work_asks_at_most_once_in_five_calls(pack: str) -> None:
    sessions = [case for case in run_test_file(own_tests(pack)).cases if case.session]
    assert sessions
    for case in sessions:
        assert case.asked * 5 <= case.calls, f"{case.name}: {case.asked} of {case.calls}"


def test_a_runtime_asks_as_often_as_the_session_in_the_packs_tests_says(pack: str) -> None:
    file = own_tests(pack)
    for number, document in enumerate(file.document.sessions):
        handler = ScriptedApprovalHandler([True] * len(document.steps))
        trail = MemoryAuditLogger()
        runtime = Runtime(policy=file.policy, approval_handler=handler, audit_logger=trail)
        expected: list[str] = []
        with runtime.session(f"s{number}") as session:
            for step in document.steps:
                for text in step.said or ():
                    session.add_user_text(text)
                if step.type is not None:
                    runtime.run(Action(step.type, pack, step.params), _returns(step.result))
                    expected.append(step.expect.approval.value if step.expect is not None else "auto")
        decided = [record.decision.approval.value for record in trail.records if isinstance(record, Intent | Refusal)]
        assert decided == expected
        assert len(handler.requests) == document.approvals


def test_the_rules_of_all_packs_have_names_of_their_own_so_that_one_policy_may_include_them_all() -> None:
    for parser in set(PARSERS.values()):
        pytest.importorskip(parser)
    policy = Policy.from_string(f'version: "1"\ninclude: [{", ".join(PACKS)}]')
    assert len(policy.rules) == sum(len(load(pack).rules) for pack in PACKS)
    assert all(rule.name.startswith(tuple(f"{pack}_" for pack in PACKS)) for rule in policy.rules)
    assert policy.evaluate(Action("read_graph", "memory")).permitted
    assert policy.evaluate(Action("read_graph", "elsewhere")).matched_rule == "<default>"


def test_every_packs_server_can_be_called_otherwise(pack: str) -> None:
    text = pack_path(pack).read_text(encoding="utf-8")
    assert options(text)["server"] == f"[{pack}]"
    policy = Policy.from_dict({"version": "1", "include": [{"pack": pack, "server": "mine"}]})
    for tool in tools(pack):
        assert policy.evaluate(Action(tool, "mine", {})).matched_rule.startswith(f"{pack}_")
        assert policy.evaluate(Action(tool, pack, {})).matched_rule == "<default>"


@pytest.mark.parametrize(
    ("name", "tool", "param"),
    [
        ("filesystem", "write_file", "path"),
        ("filesystem", "edit_file", "path"),
        ("filesystem", "move_file", "source"),
        ("filesystem", "move_file", "destination"),
        ("email", "download_attachment", "filename"),
        ("playwright", "browser_take_screenshot", "filename"),
        ("playwright", "browser_evaluate", "filename"),
    ],
)
def test_a_tool_that_writes_files_never_writes_what_governs_it(name: str, tool: str, param: str) -> None:
    if name in PARSERS:
        pytest.importorskip(PARSERS[name])
    ours = [
        *("policy.yaml", "Policy.YAML", "team-policy.yml", "p.aegis-test.yaml", "aegis.lock", "trail.key"),
        *("aegis_audit.db", "aegis_audit.db-wal", "aegis_audit.db.key", "AEGIS_AUDIT.DB"),
        *("claude_desktop_config.json", ".mcp.json", "mcp.json", "settings.json", "settings.local.json"),
    ]
    inside = {other: "/data/other" for other in tools(name)[tool] if other != param}
    for file in ours:
        path = file if name == "playwright" else f"/data/.cursor/{file}"
        decision = load(name).evaluate(Action(tool, name, {**inside, param: path}))
        assert decision.approval == "block", file
