"""Files, strings and dicts become a Policy or a PolicyError, and nothing else."""

import gc
import json
import os
import string
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.action import Action
from aegis_core.decision import Approval
from aegis_core.errors import PolicyError, Problem
from aegis_core.policy.loading import gc_paused
from aegis_core.policy.policy import Policy
from aegis_core.policy.yamltext import MAX_BYTES
from tests.core.policy.strategies import examples, policies
from tests.core.policy.test_yamltext import json_like

GOOD = """# A policy with a little of everything.
version: "1"
defaults: {risk_level: high, approval: approve}
rules:
  - name: reads
    match: {type: [read_*, "*_list"], target: "fs?", agent: "[a-z]*"}
    conditions:
      param_matches: {sql: "^SELECT ", "message.to": '@example\\.com$'}
      param_in: {mode: [r, rb], "items[].kind": [1, 2.5, true]}
      time_after: "18:00"
      time_before: "08:00"
      weekdays: [mon, 2, Friday]
      timezone: Europe/Berlin
    risk_level: LOW
    approval: auto
  - {name: "drop, é", match: {type: 'drop_*'}, approval: block}
"""


def problem_with(path: Path | str) -> Problem:
    with pytest.raises(PolicyError) as caught:
        Policy.from_yaml(path)
    (problem,) = caught.value.problems
    return problem


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_file_that_does_not_exist_is_a_policy_error(tmp_path: Path):
    path = tmp_path / "none.yaml"
    assert str(problem_with(path)) == f"{path}: cannot be read: No such file or directory"


def test_a_directory_is_a_policy_error(tmp_path: Path):
    assert str(problem_with(tmp_path)).startswith(f"{tmp_path}: cannot be read: ")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs permissions that hold")
def test_a_file_that_may_not_be_read_is_a_policy_error(tmp_path: Path):
    path = tmp_path / "secret.yaml"
    path.write_text(GOOD, encoding="utf-8")
    path.chmod(0)
    assert problem_with(path).message == "cannot be read: Permission denied"


def test_a_name_no_file_can_have_is_a_policy_error():
    assert problem_with("a\x00b").message.startswith("cannot be read: ")


def test_a_text_given_as_a_path_is_told_where_texts_go():
    assert problem_with(GOOD).message.endswith("; to load a policy's text, use from_string")


def test_a_file_that_is_not_utf8_is_a_policy_error_with_its_place(tmp_path: Path):
    path = tmp_path / "policy.yaml"
    path.write_bytes('version: "1"\n# é'.encode() + b"\xe9\n")
    assert str(problem_with(path)) == f"{path}:2:4: the byte 0xE9 is not UTF-8; save the file as UTF-8"
    path.write_bytes('version: "1"\n'.encode("utf-16"))
    assert str(problem_with(path)) == f"{path}:1:1: the byte 0xFF is not UTF-8; save the file as UTF-8"


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path):
    path = tmp_path / "policy.yaml"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert problem_with(path).message == "the file is larger than 16 MiB; split it"


@pytest.mark.parametrize("change", ["\ufeff{}", "{}\n\n\n", "---\n{}...\n"])
def test_byte_order_marks_and_blank_lines_make_no_difference(tmp_path: Path, change: str):
    path = tmp_path / "policy.yaml"
    path.write_bytes(change.format(GOOD).encode() if "{}" in change else b"")
    assert Policy.from_yaml(path).digest == Policy.from_string(GOOD).digest


def test_windows_line_ends_make_no_difference(tmp_path: Path):
    path = tmp_path / "policy.yaml"
    path.write_bytes(GOOD.replace("\n", "\r\n").encode())
    assert Policy.from_yaml(path).digest == Policy.from_string(GOOD).digest


def test_problems_name_the_file_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "policy.yaml").write_text("version: 2", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert str(problem_with("policy.yaml")) == 'policy.yaml:1:10: version must be "1", got 2'


def test_the_garbage_collector_is_left_as_it_was():
    for enable in (gc.enable, gc.disable):
        enable()
        before = gc.isenabled()
        with gc_paused():
            assert not gc.isenabled()
        assert gc.isenabled() is before
    gc.enable()


def test_line_9_with_no_policy_loaded_nothing_runs():
    for nothing in ('version: "1"', 'version: "1"\nrules: []'):
        assert Policy.from_string(nothing).evaluate(Action("x", "y")).approval is Approval.BLOCK


# --- any text, any bytes, any data ------------------------------------------------------------------------------------


def check_that_problems_lie_within(text: str, error: PolicyError) -> None:
    assert error.problems
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for problem in error.problems:
        assert problem.line is not None
        assert problem.column is not None
        assert 1 <= problem.line <= len(lines), problem
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1, problem
        assert len(problem.message) < 1000
        assert problem.message.isprintable()


def load(text: str) -> None:
    try:
        Policy.from_string(text)
    except PolicyError as error:
        check_that_problems_lie_within(text, error)


@examples(150)
@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_a_policy_error_whose_problems_lie_within_it(text: str):
    load(text)


@examples(150)
@given(st.text(" \n\t-:#[]{}\"'&*!|>%@,?\\~<=abnoyes019.", max_size=60))
def test_any_yaml_like_text_is_a_policy_or_a_policy_error(text: str):
    load(text)


words = st.sampled_from(
    [
        "version", '"1"', "rules", "name", "match", "type", "conditions", "param_eq", "approval", "auto", "block", "no",
        "defaults", "risk_level", "time_after", '"18:00"', "18:00", "null", "- ", "  ", "\n", "\n  ", ": ", "[",
        "]", "{", "}", "*", "&a", "*a", "!!str", "<<", "---", "|", ">", "'", '"', "#", "é", "\u2028", "\x00", "\t",
        "0777", "1e3", "param_path", "trust",
    ]
)  # fmt: skip
edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.one_of(words, st.text(max_size=3))), min_size=1, max_size=4
)


@examples(150)
@given(edits)
def test_a_good_policy_with_some_edits_is_a_policy_or_a_policy_error(changes: list[tuple[float, int, str]]):
    text = GOOD
    for where, cut, put in changes:
        place = int(where * len(text))
        text = text[:place] + put + text[place + cut :]
    load(text)


@examples(100)
@given(st.permutations(GOOD.splitlines()), st.integers(0, 20))
def test_the_lines_of_a_good_policy_in_any_order_are_a_policy_or_a_policy_error(lines: list[str], kept: int):
    load("\n".join(lines[:kept]))


@examples(100)
@given(data=st.binary(max_size=100), inside=st.booleans(), where=st.floats(0, 1))
def test_any_bytes_in_a_file_are_a_policy_or_a_policy_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, inside: bool, where: float
):
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    good = GOOD.encode()
    place = int(where * len(good))
    path.write_bytes(good[:place] + data + good[place:] if inside else data)
    try:
        Policy.from_yaml(path)
    except PolicyError as error:
        sources = {problem.source for problem in error.problems}
    else:
        sources = {str(path)}
    assert sources == {str(path)}


@examples(100)
@given(json_like)
def test_any_data_is_a_policy_or_a_policy_error(data: Any):
    for wrapped in (
        data,
        {"version": "1", "rules": [data]},
        {"version": "1", "rules": [{"name": "r", "approval": "auto", "match": data}]},
        {"version": "1", "rules": [{"name": "r", "approval": "auto", "conditions": {"param_eq": {"x": data}}}]},
    ):
        try:
            policy = Policy.from_dict(wrapped)
        except PolicyError:
            continue
        assert policy.digest == Policy.from_dict(wrapped).digest


@examples(100)
@given(data=policies(), junk=st.text(string.printable, max_size=3), where=st.floats(0, 1))
def test_a_policy_cut_or_torn_anywhere_is_a_policy_or_a_policy_error(data: dict[str, Any], junk: str, where: float):
    for text in (yaml.safe_dump(data), json.dumps(data)):
        place = int(where * len(text))
        load(text[:place])
        load(text[:place] + junk + text[place:])
