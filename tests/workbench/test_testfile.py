"""Reading ``*.aegis-test.yaml`` files: strictly, and with the place of every problem."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis.errors import PolicyError
from aegis.workbench.testfile import find_test_files, read_test_file
from aegis_core.policy.yamltext import MAX_BYTES

if TYPE_CHECKING:
    from pathlib import Path

POLICY = 'version: "1"\nrules:\n  - {name: all, approval: auto}\n'
CASE = "  - {name: a, call: {type: x, target: t}, expect: auto}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text(POLICY)
    return tmp_path


def problems(folder: Path, text: str) -> str:
    (folder / "p.aegis-test.yaml").write_text(text)
    with pytest.raises(PolicyError) as caught:
        read_test_file(folder / "p.aegis-test.yaml")
    return str(caught.value).replace(f"{folder}{os.sep}p.aegis-test.yaml:", "")


WRONG = {
    "": "1:1: the file is empty",
    "[]": "1:1: a file must be a mapping, got an empty list",
    "tests: []": "a test file without tests tests nothing; add tests or sessions",
    "target: x": "a test file without tests tests nothing; add tests or sessions",
    f"test:\n{CASE}": "1:1: unknown key 'test'; did you mean 'tests'?",
    "tests:\n  - {name: a, cal: {type: x}, expect: auto}": "2:15: test 'a': unknown key 'cal'; did you mean 'call'?",
    "tests:\n  - {name: a, call: {type: x}}": "2:5: test 'a': missing key 'expect'",
    "tests:\n  - {call: {type: x}, expect: auto}": "2:5: test number 1: missing key 'name'",
    f"tests:\n{CASE}{CASE}": "3:12: test 'a': name is a duplicate: entry number 1 of tests has it too; rename one",
    "tests:\n  - {name: a, call: {type: x, target: t}, expect: alow}": "test 'a': expect.approval must be one of",
    "tests:\n  - {name: a, call: {type: x, target: t}, expect: {aproval: auto}}": "did you mean 'approval'?",
    "tests:\n  - {name: a, call: {type: x}, expect: auto}": "the call of 'x' has no target; give it one",
    f'tests:\n{CASE}now: "noon"': "3:6: now must be a time such as \"2026-03-24T10:00:00+01:00\", got 'noon'",
    f"tests:\n{CASE}now: 2026-03-24": "unquoted 2026-03-24 is ambiguous",
    f"tests:\n{CASE}now: 12": 'now must be a time in quotes, such as "2026-03-24T10:00:00+01:00", got 12',
    "tests:\n  - {name: a, call: {type: x, target: t}, expect: auto, result: 1}": "has result but not expect.result",
    "tests:\n  - {name: a, call: {type: x, target: t}, expect: {approval: auto, result: {rules: []}}}": (
        "has expect.result but not result"
    ),
    "tests:\n  - {name: a, call: {type: x, target: t}, result: 1, expect: {approval: auto, result: {}}}": (
        "result is empty; name rules, equals, contains or lacks"
    ),
    "sessions:\n  - {name: s, approvals: 0, steps: []}": "session 's': steps must not be empty",
    "sessions:\n  - {name: s, steps: [{said: hi}]}": "session 's': missing key 'approvals'",
    "target: t\nsessions:\n  - {name: s, approvals: 0, steps: [{params: {}}]}": "needs a type (the tool that",
    "target: t\nsessions:\n  - {name: s, approvals: 0, steps: [{said: hi, expect: auto}]}": "or said and nothing else",
    f"policy: gone.yaml\ntests:\n{CASE}": "1:9: there is no policy 'gone.yaml' beside it",
    f"policy: []\ntests:\n{CASE}": "1:9: policy must be a file, a list of files to merge, or files as layers",
    f"policy: {{orga: p.yaml}}\ntests:\n{CASE}": "1:9: policy must be a file, a list of files to merge, or files as",
    f"policy:\ntests:\n{CASE}": "policy is empty; give it a value or leave it out",
    f"tests:\n{CASE}\ntests:\n{CASE}": "4:1: duplicate key 'tests'",
    f"tests:\n{CASE}x: *y": "aliases (*y) are not allowed",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_with_a_test_file_is_said_with_its_place(folder: Path, text: str) -> None:
    assert WRONG[text] in problems(folder, text)


def test_all_problems_are_listed_at_once(folder: Path) -> None:
    text = "tests:\n  - {name: a, cal: {type: x}, expect: auto}\n  - {name: a, call: {tipe: x}, expect: no}\n"
    assert len(problems(folder, text).splitlines()) == 4


def test_without_a_policy_of_its_name_beside_it_a_file_must_name_one(tmp_path: Path) -> None:
    said = problems(tmp_path, f"tests:\n{CASE}")
    assert said == "1:1: there is no policy 'p.yaml' beside it; name the policy: `policy: FILE`"


def test_a_policy_that_is_broken_is_said_with_its_own_place(folder: Path) -> None:
    (folder / "p.yaml").write_text('version: "1"\nrulez: []\n')
    assert f"{folder / 'p.yaml'}:2:1: unknown key 'rulez'; did you mean 'rules'?" in problems(folder, f"tests:\n{CASE}")


def test_files_are_merged_or_layered_as_the_file_says(folder: Path) -> None:
    (folder / "org.yml").write_text('version: "1"\nrules: [{name: never, match: {type: x}, approval: block}]\n')
    file = folder / "some.aegis-test.yaml"
    for policy, names, layered in (
        ("p.yaml", ["all"], False),
        ("[p.yaml, org.yml]", ["all", "never"], False),
        ("{team: p.yaml, org: org.yml}", ["org/never", "team/all"], True),
    ):
        file.write_text(f"policy: {policy}\ntests:\n{CASE}")
        found = read_test_file(file).policy
        assert ([rule.name for rule in found.rules], found.layered) == (names, layered)
    file.rename(folder / "org.aegis-test.yaml")
    (folder / "org.aegis-test.yaml").write_text(f"tests:\n{CASE}")
    assert [rule.name for rule in read_test_file(folder / "org.aegis-test.yaml").policy.rules] == ["never"]


def test_files_are_found_below_folders_once_and_not_in_hidden_ones(folder: Path) -> None:
    for name in ("a", "sub/deep/b", ".venv/c", "sub/.git/d"):
        file = folder / f"{name}.aegis-test.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"tests:\n{CASE}")
    (folder / "p.txt").write_text("")
    found = find_test_files((folder, folder / "sub", folder / "a.aegis-test.yaml", folder / "p.txt"))
    assert [file.relative_to(folder).as_posix() for file in found] == [
        "a.aegis-test.yaml",
        "sub/deep/b.aegis-test.yaml",
        "p.txt",
    ]
    (folder / "empty").mkdir()
    with pytest.raises(PolicyError, match=r"no test files \(\*\.aegis-test\.yaml\) here or below"):
        find_test_files((folder / "empty",))
    with pytest.raises(PolicyError, match="there is no such file or folder"):
        find_test_files((folder, folder / "gone"))


def test_a_file_that_is_too_large_or_no_text_is_said_to_be(folder: Path) -> None:
    file = folder / "p.aegis-test.yaml"
    for content, message in ((b"\xff\xfe", "is not UTF-8"), (b" " * (MAX_BYTES + 1), "larger than 16 MiB")):
        file.write_bytes(content)
        with pytest.raises(PolicyError, match=message):
            read_test_file(file)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.text(alphabet=st.sampled_from("tests: \n-{}[]namecl\"'x,auto1"), max_size=120))
def test_any_text_is_a_test_file_or_a_policy_error(folder: Path, text: str) -> None:
    file = folder / "p.aegis-test.yaml"
    file.write_text(text)
    with suppress(PolicyError):
        read_test_file(file)
