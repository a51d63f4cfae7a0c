"""docs/lint.md says of every code what the program says, and its examples have what they are examples of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aegis.workbench.findings import CODES
from aegis.workbench.lint import lint
from aegis.workbench.tools import read_tools

ROOT = Path(__file__).parents[2]
SECTIONS = {
    found[1]: found[0]
    for found in re.finditer(
        r"^### (AEG\d{3}): .*?(?=^### |\Z)",
        (ROOT / "docs" / "lint.md").read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
}


def test_every_code_is_documented_in_the_programs_words():
    assert list(SECTIONS) == list(CODES)
    for code, about in CODES.items():
        head = f"### {code}: {about.title}\n\n{about.level.value.capitalize()}. {about.why} {about.fix}\n"
        assert SECTIONS[code].startswith(head)


@pytest.mark.parametrize("code", [code for code in CODES if code != "AEG017"])
def test_the_example_of_a_code_has_it(code: str, tmp_path: Path):
    example = re.search(r"```yaml\n(.*?)```", SECTIONS[code], re.DOTALL)
    assert example is not None
    file = tmp_path / "policy.yaml"
    file.write_text(example[1], encoding="utf-8")
    tools = read_tools(f"filesystem={ROOT / 'tests' / 'mcp' / 'tools' / 'filesystem.json'}")
    found = lint([file], servers=[tools])
    assert code in {finding.code for finding in found}
