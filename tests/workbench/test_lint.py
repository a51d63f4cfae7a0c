"""What lint finds, and what it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aegis import Action, Policy
from aegis.workbench.lint import lint
from aegis.workbench.tools import read_tools

if TYPE_CHECKING:
    from aegis.workbench.findings import Finding

SEED = Path(__file__).parents[1] / "seed"
TOOLS = Path(__file__).parents[1] / "mcp" / "tools"
NOW = datetime(2026, 3, 22, 12, 0, tzinfo=UTC)


def linted(folder: Path, text: str, *tools: str) -> list[Finding]:
    file = folder / "policy.yaml"
    file.write_text(f'version: "1"\n{text}', encoding="utf-8")
    return lint([file], servers=[read_tools(given) for given in tools], now=NOW)


def codes(found: list[Finding]) -> list[str]:
    return [finding.code for finding in found]


def rules_of(found: list[Finding], code: str) -> list[str | None]:
    return [finding.rule for finding in found if finding.code == code]


# --- the documented system's own examples, held against the real servers ---------------------------------------------


def test_the_documented_filesystem_policy_speaks_of_a_tool_that_the_server_has_not():
    found = lint([SEED / "filesystem.yaml"], servers=[read_tools(str(TOOLS / "filesystem.json"))])
    assert rules_of(found, "AEG012") == ["block_deletes"]
    assert rules_of(found, "AEG007") == ["block_moves"]


@pytest.mark.parametrize("name", ["", "database="])
def test_the_documented_database_policy_has_neither_the_servers_tools_nor_its_argument(name: str):
    found = lint([SEED / "database.yaml"], servers=[read_tools(f"{name}{TOOLS / 'sqlite.json'}")])
    rules = ["allow_select", "approve_mutations", "block_destructive", "block_bulk_delete"]
    assert rules_of(found, "AEG012") == rules
    assert rules_of(found, "AEG013") == rules
    assert {f.remedy for f in found if f.code == "AEG012"} == {"Did you mean 'read_query' or 'write_query'?"}
    assert {f.remedy for f in found if f.code == "AEG013"} == {"Did you mean 'query'?"}
    assert rules_of(found, "AEG007") == ["block_bulk_delete"]
    assert rules_of(found, "AEG008") == ["allow_select"]


def test_the_documented_browser_policy_speaks_of_tools_that_are_called_otherwise():
    found = lint([SEED / "browser.yaml"], servers=[read_tools(f"browser={TOOLS / 'playwright.json'}")])
    assert len(rules_of(found, "AEG012")) == 6
    assert "Did you mean 'browser_click'?" in {finding.remedy for finding in found}
    assert rules_of(found, "AEG007") == ["block_submit"]


# --- one rule at a time ----------------------------------------------------------------------------------------------


RULES = "rules:\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("defaults: {approval: auto}", ["AEG006"]),
        ("defaults: {approval: block}", []),
        (RULES + "  - {name: block_it, match: {type: a}, approval: approve}", ["AEG007"]),
        (RULES + "  - {name: neverDelete, match: {type: a}, approval: approve}", ["AEG007"]),
        (RULES + "  - {name: allow_it, match: {type: a}, approval: approve}", ["AEG007"]),
        (RULES + "  - {name: ask_first, match: {type: a}, approval: auto}", ["AEG007"]),
        (RULES + "  - {name: blocks_world, match: {type: a}, approval: block}", []),
        (RULES + "  - {name: unblock, match: {type: a}, approval: auto}", []),
        (RULES + "  - {name: all, approval: auto}", ["AEG011"]),
        (RULES + "  - {name: all_on_mail, match: {target: mail}, approval: auto}", []),
        (
            RULES + '  - {name: r, match: {type: a}, conditions: {until: "2026-01-01T00:00:00Z"}, approval: auto}',
            ["AEG005"],
        ),
        (RULES + '  - {name: r, match: {type: a}, conditions: {until: "2027-01-01T00:00:00Z"}, approval: auto}', []),
        (
            RULES + "  - {name: r, match: {type: a}, conditions: {param_from: {to: [trusted]}}, approval: auto}",
            ["AEG016"],
        ),
        (RULES + "  - {name: r, match: {type: a}, conditions: {param_from: {to: [user]}}, approval: auto}", []),
    ],
)
def test_what_one_key_gives_rise_to(tmp_path: Path, text: str, found: list[str]):
    assert codes(linted(tmp_path, text)) == found


@pytest.mark.parametrize(
    ("param", "pattern", "approval", "found"),
    [
        ("id", "^[0-9]+$", "auto", []),
        ("id", "[0-9]+$", "auto", ["AEG009"]),
        ("id", "^[0-9]+", "auto", ["AEG009"]),
        ("id", "^[0-9]+|x$", "auto", ["AEG009"]),
        ("id", "^(?:[0-9]+|[|]x)$", "auto", []),
        ("id", "(?m)^x$", "auto", ["AEG009"]),
        ("id", r"(?i)^x\$", "auto", ["AEG009"]),
        ("sql", "^SELECT [a-z ]+$", "auto", ["AEG008"]),
        ("query", "^SELECT [a-z ]+$", "auto", ["AEG008"]),
        ("file_path", "^[a-z/]+$", "auto", ["AEG008"]),
        ("sourceUrl", "^x+$", "auto", ["AEG008"]),
        ("q", "^https://[a-z.]+/$", "auto", ["AEG008"]),
        ("to", "^[a-z]+@example[.]com$", "auto", ["AEG008"]),
        ("to", "^[a-z]+$", "auto", []),
        ("command", "^git status$", "auto", ["AEG008"]),
        ("sql", "DROP", "block", ["AEG010"]),
        ("sql", "(?i)DROP", "block", []),
        ("id", "^[A-Z]+$", "block", []),
        ("sql", "DROP", "approve", ["AEG010"]),
    ],
)
def test_what_a_pattern_gives_rise_to(tmp_path: Path, param: str, pattern: str, approval: str, found: list[str]):
    conditions = f"{{param_matches: {{{param}: '{pattern}'}}}}"
    rule = f"  - {{name: r, match: {{type: a}}, conditions: {conditions}, approval: {approval}}}"
    assert codes(linted(tmp_path, RULES + rule)) == found


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ("match: {type: 'read_*'}, approval: auto", "match: {type: read_file}, approval: block", ["AEG002"]),
        ("match: {type: 'read_*'}, approval: auto", "match: {type: 'read*'}, approval: block", []),
        ("match: {type: 'read_*', target: fs}, approval: auto", "match: {type: read_file}, approval: block", []),
        ("match: {type: ['a*', 'b*']}, approval: auto", "match: {type: 'a?'}, approval: block", ["AEG002"]),
        ("match: {type: a}, approval: auto", "match: {type: [a]}, approval: auto", ["AEG003"]),
        (
            "match: {type: a}, conditions: {param_gt: {x: 1}}, approval: block",
            "match: {type: a}, conditions: {param_gt: {x: 2}}, approval: auto",
            ["AEG002"],
        ),
        (
            "match: {type: a}, conditions: {param_gt: {x: 2}}, approval: block",
            "match: {type: a}, conditions: {param_gt: {x: 1}}, approval: auto",
            [],
        ),
        (
            "match: {type: a}, conditions: {param_path: {p: {under: [/a, /b]}}}, approval: block",
            "match: {type: a}, conditions: {param_path: {p: {under: [/a]}}}, approval: auto",
            ["AEG002"],
        ),
        (
            "match: {type: a}, conditions: {param_matches: {p: '^[a-z]+$'}}, approval: approve",
            "match: {type: a}, conditions: {param_matches: {p: '^[a-c]+$'}}, approval: approve",
            [],  # true, and not understood: so nothing is said
        ),
        (
            "match: {type: b}, approval: block",
            "match: {type: a}, conditions: {param_gt: {x: 5}, param_lt: {x: 3}}, approval: approve",
            ["AEG004"],
        ),
        (
            "match: {type: b}, approval: block",
            "match: {type: a}, conditions: {param_names: [x], param_eq: {z: 1}}, approval: approve",
            ["AEG004"],
        ),
        (
            "match: {type: a}, conditions: {time_after: '08:00', time_before: '18:00'}, approval: block",
            "match: {type: a}, conditions: {time_after: '09:00', time_before: '10:00'}, approval: approve",
            ["AEG002"],
        ),
    ],
)
def test_what_two_rules_give_rise_to(tmp_path: Path, first: str, second: str, found: list[str]):
    text = f"{RULES}  - {{name: one, {first}}}\n  - {{name: two, {second}}}"
    assert codes(linted(tmp_path, text)) == found


def test_rules_that_decide_everything_only_together_are_named_together(tmp_path: Path):
    text = """rules:
  - {name: reads, match: {type: "read_*"}, approval: auto}
  - {name: writes, match: {type: "write_*"}, approval: block}
  - {name: mixed, match: {type: ["read_a*", write_b]}, approval: approve}
"""
    (finding,) = linted(tmp_path, text)
    assert (finding.code, finding.rule) == ("AEG002", "mixed")
    assert "the rules 'reads' and 'writes' together" in finding.message


def test_two_halves_of_the_numbers_do_not_cover_lists_of_both(tmp_path: Path):
    text = """rules:
  - {name: small, match: {type: pay}, conditions: {param_lte: {amount: 10}}, approval: auto}
  - {name: large, match: {type: pay}, conditions: {param_gt: {amount: 10}}, approval: block}
  - {name: both, match: {type: pay}, conditions: {param_gte: {amount: 0}}, approval: approve}
"""
    assert codes(linted(tmp_path, text)) == []
    policy = Policy.from_string(f'version: "1"\n{text}')
    assert policy.evaluate(Action("pay", "shop", {"amount": [5, 50]})).matched_rule == "both"


# --- tools -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("match: {type: read_file, target: filesystem}, approval: auto", []),
        ("match: {type: read_fil, target: filesystem}, approval: auto", ["AEG012"]),
        ("match: {type: read_file, target: filesytem}, approval: auto", ["AEG012"]),
        ("match: {type: x, target: mail}, approval: auto", ["AEG012"]),
        ("match: {type: edit_file}, conditions: {param_eq: {dryRun: true}}, approval: auto", []),
        ("match: {type: edit_file}, conditions: {param_eq: {dry_run: true}}, approval: auto", ["AEG013"]),
        ("match: {type: edit_file}, conditions: {param_eq: {dryRun: 'true'}}, approval: auto", ["AEG014"]),
        ("match: {type: edit_file}, conditions: {param_gt: {dryRun: 1}}, approval: auto", ["AEG014"]),
        ("match: {type: edit_file}, conditions: {param_contains: {'edits[].newText': x}}, approval: auto", []),
        ("match: {type: edit_file}, conditions: {param_contains: {'edits[].text': x}}, approval: auto", ["AEG013"]),
        ("match: {type: read_file}, conditions: {param_gt: {head: 10}}, approval: auto", []),
        ("match: {type: read_file}, conditions: {param_path: {head: {under: [/a]}}}, approval: auto", ["AEG014"]),
        ("match: {type: read_multiple_files}, conditions: {param_path: {paths: {under: [/a]}}}, approval: auto", []),
        (
            "match: {type: list_directory_with_sizes}, conditions: {param_eq: {sortBy: date}}, approval: auto",
            ["AEG014"],
        ),
        ("match: {type: read_file}, conditions: {after: {type: fetch, target: web}}, approval: block", ["AEG015"]),
    ],
)
def test_what_a_servers_tools_give_rise_to(tmp_path: Path, rule: str, found: list[str]):
    text = f"{RULES}  - {{name: r, {rule}}}"
    assert codes(linted(tmp_path, text, f"filesystem={TOOLS / 'filesystem.json'}")) == found


def test_trust_and_results_are_held_against_the_tools_too(tmp_path: Path):
    text = """
trust:
  - {match: {type: get_contacts, target: filesystem}, results: trusted}
results:
  - {name: mark, match: {type: fetch, target: filesystem}, mark: untrusted}
"""
    found = linted(tmp_path, text, str(TOOLS / "filesystem.json"))
    assert codes(found) == ["AEG015", "AEG015"]


# --- layers, comments ------------------------------------------------------------------------------------------------


def test_layers_that_contradict_are_found_in_the_weaker_one(tmp_path: Path):
    org, team = tmp_path / "org.yaml", tmp_path / "team.yaml"
    org.write_text(
        'version: "1"\nrules: [{name: no_drops, match: {type: "drop_*"}, approval: block}]', encoding="utf-8"
    )
    team.write_text(
        'version: "1"\nrules:\n'
        "  - {name: one_drop, match: {type: drop_cache}, approval: auto}\n"
        "  - {name: reads, match: {type: read}, approval: auto}\n",
        encoding="utf-8",
    )
    assert codes(lint([org, team])) == []
    (finding,) = lint([org, team], layered=True)
    assert (finding.code, finding.rule, finding.file) == ("AEG017", "one_drop", str(team))


COMMENTED = """defaults: {{approval: auto}} {beside}
rules:
  {above}
  - name: block_a
    match: {{type: a}}
    approval: approve {inside}
"""


@pytest.mark.parametrize(
    ("comments", "found"),
    [
        ({}, ["AEG006", "AEG007"]),
        ({"beside": "# aegis: ignore AEG006 - a demo"}, ["AEG007"]),
        ({"above": "# aegis: ignore AEG007 - the name is known to people"}, ["AEG006"]),
        ({"inside": "# aegis: ignore AEG007 - the name is known to people"}, ["AEG006"]),
        ({"above": "# aegis: ignore AEG007, AEG006: both"}, ["AEG006", "AEG018"]),
        ({"inside": "# aegis: ignore AEG007"}, ["AEG006", "AEG007", "AEG018"]),
        ({"inside": "# aegis: ignore"}, ["AEG006", "AEG007", "AEG018"]),
        ({"beside": "# aegis: ignore AEG009 - nothing here"}, ["AEG006", "AEG018", "AEG007"]),
    ],
)
def test_comments_tell_lint_to_look_away_and_must_say_why(tmp_path: Path, comments: dict[str, str], found: list[str]):
    text = COMMENTED.format(**{"beside": "", "above": "", "inside": "", **comments})
    assert sorted(codes(linted(tmp_path, text))) == sorted(found)


def test_a_comment_above_the_version_is_about_the_whole_file(tmp_path: Path):
    file = tmp_path / "p.yaml"
    text = '# aegis: ignore AEG006 - a test bench\nversion: "1"\ndefaults: {approval: auto}\n'
    file.write_text(text, encoding="utf-8")
    assert codes(lint([file])) == []
