"""How policies fit the tools of real servers: what may run, and rules that can never matter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aegis_core.decision import Approval
from aegis_core.policy.policy import Policy
from aegis_mcp.fit import fit

ROOT = Path(__file__).parents[2]


def tools(server: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads((Path(__file__).parent / "tools" / f"{server}.json").read_text())["tools"]
    return listed


def policy(rules: str) -> Policy:
    return Policy.from_string('version: "1"\nrules:\n' + rules)


def test_the_policy_for_the_filesystem_server_fits_its_tools() -> None:
    found = fit(Policy.from_yaml(ROOT / "examples/policies/filesystem-server.yaml"), "filesystem", tools("filesystem"))
    assert found.problems == ()
    assert found.answers["read_file"] == {Approval.AUTO}
    assert found.answers["write_file"] == {Approval.APPROVE}
    assert found.answers["edit_file"] == {Approval.AUTO, Approval.APPROVE}


@pytest.mark.parametrize(
    ("server", "rule", "problem"),
    [
        (
            "filesystem",
            "- {name: r, match: {type: delete_file, target: filesystem}, approval: block}",
            "rule 'r' matches none of the tools of 'filesystem': it wants 'delete_file'; did you mean 'edit_file'?",
        ),
        (
            "sqlite",
            "- {name: r, match: {type: read_query, target: sqlite}, conditions: {param_eq: {sql: x}}, approval: auto}",
            "rule 'r' looks at an argument 'sql' its tools do not have; they have: query",
        ),
        (
            "memory",
            "- {name: r, match: {target: mem*}, conditions: {param_in: {'nodes[].id': [x]}}, approval: auto}",
            "rule 'r' looks at an argument 'nodes' its tools do not have; they have: ",
        ),
    ],
)
def test_line_8_a_rule_that_can_never_match_is_named(server: str, rule: str, problem: str) -> None:
    (found,) = fit(policy(rule), server, tools(server)).problems
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "rule",
    [
        "- {name: r, match: {type: delete_file}, approval: block}",  # of any server
        "- {name: r, match: {type: delete_file, target: other}, approval: block}",
        "- {name: r, match: {type: Read_File, target: filesystem}, approval: block}",  # still shuts
        "- {name: r, match: {target: filesystem}, conditions: {param_eq: {path: x}}, approval: auto}",
    ],
)
def test_a_rule_that_may_matter_is_not(rule: str) -> None:
    assert fit(policy(rule), "filesystem", tools("filesystem")).problems == ()


def test_a_schema_that_does_not_say_all_arguments_accuses_nobody() -> None:
    tool = {"name": "t", "inputSchema": {"type": "object", "anyOf": [{"properties": {"a": {}}}]}}
    rule = "- {name: r, match: {type: t, target: s}, conditions: {param_eq: {b: 1}}, approval: auto}"
    assert fit(policy(rule), "s", [tool]).problems == ()
