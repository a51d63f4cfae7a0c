"""The policies in examples/, call by call. Where a comment there promises something, a line here holds it to that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aegis import Action, Approval, Policy
from aegis.core.hierarchy import PolicyHierarchy

FOLDER = Path(__file__).parents[2] / "examples" / "policies"
AUTO, ASK, BLOCK = Approval.AUTO, Approval.APPROVE, Approval.BLOCK
PATH = {"path": "/data/report.csv"}


def load(name: str) -> Policy:
    return Policy.from_yaml(FOLDER / f"{name}.yaml")


def sql(text: str) -> dict[str, str]:
    return {"sql": text}


# policy -> (type, target, params, what happens, the rule that decides)
CALLS: dict[str, list[tuple[str, str, dict[str, Any], Approval, str]]] = {
    "mcp-policy": [
        ("read_file", "filesystem", PATH, AUTO, "allow_reads"),
        ("read_messages", "slack", {}, AUTO, "allow_reads"),
        ("delete_file", "filesystem", PATH, BLOCK, "block_file_deletes"),
        ("delete_directory", "filesystem", PATH, BLOCK, "block_file_deletes"),
        ("rmdir", "filesystem", PATH, BLOCK, "block_file_deletes"),
        ("write_file", "filesystem", PATH, ASK, "approve_file_writes"),
        ("delete_file", "other", PATH, ASK, "<default>"),
        ("query", "database", sql("DROP TABLE users"), ASK, "<default>"),
        # Another spelling of a name does not slip past a block, nor through an allow.
        ("Delete_File", "filesystem", PATH, BLOCK, "<default>"),
        ("filesystem__delete_file", "filesystem", PATH, BLOCK, "<default>"),
        ("Read_File", "filesystem", PATH, ASK, "<default>"),
    ],
    "filesystem": [
        ("read_file", "filesystem", PATH, AUTO, "allow_reads"),
        ("list_directory", "filesystem", {"path": "/data"}, AUTO, "allow_list"),
        ("write_file", "filesystem", {**PATH, "content": "x"}, ASK, "approve_writes"),
        ("delete_file", "filesystem", PATH, BLOCK, "block_deletes"),
        ("delete_directory", "filesystem", PATH, BLOCK, "block_deletes"),
        # "Moves outside safe directories": either end.
        ("move_file", "filesystem", {"source": "/data/a", "destination": "/data/b"}, ASK, "approve_safe_moves"),
        ("move_file", "filesystem", {"source": "/data/a", "destination": "/etc/cron.d/a"}, BLOCK, "block_moves"),
        ("move_file", "filesystem", {"source": "/etc/passwd", "destination": "/data/a"}, BLOCK, "block_moves"),
        ("move_file", "filesystem", {"source": "/data/a", "destination": "/data/../etc/a"}, BLOCK, "block_moves"),
        ("move_file", "filesystem", {"source": "/data/a"}, BLOCK, "block_moves"),
        ("create_directory", "filesystem", PATH, ASK, "<default>"),
    ],
    "database": [
        ("query", "database", sql("SELECT * FROM users"), AUTO, "allow_select"),
        ("query", "database", sql("select id, name from app.users where id >= 10 limit 5;"), AUTO, "allow_select"),
        ("query", "database", sql("SELECT name FROM users WHERE name = 'O-Neil'"), AUTO, "allow_select"),
        # What a regular expression cannot tell for sure asks.
        ("query", "database", sql("SELECT 1; DROP TABLE users"), ASK, "<default>"),
        ("query", "database", sql("SELECT * FROM users; DROP TABLE users"), ASK, "<default>"),
        ("query", "database", sql("SELECT * INTO OUTFILE '/tmp/x' FROM users"), ASK, "<default>"),
        ("query", "database", sql("SELECT * FROM users INTO OUTFILE '/tmp/x'"), ASK, "<default>"),
        ("query", "database", sql("SELECT pg_read_file('/etc/passwd')"), ASK, "<default>"),
        ("query", "database", sql("SELECT * FROM users WHERE name = 'a\\' OR 1=1 --'"), ASK, "<default>"),
        ("query", "database", sql("SELECT * FROM users FOR UPDATE"), ASK, "<default>"),
        ("query", "database", sql("WITH a AS (DELETE FROM users RETURNING 1) SELECT * FROM a"), ASK, "<default>"),
        ("query", "database", sql("/**/DROP TABLE users"), ASK, "<default>"),
        ("query", "database", sql("INSERT INTO t VALUES (1)"), ASK, "approve_mutations"),
        ("query", "database", sql(" update t set a = 1"), ASK, "approve_mutations"),
        ("query", "database", sql("DROP TABLE users"), BLOCK, "block_destructive"),
        ("query", "database", sql("  drop table users"), BLOCK, "block_destructive"),
        ("query", "database", sql("TRUNCATE users"), BLOCK, "block_destructive"),
        # "DELETE without WHERE", and a review of those with.
        ("query", "database", sql("DELETE FROM users"), BLOCK, "block_bulk_delete"),
        ("query", "database", sql("delete\nfrom users"), BLOCK, "block_bulk_delete"),
        ("query", "database", sql("DELETE FROM users WHERE id = 1"), ASK, "approve_delete"),
        ("query", "database", sql("DELETE FROM users\nWHERE 1=1"), ASK, "approve_delete"),
        # An argument the rules cannot read is not allowed by them: the strictest that might have matched stands.
        ("query", "database", {"sql": ["DROP TABLE users"]}, BLOCK, "block_destructive"),
        ("query", "database", {"sql": 1}, BLOCK, "<default>"),
        ("query", "database", {"SQL": "DROP TABLE users"}, BLOCK, "<default>"),
        ("query", "database", {}, ASK, "<default>"),
    ],
    "email-slack": [
        ("read_messages", "slack", {}, AUTO, "allow_read_messages"),
        ("read_inbox", "email", {}, AUTO, "allow_read_email"),
        ("send_message", "slack", {"channel": "#a", "text": "hi"}, ASK, "approve_slack_send"),
        ("send_email", "email", {"to": "bob@example.com"}, ASK, "approve_email_send"),
        ("bulk_send", "email", {}, BLOCK, "block_bulk_send"),
        ("bulk_invite", "slack", {}, BLOCK, "block_bulk_send"),
        ("send_email_bulk", "email", {}, BLOCK, "block_bulk_send"),
        ("delete_message", "slack", {}, ASK, "<default>"),
    ],
    "browser": [
        ("navigate", "browser", {"url": "https://example.com"}, AUTO, "allow_navigation"),
        ("navigate", "browser", {"url": "file:///etc/passwd"}, ASK, "<default>"),
        ("screenshot", "browser", {}, AUTO, "allow_screenshot"),
        ("read_page", "browser", {}, AUTO, "allow_read_page"),
        ("fill", "browser", {"selector": "#name", "value": "x"}, ASK, "approve_form_fill"),
        # "Block form submissions (purchases, logins, etc.)": what shows itself as one; other clicks ask.
        ("submit", "browser", {}, BLOCK, "block_submit"),
        ("submit_form", "browser", {}, BLOCK, "block_submit"),
        ("click", "browser", {"selector": "button[type=submit]"}, BLOCK, "block_submit_by_click"),
        ("click", "browser", {"selector": "#buy-now"}, BLOCK, "block_submit_by_click"),
        ("click", "browser", {"selector": "text=Log in"}, BLOCK, "block_submit_by_click"),
        ("click", "browser", {"selector": "#next-page"}, ASK, "approve_click"),
        ("press", "browser", {"key": "Enter"}, BLOCK, "block_submit_by_key"),
        ("press", "browser", {"key": "a"}, ASK, "<default>"),
        # "Block JavaScript execution", by whatever tool.
        ("evaluate", "browser", {"script": "1"}, BLOCK, "block_js_eval"),
        ("evaluate_script", "browser", {"script": "1"}, BLOCK, "block_js_eval"),
        ("navigate", "browser", {"url": "javascript:alert(1)"}, BLOCK, "block_script_urls"),
        ("navigate", "browser", {"url": "\t JavaScript :alert(1)"}, BLOCK, "block_script_urls"),
    ],
    "mcp-base": [
        ("drop_table", "database", {}, BLOCK, "block_destructive_everywhere"),
        ("truncate_table", "database", {}, BLOCK, "block_destructive_everywhere"),
        ("wipe_disk", "anything", {}, BLOCK, "block_destructive_everywhere"),
        ("read_file", "filesystem", PATH, AUTO, "allow_reads_everywhere"),
        ("list_tables", "database", {}, AUTO, "allow_list_everywhere"),
        ("write_file", "filesystem", PATH, ASK, "<default>"),
    ],
    "mcp-filesystem": [
        ("write_file", "filesystem", PATH, ASK, "fs_approve_writes"),
        ("delete_file", "filesystem", PATH, BLOCK, "fs_block_deletes"),
        ("delete_tree", "filesystem", PATH, BLOCK, "fs_block_deletes"),
        ("read_file", "filesystem", PATH, ASK, "<default>"),
    ],
    "mcp-database": [
        ("query", "database", sql("DROP TABLE users"), BLOCK, "db_block_destructive"),
        ("query", "database", sql("SELECT 1"), ASK, "db_approve_queries"),
        ("anything", "database", {}, ASK, "<default>"),
    ],
    "filesystem-server": [
        ("read_text_file", "filesystem", PATH, AUTO, "allow_reads"),
        ("list_allowed_directories", "filesystem", {}, AUTO, "allow_reads"),
        ("edit_file", "filesystem", {**PATH, "edits": [], "dryRun": True}, AUTO, "allow_previews"),
        ("edit_file", "filesystem", {**PATH, "edits": [], "dryRun": False}, ASK, "approve_writes"),
        ("edit_file", "filesystem", {**PATH, "edits": [], "dryRun": "true"}, ASK, "approve_writes"),
        ("edit_file", "filesystem", {**PATH, "edits": []}, ASK, "approve_writes"),
        ("write_file", "filesystem", {**PATH, "content": "x"}, ASK, "approve_writes"),
        ("move_file", "filesystem", {"source": "/data/a", "destination": "/data/b"}, ASK, "approve_writes"),
        ("create_directory", "filesystem", PATH, ASK, "approve_new_directories"),
        ("delete_file", "filesystem", PATH, BLOCK, "<default>"),
    ],
    "demo": [
        ("read_text_file", "filesystem", {"path": "/srv/demo/a.txt"}, AUTO, "read_inside"),
        ("list_directory", "filesystem", {"path": "/srv/demo"}, AUTO, "read_inside"),
        ("read_text_file", "filesystem", {"path": "/srv/demo/../../etc/passwd"}, BLOCK, "never_outside"),
        ("read_text_file", "filesystem", {"path": "/etc/passwd"}, BLOCK, "never_outside"),
        ("read_text_file", "filesystem", {"path": "/srv/demonstration/a.txt"}, BLOCK, "never_outside"),
        ("write_file", "filesystem", {"path": "/srv/demo/a.txt", "content": "x"}, ASK, "ask_before_writing"),
        ("write_file", "filesystem", {"path": "/etc/passwd", "content": "x"}, BLOCK, "never_outside"),
        (
            "move_file",
            "filesystem",
            {"source": "/srv/demo/a", "destination": "/srv/demo/b"},
            ASK,
            "ask_before_moving",
        ),
        ("move_file", "filesystem", {"source": "/srv/demo/a", "destination": "/tmp/b"}, BLOCK, "never_outside"),
        ("delete_file", "filesystem", {"path": "/srv/demo/a.txt"}, BLOCK, "never_delete"),
        ("create_directory", "filesystem", {"path": "/srv/demo/a"}, BLOCK, "<default>"),
    ],
}


CASES = [
    pytest.param(name, *call, id=f"{name}-{number}-{call[0]}")
    for name, calls in CALLS.items()
    for number, call in enumerate(calls, 1)
]


@pytest.mark.parametrize(("name", "kind", "target", "params", "approval", "rule"), CASES)
def test_what_happens_to_a_call(
    name: str, kind: str, target: str, params: dict[str, Any], approval: Approval, rule: str
):
    decision = load(name).evaluate(Action(kind, target, params))
    assert (decision.approval, decision.matched_rule) == (approval, rule), decision.reason


def test_every_example_policy_is_tested_call_by_call():
    layers = {"org-mcp", "team-mcp", "agent-mcp"}
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {*CALLS, *layers}


@pytest.mark.parametrize("name", CALLS)
def test_every_rule_decides_some_call_and_a_rule_named_block_blocks(name: str):
    policy = load(name)
    assert {rule.name for rule in policy.rules} <= {call[4] for call in CALLS[name]}, "a rule without a test"
    for rule in policy.rules:
        verb = next((verb for verb in ("block", "approve", "allow") if verb in rule.name.split("_")), None)
        promised = {"block": BLOCK, "approve": ASK, "allow": AUTO, None: rule.approval}[verb]
        assert rule.approval is promised, rule.name


@pytest.mark.parametrize(
    ("server", "call", "approval"),
    [
        ("filesystem", ("read_file", "filesystem", PATH), AUTO),
        ("filesystem", ("delete_file", "filesystem", PATH), BLOCK),
        ("filesystem", ("write_file", "filesystem", PATH), ASK),
        ("database", ("drop_table", "database", {}), BLOCK),
        ("database", ("query", "database", sql("DROP TABLE users")), BLOCK),
        ("database", ("query", "database", sql("SELECT 1")), ASK),
    ],
)
def test_the_base_policy_with_a_servers_own(server: str, call: tuple[str, str, dict[str, Any]], approval: Approval):
    assert load("mcp-base").merge(load(f"mcp-{server}")).evaluate(Action(*call)).approval is approval


@pytest.mark.parametrize(
    ("call", "approval"),
    [
        (("query", "database", sql("SELECT 1")), AUTO),
        (("query", "database", sql("DROP TABLE users")), BLOCK),  # the agent allows queries; the organisation does not
        (("query", "database", sql("SELECT 1; drop table users")), BLOCK),
        (("drop_table", "database", {}), BLOCK),
        (("delete_file", "filesystem", {}), ASK),
        (("delete_file", "production-eu", {}), BLOCK),  # the team tightens
        (("write_file", "filesystem", {}), ASK),
        (("read_file", "database", {}), AUTO),
        (("read_file", "filesystem", {}), ASK),  # the agent's defaults tighten what the team allows
        (("read_salaries", "payroll", {}), BLOCK),
        (("anything", "else", {}), ASK),
    ],
)
def test_three_layers_and_the_strictest_wins(call: tuple[str, str, dict[str, Any]], approval: Approval):
    layers = PolicyHierarchy(org=load("org-mcp"), team=load("team-mcp"), agent=load("agent-mcp"))
    decision, _ = layers.evaluate(Action(*call))
    assert decision.approval is approval
    assert layers.flatten().evaluate(Action(*call)).approval is approval


def test_the_readme_shows_the_policy_for_the_real_filesystem_server_as_it_is():
    root = Path(__file__).parents[2]
    text = (root / "examples" / "policies" / "filesystem-server.yaml").read_text(encoding="utf-8")
    policy = text.partition("\n")[2]  # the first line names the schema by where it is in this repository
    assert policy in (root / "README.md").read_text(encoding="utf-8")
