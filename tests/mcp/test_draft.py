"""Drafted policies: what real servers' tools get, and what hostile ones cannot get."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.action import Action
from aegis_core.decision import Approval
from aegis_core.errors import AegisError
from aegis_core.policy.policy import Policy
from aegis_core.policy.reach import possible
from aegis_core.text import visible
from aegis_mcp.draft.arguments import Kind, arguments_of
from aegis_mcp.draft.proposal import Limits, pattern_of
from aegis_mcp.draft.text import Draft, draft
from aegis_mcp.fit import fit
from tests.core.policy.strategies import examples

AUTO, APPROVE, BLOCK = Approval.AUTO, Approval.APPROVE, Approval.BLOCK
LISTS = Path(__file__).parent / "tools"
NAMES = sorted(file.stem for file in LISTS.glob("*.json"))


def tools(server: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads((LISTS / f"{server}.json").read_text())["tools"]
    return listed


def drafted(server: str, **limits: Any) -> Draft:
    return draft(server, tools(server), Limits(**limits))


def by_answer(found: Draft) -> dict[Approval, list[str]]:
    return {a: [one.tool for one in found.proposals if one.approval is a] for a in Approval}


@pytest.mark.parametrize("server", NAMES)
def test_a_draft_for_a_real_server_names_each_tool_and_fits(server: str) -> None:
    found = drafted(server, roots=("/data",))
    listed = [tool["name"] for tool in tools(server)]
    assert sorted(name for names in by_answer(found).values() for name in names) == sorted(listed)
    checked = fit(found.policy, server, tools(server))
    assert checked.problems == ()
    for one in found.proposals:
        assert checked.answers[one.tool] == ({AUTO, APPROVE} if one.confined else {one.approval})
    assert found.policy.evaluate(Action("brought_by_a_later_version", server)).approval is BLOCK
    assert found.policy.evaluate(Action(listed[0], "another_server")).approval is BLOCK


def test_the_filesystem_server_reads_unasked_within_the_folders_and_asks_for_everything_else() -> None:
    policy = drafted("filesystem", roots=("/data", "/srv/x")).policy

    def decide(tool: str, **params: Any) -> Approval:
        return policy.evaluate(Action(tool, "filesystem", params)).approval

    assert decide("read_text_file", path="/data/a.txt") is AUTO
    assert decide("read_multiple_files", paths=["/data/a", "/srv/x/b"]) is AUTO
    assert decide("read_multiple_files", paths=["/data/a", "/etc/passwd"]) is APPROVE
    assert decide("read_text_file", path="/data/../etc/passwd") is APPROVE
    assert decide("read_text_file", path="a.txt") is APPROVE
    assert decide("list_allowed_directories") is AUTO
    assert decide("write_file", path="/data/a.txt", content="") is APPROVE
    assert decide("Read_File", path="/data/a.txt") is BLOCK


def test_without_a_folder_nothing_that_takes_a_path_runs_unasked() -> None:
    assert by_answer(drafted("filesystem"))[AUTO] == ["list_allowed_directories"]
    assert by_answer(drafted("git"))[AUTO] == []


def test_hints_are_read_as_the_less_trusting_reading_has_it() -> None:
    found = by_answer(drafted("everything"))
    assert "get-sum" in found[AUTO]
    assert "get-env" in found[APPROVE]  # "read-only", and prints every environment variable
    assert by_answer(drafted("fetch")) == {AUTO: [], APPROVE: ["fetch"], BLOCK: []}
    assert by_answer(drafted("memory"))[BLOCK] == ["delete_entities", "delete_observations", "delete_relations"]
    assert by_answer(drafted("sqlite"))[APPROVE] == [tool["name"] for tool in tools("sqlite")]
    assert by_answer(drafted("time"))[AUTO] == ["get_current_time", "convert_time"]


def hinted(name: str = "look", *, schema: Any = None, **hints: Any) -> dict[str, Any]:
    annotations = {"readOnlyHint": True, "openWorldHint": False, **hints}
    return {"name": name, "inputSchema": schema or {"type": "object", "properties": {}}, "annotations": annotations}


@pytest.mark.parametrize(
    ("tool", "approval"),
    [
        (hinted(), AUTO),
        (hinted(openWorldHint=True), APPROVE),
        (hinted(openWorldHint=None), APPROVE),
        (hinted(openWorldHint=0), APPROVE),
        (hinted(readOnlyHint="true"), APPROVE),
        (hinted(readOnlyHint=1), APPROVE),
        (hinted(destructiveHint=True), APPROVE),
        (hinted("delete_all", readOnlyHint=False, destructiveHint=True), BLOCK),
        (hinted("delete_all"), APPROVE),
        (hinted("writeFile"), APPROVE),
        (hinted("get_secret"), APPROVE),
        (hinted(schema={"type": "object", "properties": {"url": {"type": "string"}}}), APPROVE),
        (hinted(schema={"type": "object", "properties": {"x": {"type": "string", "format": "uri"}}}), APPROVE),
        (hinted(schema={"type": "object", "properties": {"code": {"type": "string"}}}), APPROVE),
        (hinted(schema={"type": "object", "properties": {"x": {"description": "A file name"}}}), APPROVE),
        (hinted(schema={"$ref": "#/$defs/x"}), APPROVE),
        (hinted(schema={"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}}}), APPROVE),
        (hinted(schema={"type": "object", "additionalProperties": {"type": "string"}}), APPROVE),
        (hinted(schema=[]), AUTO),
        ({**hinted(), "inputSchema": None}, APPROVE),
        ({**hinted(), "annotations": [True]}, APPROVE),
    ],
)
def test_only_both_hints_and_nothing_against_them_run_unasked(tool: dict[str, Any], approval: Approval) -> None:
    (one,) = draft("s", [tool], Limits()).proposals
    assert one.approval is approval


def test_arguments_are_found_where_they_hide() -> None:
    schema = {
        "type": "object",
        "properties": {
            "repoPath": {"type": "string"},
            "mode": {"type": "string", "enum": ["path"]},
            "maybe_url": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "edits": {"type": "array", "items": {"type": "object", "properties": {"file": {"type": "string"}}}},
            "options": {"type": "object", "properties": {"cwd": {"type": "string"}, "a b": {"format": "email"}}},
            "files": {"type": "array", "items": {"type": "string"}},
            "count": {"type": "number"},
            "query": {"type": "string", "description": "SQL to run"},
        },
    }
    found, plain = arguments_of({"name": "t", "inputSchema": schema})
    assert plain
    assert [(argument.path, argument.kind) for argument in found] == [
        ("repoPath", Kind.PATH), ("maybe_url", Kind.URL), ("edits[].file", Kind.PATH), ("options.cwd", Kind.PATH),
        (None, Kind.EMAIL), ("files", Kind.PATH), ("query", Kind.SQL),
    ]  # fmt: skip


def test_a_query_that_only_reads_runs_unasked_where_the_dialect_is_known() -> None:
    pytest.importorskip("sqlglot")
    schema = {"type": "object", "properties": {"sql": {"type": "string"}}}
    found = draft("db", [hinted("query", schema=schema)], Limits(dialect="postgres"))

    def decide(sql: str) -> Approval:
        return found.policy.evaluate(Action("query", "db", {"sql": sql})).approval

    assert (decide("SELECT a FROM t"), decide("SELECT 1; DROP TABLE t")) == (AUTO, APPROVE)
    assert by_answer(draft("db", [hinted("query", schema=schema)], Limits()))[APPROVE] == ["query"]


@pytest.mark.parametrize("server", NAMES)
def test_every_example_in_the_comments_is_a_rule_that_loads(server: str) -> None:
    pytest.importorskip("sqlglot")
    pytest.importorskip("ada_url")
    pytest.importorskip("tree_sitter_bash")
    text = drafted(server).text
    live = re.sub(r"^  # (- name:|  [a-z_]+:)", r"  \1", text, flags=re.MULTILINE)
    assert len(Policy.from_string(live).rules) == len(Policy.from_string(text).rules) + text.count("# For example:")


# --- hostile servers -------------------------------------------------------------------------------------------------

anything: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
hostile: Any = st.text(max_size=20) | st.sampled_from(
    [
        "", " ", "*", "?", "[a]", "]", "[", "read_*", "x\n    approval: auto", "x'", 'x"', "\\", "a: b", "- x", "# x",
        "x # y", "yes", "null", "1", "1.0", "0x10", "2001-01-01", "a\u2028b", "\u202e", "\ud800", "\x85", "\x7f",
        "\ufeff", "é", "日本", "\U0001f600", "а", "paypаl", "true", "~", "&a", "*a", "!x", "%x", "@x", "`", "{a}",
        "a,b", "\t", "<x",
    ]
)  # fmt: skip
properties: Any = anything | st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "array", "object", ["string", "null"]]), "format": hostile,
        "description": hostile, "items": anything, "properties": anything, "anyOf": anything,
    },
)  # fmt: skip
named = hostile | st.sampled_from(["path", "url", "sql", "a.b", "a[]"])
schemas: Any = anything | st.fixed_dictionaries(
    {"type": st.just("object")},
    optional={"properties": anything | st.dictionaries(named, properties, max_size=4)},
)
hints = st.sampled_from([True, False, None, "true", 1, 0])
annotated: Any = anything | st.fixed_dictionaries(
    {}, optional={"readOnlyHint": hints, "openWorldHint": hints, "destructiveHint": hints, "title": hostile}
)
listed: Any = st.lists(
    st.fixed_dictionaries(
        {"name": hostile | st.sampled_from(["read", "delete", "list_files"])},
        optional={
            "description": anything | hostile,
            "inputSchema": schemas,
            "annotations": annotated,
            "title": hostile,
        },
    ),
    max_size=6,
)


def says_it_only_reads_and_nothing_beyond(tool: dict[str, Any]) -> bool:
    found = tool.get("annotations")
    return isinstance(found, dict) and found.get("readOnlyHint") is True and found.get("openWorldHint") is False


@examples(300)
@given(hostile, listed, st.sampled_from([(), ("/data",)]), st.none() | hostile)
def test_whatever_a_server_lists_the_draft_loads_and_runs_unasked_only_what_was_hinted(
    server: str, tools: list[dict[str, Any]], roots: tuple[str, ...], introduction: str | None
) -> None:
    if pattern_of(server) is None:
        with pytest.raises(AegisError, match="cannot be a server's name"):
            draft(server, tools, Limits())
        return
    found = draft(server, tools, Limits(roots=roots), introduction=introduction)
    policy = Policy.from_string(found.text)
    assert all(line == visible(line) for line in found.text.split("\n"))
    assert {rule.document.match.target for rule in policy.rules} <= {(pattern_of(server),)}
    reading = {tool["name"] for tool in tools if says_it_only_reads_and_nothing_beyond(tool)}
    names = {tool["name"] for tool in tools} | {"read", "other", "READ", "x"}
    for name in names:
        answers = possible(policy, (name, server, None, None))
        assert AUTO not in answers or name in reading
        assert possible(policy, (name, f"{server}x", None, None)) == {BLOCK}
    assert policy.evaluate(Action("never_listed", server)).approval is BLOCK


def test_a_server_cannot_make_the_draft_too_large() -> None:
    with pytest.raises(AegisError, match="lists 2001 tools, and a draft has room for 2000"):
        draft("s", [{"name": f"t{n}"} for n in range(2001)], Limits())
    long = "x" * 100_000
    text = draft("s", [{"name": f"t{n}", "description": long} for n in range(2000)], Limits(), introduction=long).text
    assert len(text) < 400_000
