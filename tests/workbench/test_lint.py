"""What lint finds, and what it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
