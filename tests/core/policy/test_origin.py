"""Where a policy came from, and how it is built again."""

from pathlib import Path

import pytest

from aegis_core.action import Action
from aegis_core.errors import PolicyError
from aegis_core.policy.hierarchy import PolicyHierarchy
from aegis_core.policy.policy import Policy

ALLOW = 'version: "1"\nrules: [{name: a, match: {type: read}, approval: auto}]\n'
BLOCK = 'version: "1"\nrules: [{name: b, match: {type: read}, approval: block}]\n'


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(ALLOW, encoding="utf-8")
    two.write_text(BLOCK, encoding="utf-8")
    return one, two


def test_a_policy_of_one_file_is_built_again_from_its_new_text(files: tuple[Path, Path]):
    policy = Policy.from_yaml(files[0])
    assert policy.origin.texts() == {files[0]: ALLOW}
    again = policy.rebuilt({files[0]: BLOCK})
    assert not again.evaluate(Action("read", "x")).permitted
    assert (again.origin.texts(), again.sources) == ({files[0]: BLOCK}, policy.sources)
    assert policy.evaluate(Action("read", "x")).permitted


def test_line_25b_a_layered_policy_is_built_again_with_all_its_layers(files: tuple[Path, Path]):
    one, two = files
    flat = PolicyHierarchy(org=Policy.from_yaml(two), team=Policy.from_yaml(one)).flatten()
    again = flat.rebuilt({**flat.origin.texts(), one: ALLOW.replace("read", "write")})
    assert not again.evaluate(Action("read", "x")).permitted
    assert [rule.name for rule in again.rules] == ["org/b", "team/a"]
    assert again.sources == (str(two), str(one))


def test_a_merged_policy_is_built_again_of_both(files: tuple[Path, Path]):
    one, two = files
    merged = Policy.from_yaml(one).merge(Policy.from_yaml(two))
    again = merged.rebuilt({one: BLOCK.replace("b,", "c,"), two: ALLOW})
    assert [rule.name for rule in again.rules] == ["c", "a"]
    assert merged.origin.files == (one, two)


def test_parts_that_came_from_no_file_stay_as_they_are(files: tuple[Path, Path]):
    merged = Policy.from_string(BLOCK).merge(Policy.from_yaml(files[0]))
    again = merged.rebuilt({files[0]: ALLOW.replace("read", "write")})
    assert [rule.document.match.type for rule in again.rules] == [("read",), ("write",)]
    assert Policy.from_string(BLOCK).rebuilt({}).digest == Policy.from_string(BLOCK).digest


def test_a_text_that_is_no_policy_is_an_error_that_names_the_file(files: tuple[Path, Path]):
    policy = Policy.from_yaml(files[0])
    with pytest.raises(PolicyError) as caught:
        policy.rebuilt({files[0]: "version: 2"})
    assert str(caught.value) == f'{files[0]}:1:10: version must be "1", got 2'
