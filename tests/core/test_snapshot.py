"""Snapshots: what is judged is what runs, whatever the caller does meanwhile and whatever objects are handed in."""

from __future__ import annotations

import copy
import datetime
import enum
import math
import pickle
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.snapshot import (
    MAX_DEPTH,
    FrozenDict,
    FrozenList,
    Opaque,
    canonical,
    excerpt,
    freeze,
    freeze_params,
    has_opaque,
    thaw,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**5000, max_value=10**5001)
    | st.floats(allow_nan=True)
    | st.text(st.characters(codec=None), max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.integers(-3, 3) | st.booleans(), inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Same types all the way down and same values, NaN being the same as NaN; the order of a dict does not matter."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        keys = {(type(key), repr(key)): key for key in one}
        others = {(type(key), repr(key)): key for key in other}
        return keys.keys() == others.keys() and all(same(one[keys[k]], other[others[k]]) for k in keys)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    return bool(one == other)


@given(values)
def test_a_thawed_snapshot_is_the_value_with_its_types(value):
    assert same(thaw(freeze(value)), value)
    assert not has_opaque(freeze(value))


@given(values, values)
def test_canonical_bytes_are_equal_exactly_when_the_values_are_the_same(one, other):
    assert (canonical(freeze(one)) == canonical(freeze(other))) == same(one, other)


@given(values)
def test_canonical_bytes_do_not_depend_on_the_order_of_keys_or_on_being_frozen(value):
    def turned(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: turned(node[key]) for key in reversed(list(node))}
        return type(node)(map(turned, node)) if isinstance(node, (list, tuple)) else node

    assert canonical(freeze(value)) == canonical(freeze(turned(value))) == canonical(value)


def scramble(value: Any) -> None:
    """Change every container that can be changed."""
    if type(value) is list:
        for item in value:
            scramble(item)
        value.append("changed")
        value.reverse()
    elif type(value) is tuple:
        for item in value:
            scramble(item)
    elif type(value) is dict:
        for item in value.values():
            scramble(item)
        value["changed"] = True


@given(values)
def test_neither_the_callers_value_nor_a_thawed_copy_reaches_into_a_snapshot(value):
    snapshot = freeze(value)
    before = canonical(snapshot)
    scramble(value)
    scramble(thaw(snapshot))
    assert canonical(snapshot) == before


CHANGES = [
    lambda d: d.__setitem__("a", 1),
    lambda d: d.__delitem__("a"),
    lambda d: d.__ior__({"b": 1}),
    lambda d: d.clear(),
    lambda d: d.pop("a"),
    lambda d: d.popitem(),
    lambda d: d.setdefault("b", 1),
    lambda d: d.update(b=1),
    lambda d: d["a"].append(1),
    lambda d: d["a"].__setitem__(0, 1),
    lambda d: d["a"].__setitem__(slice(0, 1), [1]),
    lambda d: d["a"].__delitem__(0),
    lambda d: d["a"].__iadd__([1]),
    lambda d: d["a"].__imul__(2),
    lambda d: d["a"].clear(),
    lambda d: d["a"].extend([1]),
    lambda d: d["a"].insert(0, 1),
    lambda d: d["a"].pop(),
    lambda d: d["a"].remove(1),
    lambda d: d["a"].reverse(),
    lambda d: d["a"].sort(),
]


def test_no_method_changes_a_snapshot():
    snapshot = freeze({"a": [1, 2]})
    for change in CHANGES:
        with pytest.raises(TypeError, match="cannot be changed"):
            change(snapshot)
    assert snapshot == {"a": [1, 2]}


def test_a_snapshot_in_a_snapshots_clothing_is_frozen_all_the_same():
    inner = ["/tmp/safe"]
    params = freeze_params(FrozenDict({"paths": inner}))
    inner[0] = "/etc/passwd"
    assert params == {"paths": ["/tmp/safe"]}


def test_copies_of_a_snapshot_are_the_snapshot_and_pickles_come_back_frozen():
    marker = frozenset((1,))
    snapshot = freeze({"a": [1, (2, [3])], "o": marker})
    assert copy.copy(snapshot) is snapshot
    assert copy.deepcopy(snapshot) is snapshot
    again = pickle.loads(pickle.dumps(snapshot))
    assert again["a"] == snapshot["a"]
    assert type(again) is FrozenDict
    assert type(again["a"]) is FrozenList
    assert type(again["o"]) is Opaque
    assert again["o"].value == marker


class Point(NamedTuple):
    x: int
    y: int


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        bytearray(b"x"),
        {1, 2},
        datetime.date(2026, 1, 1),
        Colour.RED,
        Point(1, 2),
        OrderedDict(a=1),
        object(),
        {(1, 2): "a tuple for a key"},
    ],
)
def test_what_is_not_json_like_travels_by_reference_and_comes_back_itself(value):
    snapshot = freeze(value)
    assert type(snapshot) is Opaque
    assert thaw(snapshot) is value
    assert has_opaque(FrozenDict(a=FrozenList([snapshot])))
    assert thaw(freeze([value]))[0] is value


def test_a_snapshot_of_something_opaque_is_not_wrapped_twice():
    value = object()
    snapshot = freeze(freeze([value]))
    assert thaw(snapshot) == [value]


def test_one_opaque_argument_leaves_its_neighbours_bound():
    params = freeze_params({"connection": object(), "path": ["/data"]})
    assert type(params["connection"]) is Opaque
    assert params["path"] == ["/data"]


def test_what_is_too_deep_or_holds_itself_is_opaque_and_what_is_shared_is_not():
    deep: list[Any] = []
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    cycle: list[Any] = []
    cycle.append(cycle)
    branching: dict[str, Any] = {}
    branching.update(a=branching, b=branching)
    shared = [1]
    assert type(freeze(deep)) is type(freeze(cycle)) is type(freeze(branching)) is Opaque
    assert thaw(freeze({"a": shared, "b": shared})) == {"a": [1], "b": [1]}


def test_a_repr_without_end_is_cut():
    branching: list[Any] = [0]
    for _ in range(60):
        branching = [branching] * 10
    assert len(Opaque(branching).describe()) < 300
    assert "repr is recursive" not in Opaque(branching).describe()


@pytest.mark.parametrize("params", [[], [("a", 1)], ["ab"], "ab", 7, {1}])
def test_params_that_are_no_mapping_are_refused(params):
    with pytest.raises(TypeError, match="params must be a mapping"):
        freeze_params(params)


@pytest.mark.parametrize("name", [1, None, ("a",), Colour.RED, b"a"])
def test_names_that_are_no_strings_are_refused(name):
    with pytest.raises(TypeError, match="names must be strings"):
        freeze_params({name: 1})


class Hostile:
    """Raises whatever it is asked."""

    def __init__(self, error: type[BaseException] = ValueError) -> None:
        self.error = error

    def fail(self, *_: Any) -> Any:
        raise self.error("hostile")

    __repr__ = __str__ = __eq__ = __hash__ = __iter__ = __len__ = __bool__ = __getitem__ = __reduce__ = fail


class HostileMeta(type):
    def __hash__(cls) -> int:
        raise ValueError("no hash for a class")

    def __eq__(cls, other: object) -> bool:
        raise ValueError("no comparison either")

    def __getattribute__(cls, name: str) -> Any:
        raise ValueError("nor anything else")


class HostileKind(metaclass=HostileMeta):
    pass


class Liar:
    """Says that it is a dict."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return dict


class HostileDict(dict[str, Any]):
    def items(self) -> Any:
        raise ValueError("hostile")

    def __len__(self) -> int:
        return 10**9


class HostileList(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        raise ValueError("hostile")


class HostileText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError("hostile")

    __repr__ = __str__


class HostileInt(int):
    def __int__(self) -> int:
        raise ValueError("hostile")

    __index__ = __repr__ = __int__  # type: ignore[assignment]


LEAVES: dict[str, Any] = {
    "hostile": Hostile(),
    "recursive": Hostile(RecursionError),
    "stopping": Hostile(StopIteration),
    "class": HostileKind(),
    "liar": Liar(),
    "dict": HostileDict(a=1),
    "list": HostileList([1]),
    "text": HostileText("x"),
    "int": HostileInt(5),
    "bytes": b"\xff" * 100,
    "deque": deque([1]),
    "huge": 10**5000,
    "huge key": {10**5000: 1},
    "surrogate": "\ud800",
    "nan": math.nan,
    "type": object,
    "function": len,
}
# Hypothesis would look at the objects themselves: it is given recipes for them. "root" is a way back to the beginning.
recipes = st.recursive(
    st.sampled_from([*LEAVES, "root"]) | st.builds(lambda value: ("value", value), scalars),
    lambda inner: st.tuples(
        st.sampled_from(["list", "tuple", "deque", "hostile list", "dict", "odd keys"]), st.lists(inner, max_size=4)
    ),
    max_leaves=15,
)


def cook(recipe: Any, root: list[Any]) -> Any:
    if isinstance(recipe, str):
        return root if recipe == "root" else LEAVES[recipe]
    kind, parts = recipe
    if kind == "value":
        return parts
    items = [cook(part, root) for part in parts]
    if kind == "dict":
        return {str(number): item for number, item in enumerate(items)}
    if kind == "odd keys":
        return {(number,) if number % 2 else number: item for number, item in enumerate(items)}
    return {"list": list, "tuple": tuple, "deque": deque, "hostile list": HostileList}[kind](items)


@given(recipes)
def test_nothing_that_is_handed_in_makes_freezing_or_recording_raise(recipe):
    root: list[Any] = []
    root.append(cook(recipe, root))
    snapshot = freeze(root)
    canonical(snapshot)
    thaw(snapshot)
    has_opaque(snapshot)
    Opaque(root).describe()
    params = freeze_params({"root": root, "value": root[0]})
    canonical(params)

    def check(node: Any) -> None:
        assert type(node) in (str, int, float, bool, type(None), FrozenDict, FrozenList)
        for item in node.values() if type(node) is FrozenDict else node if type(node) is FrozenList else ():
            check(item)

    check(excerpt(root))


def test_an_excerpt_is_bounded_in_depth_and_in_number():
    wide = excerpt(list(range(5000)))
    assert len(wide) == 1001
    assert wide[-1] == "… 4000 more"
    many = excerpt([{str(n): n for n in range(500)} for _ in range(500)])
    assert sum(len(item) for item in many if isinstance(item, dict)) < 2000
    deep: list[Any] = []
    for _ in range(20):
        deep = [deep]
    assert "list of 1" in repr(excerpt(deep))


def test_one_hostile_part_does_not_hide_its_neighbours():
    assert excerpt([1, HostileList([1]), "two"]) == [1, "<HostileList could not be read: ValueError>", "two"]


def test_subclasses_of_the_scalars_are_read_with_the_scalars_own_methods():
    assert excerpt([Colour.RED, HostileText("text"), HostileInt(5), True]) == ["red", "text", 5, True]


def test_what_a_class_says_of_itself_is_not_asked_for():
    assert Opaque(HostileKind()).type_name.endswith("HostileKind")
