"""Documents: what fits becomes an immutable value, and what does not is listed whole, each with its path."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aegis_core.decision import Approval
from aegis_core.policy.document import APPROVAL
from aegis_core.policy.readers import ANYTHING, FLAG, listed, mapped, one_of, text, the, whole
from aegis_core.policy.reading import (
    Document,
    Reader,
    Unfit,
    given,
    key,
    keys_of,
    meaning,
    plain,
    read,
    replaced,
    values,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Leaf(Document):
    word: str = key(text(longest=5), "A word.")
    count: int = key(whole(least=1), "How often.", default=1)


class Tree(Document):
    name: str = key(text(empty=True), "What it is called.")
    leaves: tuple[Leaf, ...] = key(listed(the(Leaf)), "Leaves.", default=())
    by_name: dict[str, Leaf] | None = key(mapped(text(), the(Leaf)), "Leaves by name.", default=None)
    kind: str = key(one_of("oak", "elm"), "Its kind.", default="oak")
    ever: Any = key(ANYTHING, "Anything.", default=None)
    green: bool = key(FLAG, "Whether.", default=False)
    approval: Approval = key(APPROVAL, "An enum.", default=Approval.BLOCK)

    @classmethod
    def check_related(cls, data: Mapping[str, Any], fit: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        if fit.get("kind") == "elm" and "green" in data:
            yield "green", "means nothing of an elm"

    def check_whole(self) -> None:
        if self.name == "nothing" and self.leaves:
            raise ValueError("cannot be nothing and have leaves")


class Bush(Tree):
    thorns: int = key(whole(least=0), "How many.")


def found(data: object) -> list[tuple[tuple[str | int, ...], str, str]]:
    with pytest.raises(Unfit) as caught:
        read(Tree, data)
    return [(one.path, one.message, one.about) for one in caught.value.found]


def test_what_is_absent_has_its_default_and_is_known_not_to_be_given():
    tree = read(Tree, {"name": "a", "ever": None})
    assert (tree.leaves, tree.kind, tree.approval, tree.green) == ((), "oak", Approval.BLOCK, False)
    assert dict(given(tree)) == {"name": "a", "ever": None}
    assert values(tree)["kind"] == "oak"


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        (5, (), "must be a mapping, got 5"),
        ({}, ("name",), "missing key 'name'"),
        ({"name": 1}, ("name",), "must be text, got 1"),
        ({"name": None}, ("name",), "must be text, got nothing"),
        ({"name": "a", "by_name": None}, ("by_name",), "is empty; give it a value or leave it out"),
        ({"name": "a", "nam": 1}, ("nam",), "unknown key 'nam'"),
        ({"name": "a", 5: 1}, ("5",), "must have text as keys"),
        ({"name": "a", "kind": "ash"}, ("kind",), "must be 'oak' or 'elm', got 'ash'"),
        ({"name": "a", "green": 1}, ("green",), "must be true or false, got 1"),
        ({"name": "a", "leaves": "x"}, ("leaves",), "must be a list, got 'x'"),
        ({"name": "a", "leaves": [{"word": "x"}, {}]}, ("leaves", 1, "word"), "missing key 'word'"),
        ({"name": "a", "leaves": [{"word": ""}]}, ("leaves", 0, "word"), "must not be empty"),
        ({"name": "a", "leaves": [{"word": "123456"}]}, ("leaves", 0, "word"), "must have at most 5 characters"),
        ({"name": "a", "leaves": [{"word": "x", "count": True}]}, ("leaves", 0, "count"), "must be a whole number"),
        ({"name": "a", "leaves": [{"word": "x", "count": 1.0}]}, ("leaves", 0, "count"), "must be a whole number"),
        ({"name": "a", "leaves": [{"word": "x", "count": 0}]}, ("leaves", 0, "count"), "must be at least 1, got 0"),
        ({"name": "a", "by_name": {"": {"word": "x"}}}, ("by_name", ""), "must not be empty"),
        ({"name": "a", "by_name": {"b": 5}}, ("by_name", "b"), "must be a mapping, got 5"),
        ({"name": "nothing", "leaves": [{"word": "x"}]}, (), "cannot be nothing and have leaves"),
        ({"name": "a", "kind": "elm", "green": True}, ("green",), "means nothing of an elm"),
    ],
)
def test_what_does_not_fit_is_said_with_its_path(data: Any, path: tuple[str | int, ...], message: str):
    ((at, said, _),) = found(data)
    assert at == path
    assert said.startswith(message)


def test_everything_that_is_wrong_is_listed_at_once():
    wrong = {"nam": 1, "kind": "elm", "green": 5, "leaves": [{"word": 1, "cont": 2}, 7], "by_name": {"": {}}}
    assert [(path, about) for path, _, about in found(wrong)] == [
        (("name",), "missing"),
        (("leaves", 0, "word"), "value"),
        (("leaves", 0, "cont"), "unknown"),
        (("leaves", 1), "value"),
        (("by_name", ""), "key"),
        (("by_name", "", "word"), "missing"),
        (("green",), "value"),
        (("nam",), "unknown"),
        (("green",), "value"),
    ]


def test_a_document_is_an_immutable_value():
    one, other = read(Tree, {"name": "a", "leaves": [{"word": "x"}]}), Tree(name="a", leaves=(Leaf(word="x", count=1),))
    assert one == other
    assert hash(Leaf(word="x")) == hash(Leaf(word="x", count=1))
    assert one != read(Tree, {"name": "a"})
    assert repr(one) == "Tree(name='a', leaves=(Leaf(word='x'),))"
    with pytest.raises(AttributeError, match="a Tree cannot be changed: cannot set 'name'"):
        one.name = "b"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="cannot be changed"):
        del one.name
    for copied in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert copied == one
        assert dict(given(copied)) == dict(given(one))


def test_what_was_read_is_another_than_what_it_was_read_from():
    leaves = [{"word": "x"}]
    tree = read(Tree, {"name": "a", "leaves": leaves})
    leaves[0]["word"] = "y"
    leaves.clear()
    assert [leaf.word for leaf in tree.leaves] == ["x"]


def test_a_replaced_value_leaves_the_others():
    tree = read(Tree, {"name": "a", "kind": "elm"})
    assert replaced(tree, name="b") == read(Tree, {"name": "b", "kind": "elm"})
    assert tree.name == "a"


def test_plain_data_is_what_was_given_and_reads_back():
    data = {"name": "a", "leaves": [{"word": "x", "count": 1}], "approval": "auto", "ever": {"deep": [1, None]}}
    tree = read(Tree, data)
    assert plain(tree) == data
    assert read(Tree, json.loads(json.dumps(plain(tree)))) == tree


def test_the_meaning_of_a_default_that_is_written_out_is_that_of_an_absent_one():
    short, long = {"name": "a", "leaves": [{"word": "x"}]}, {"name": "a", "leaves": [{"word": "x", "count": 1}]}
    assert meaning(read(Tree, short)) == meaning(read(Tree, {**long, "kind": "oak", "approval": "BLOCK"}))
    assert meaning(read(Tree, short)) != meaning(read(Tree, {**long, "kind": "elm"}))


@pytest.mark.parametrize("others", [(1, True), (1, 1.0), (1, "1"), (0, False), ("", None)])
def test_values_of_different_kinds_have_different_meanings(others: tuple[Any, Any]):
    first, second = (meaning(read(Tree, {"name": "a", "ever": {"x": other}})) for other in others)
    assert first != second


def test_a_document_knows_the_keys_of_the_one_it_stands_on():
    assert list(keys_of(Bush)) == [*keys_of(Tree), "thorns"]
    assert "thorns" not in keys_of(Tree)
    assert read(Bush, {"name": "a", "thorns": 0}).thorns == 0


def test_a_reader_that_trips_over_anything_but_a_value_is_heard():
    def trips(value: object) -> object:
        raise KeyError(value)

    class Odd(Document):
        word: str = key(Reader(trips, {}), "A word.")

    with pytest.raises(KeyError):
        read(Odd, {"word": "x"})


def test_loading_a_policy_does_not_load_pydantic():
    code = (
        "import sys; from aegis.core.policy import Policy;"
        "Policy.from_string('version: \"1\"\\nrules: [{name: a, approval: auto, conditions: {param_eq: {p: 1}}}]');"
        "print([name for name in sys.modules if name.startswith('pydantic')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert ran.stdout.strip() == "[]"
