"""@governed: every kind of function, judged by the arguments' names, and otherwise as if it were not there."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import functools
import inspect
import multiprocessing
import pickle
import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.errors import ActionRefused, AuditError
from aegis_core.governed import governed
from aegis_core.runtime import set_runtime
from tests.core.policies import ASK, AUTO, BLOCK, asked, kinds, records, runtime

RUNTIME = runtime()


def judged(one: Any = RUNTIME) -> dict[str, Any]:
    """The params of the last call on the trail."""
    return dict(records(one)[-2].action.params)


def send(to: str, cc: list[str] | None = None, *, urgent: bool = False) -> str:
    """Send a message."""
    return f"{to} {cc} {urgent}"


# --- arguments ---


def plain(a, b=2, *, c=3):
    return (a, b, c)


def positional_only(a, b=2, /, c=3):
    return (a, b, c)


def star(a, *rest, c=3):
    return (a, rest, c)


def stars(a, **more):
    return (a, more)


def everything(a, b=2, /, c=3, *rest, d, e=5, **more):
    return (a, b, c, rest, d, e, more)


def nothing():
    return ()


CALLS: list[tuple[Any, tuple[Any, ...], dict[str, Any], dict[str, Any]]] = [
    (plain, (1,), {}, {"a": 1, "b": 2, "c": 3}),
    (plain, (1, 9), {"c": 8}, {"a": 1, "b": 9, "c": 8}),
    (plain, (), {"b": 9, "a": 1}, {"a": 1, "b": 9, "c": 3}),
    (positional_only, (1,), {}, {"a": 1, "b": 2, "c": 3}),
    (positional_only, (1, 2), {"c": 9}, {"a": 1, "b": 2, "c": 9}),
    (star, (1,), {}, {"a": 1, "rest": [], "c": 3}),
    (star, (1, 2, 3), {"c": 9}, {"a": 1, "rest": [2, 3], "c": 9}),
    (stars, (1,), {}, {"a": 1}),
    (stars, (1,), {"x": 2, "y": 3}, {"a": 1, "x": 2, "y": 3}),
    (stars, (1,), {"more": 2}, {"a": 1, "more": {"more": 2}}),
    (stars, (1,), {"more": {"x": 1}}, {"a": 1, "more": {"more": {"x": 1}}}),
    (everything, (1,), {"d": 4}, {"a": 1, "b": 2, "c": 3, "rest": [], "d": 4, "e": 5}),
    (everything, (1, 2, 3, 4, 5), {"d": 4, "z": 0}, {"a": 1, "b": 2, "c": 3, "rest": [4, 5], "d": 4, "e": 5, "z": 0}),
    (
        everything,
        (1,),
        {"d": 4, "a": "extra"},
        {"a": 1, "b": 2, "c": 3, "rest": [], "d": 4, "e": 5, "more": {"a": "extra"}},
    ),
    (everything, (1,), {"d": 4, "rest": 0}, {"a": 1, "b": 2, "c": 3, "rest": [], "d": 4, "e": 5, "more": {"rest": 0}}),
    (nothing, (), {}, {}),
]


@pytest.mark.parametrize(("function", "args", "kwargs", "params"), CALLS, ids=[str(n) for n in range(len(CALLS))])
def test_what_is_judged_are_the_arguments_by_name_and_the_function_gets_them(function, args, kwargs, params):
    assert governed(RUNTIME)(function)(*args, **kwargs) == function(*args, **kwargs)
    assert judged() == params
    assert list(judged()) == list(params)  # in the order of the signature

    async def afunction(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    afunction.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    assert asyncio.run(governed(RUNTIME, type="a")(afunction)(*args, **kwargs)) == function(*args, **kwargs)
    assert judged() == params


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (plain, (), {}),
        (plain, (1, 2, 3), {}),
        (plain, (1,), {"a": 1}),
        (plain, (1,), {"x": 1}),
        (positional_only, (), {"a": 1}),
        (star, (), {"c": 1}),
        (everything, (1,), {}),
        (nothing, (1,), {}),
    ],
    ids=[str(n) for n in range(8)],
)
def test_arguments_that_do_not_fit_raise_what_the_function_itself_would_and_are_no_call(function, args, kwargs):
    one = runtime()
    with pytest.raises(TypeError) as expected:
        function(*args, **kwargs)
    with pytest.raises(TypeError) as raised:
        governed(one)(function)(*args, **kwargs)
    assert str(raised.value) == str(expected.value)
    assert records(one) == []


@given(
    st.lists(st.integers() | st.lists(st.integers(), max_size=2), max_size=5),
    st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e", "rest", "more", "x", "self"]), st.integers(), max_size=6),
)
def test_any_call_gives_what_the_function_gives_or_raises_what_it_raises(args, kwargs):
    for function in (plain, positional_only, star, stars, everything):
        door = governed(RUNTIME)(function)
        assert _ending(door, args, kwargs) == _ending(function, args, kwargs)


def _ending(function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        return str(error)


def test_a_default_that_can_be_changed_is_fresh_in_every_call():
    @governed(RUNTIME)
    def collect(item: int, into: list[int] = []) -> list[int]:  # noqa: B006 - that is the point
        into.append(item)
        return into

    assert collect(1) == [1]
    assert collect(2) == [2]


def test_an_argument_that_is_no_data_is_handed_over_itself():
    thing = object()

    @governed(RUNTIME)
    def same(value: object) -> bool:
        return value is thing

    assert same(thing)


def test_arguments_named_like_our_own_words_are_no_trouble():
    @governed(RUNTIME)
    def odd(wrapped, instance, args, kwargs, type, target, params, action, tool):  # noqa: A002
        return (wrapped, instance, args, kwargs, type, target, params, action, tool)

    assert odd(*range(9)) == tuple(range(9))
    assert odd(**dict.fromkeys(inspect.signature(odd).parameters, 1)) == (1,) * 9


# --- kinds of methods ---


class Office:
    def __init__(self, name: str) -> None:
        self.name = name

    @governed(RUNTIME)
    def method(self, to: str) -> str:
        return f"{self.name} to {to}"

    @governed(RUNTIME)
    async def amethod(self, to: str) -> str:
        return f"{self.name} to {to}"

    @classmethod
    @governed(RUNTIME)
    def inside_classmethod(cls, to: str) -> str:
        return f"{cls.__name__} to {to}"

    @governed(RUNTIME)
    @classmethod
    def outside_classmethod(cls, to: str) -> str:
        return f"{cls.__name__} to {to}"

    @staticmethod
    @governed(RUNTIME)
    def inside_staticmethod(to: str) -> str:
        return f"to {to}"

    @governed(RUNTIME)
    @staticmethod
    def outside_staticmethod(to: str) -> str:
        return f"to {to}"

    @classmethod
    @governed(RUNTIME)
    async def aclassmethod(cls, to: str) -> str:
        return f"{cls.__name__} to {to}"

    @property
    @governed(RUNTIME)
    def title(self) -> str:
        return self.name.title()

    @governed(RUNTIME)
    def __call__(self, to: str) -> str:
        return f"called {to}"


class Branch(Office):
    def method(self, to: str) -> str:
        return super().method(to) + " via branch"


@pytest.mark.parametrize(
    "of", [Office, Office("hq"), Branch, Branch("hq")], ids=["class", "object", "subclass", "both"]
)
@pytest.mark.parametrize(
    "name", ["inside_classmethod", "outside_classmethod", "inside_staticmethod", "outside_staticmethod", "aclassmethod"]
)
def test_class_and_static_methods_in_both_orders(of, name):
    owner = of if isinstance(of, type) else type(of)
    answer = getattr(of, name)("ann")
    if inspect.isawaitable(answer):
        answer = asyncio.run(answer)  # type: ignore[arg-type]
    assert answer == ("to ann" if "static" in name else f"{owner.__name__} to ann")
    assert judged() == {"to": "ann"}
    assert records(RUNTIME)[-1].action.type == name


def test_methods_are_judged_without_self():
    office = Office("hq")
    for call in (
        lambda: office.method("ann"),
        lambda: office.method(to="ann"),
        lambda: Office.method(office, "ann"),
        lambda: Office.method(office, to="ann"),
        lambda: asyncio.run(office.amethod("ann")),
        lambda: types.MethodType(Office.__dict__["method"], office)("ann"),
    ):
        assert call() == "hq to ann"
        assert judged() == {"to": "ann"}
    assert Branch("hq").method("ann") == "hq to ann via branch"
    assert office("ann") == "called ann"
    assert judged() == {"to": "ann"}
    assert office.title == "Hq"
    assert judged() == {}


def test_a_method_called_without_an_object_raises_a_type_error():
    with pytest.raises(TypeError):
        Office.method()  # type: ignore[call-arg]


def test_a_function_whose_first_argument_happens_to_be_called_self_is_a_function():
    @governed(RUNTIME)
    def about(self: str) -> str:
        return self

    assert about("me") == "me"
    assert judged() == {"self": "me"}


# --- what is seen from outside ---


def test_name_doc_signature_and_annotations_stay():
    door = governed(RUNTIME)(send)
    assert door.__name__ == "send"
    assert door.__qualname__ == "send"
    assert door.__doc__ == "Send a message."
    assert door.__module__ == send.__module__
    assert door.__annotations__ == send.__annotations__
    assert door.__defaults__ == (None,)
    assert inspect.signature(door) == inspect.signature(send)
    assert inspect.isfunction(door)
    assert door.__wrapped__ is send  # type: ignore[attr-defined]
    assert inspect.iscoroutinefunction(Office.amethod)
    assert inspect.iscoroutinefunction(Office("x").amethod)
    assert not inspect.iscoroutinefunction(door)
    assert asyncio.iscoroutinefunction(governed(RUNTIME)(_asend))


async def _asend(to: str) -> str:
    await asyncio.sleep(0)
    return to


@governed(RUNTIME)
def at_module_level(to: str) -> str:
    return f"to {to}"


@governed
def with_what_is_active(to: str) -> str:
    return f"to {to}"


def test_it_is_pickled_by_name_as_functions_are():
    assert pickle.loads(pickle.dumps(at_module_level)) is at_module_level
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(governed(RUNTIME)(_local()))


class Courier:
    """Sends things; may be sent to a worker."""

    def __init__(self, name: str) -> None:
        self.name = name

    @governed(RUNTIME)
    def carry(self, to: str) -> str:
        return f"{self.name} to {to}"

    @governed(RUNTIME)
    @classmethod
    def hire(cls, name: str) -> str:
        return f"{cls.__name__} {name}"

    @staticmethod
    @governed(RUNTIME)
    def price(kilos: int) -> int:
        return kilos * 2

    @governed(RUNTIME)
    @staticmethod
    def tax(kilos: int) -> int:
        return kilos * 3

    def fly(self, to: str) -> str:
        return f"{self.name} flies to {to}"


@pytest.mark.parametrize("again", [lambda one: pickle.loads(pickle.dumps(one)), copy.copy, copy.deepcopy])
def test_methods_are_pickled_and_copied_with_their_object_and_stay_governed(again):
    kim = Courier("kim")
    for method, args, says in (
        (kim.carry, ("ann",), "kim to ann"),
        (Courier.carry, (kim, "ann"), "kim to ann"),
        (kim.hire, ("bob",), "Courier bob"),
        (Courier.hire, ("bob",), "Courier bob"),
        (Courier.price, (4,), 8),
        (kim.tax, (4,), 12),
        (Courier.tax, (4,), 12),
    ):
        before = len(records(RUNTIME))
        assert again(method)(*args) == says
        assert len(records(RUNTIME)) == before + 2


def test_what_holds_a_governed_function_can_be_copied():
    holder = {"send": at_module_level, "carry": Courier("kim").carry}
    assert copy.copy(at_module_level) is at_module_level
    other = copy.deepcopy(holder)
    assert other["send"] is at_module_level
    assert other["carry"].__self__ is not holder["carry"].__self__, "its object is copied, too"  # type: ignore[attr-defined]


def test_a_method_of_an_object_that_is_there_already_can_be_governed():
    kim = Courier("kim")
    fly = governed(RUNTIME, target="air")(kim.fly)
    assert fly("ann") == fly(to="ann") == "kim flies to ann"
    assert judged() == {"to": "ann"}
    before = len(records(RUNTIME))
    assert copy.deepcopy(fly)("bob") == "kim flies to bob"
    assert len(records(RUNTIME)) == before + 2
    with pytest.raises(pickle.PicklingError, match="not found"):  # what is found there is not governed
        pickle.dumps(fly)
    assert governed(RUNTIME)(Courier.hire.__wrapped__)("bob") == "Courier bob"  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="governed goes on a function"):
        governed(RUNTIME)([].append)


def _local() -> Any:
    def inner(to: str) -> str:
        return to

    return inner


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_worker_processes_can_be_sent_one_and_send_results_back():
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        assert pool.submit(at_module_level, "ann").result() == "to ann"
        result = pool.submit(_run_in_worker).result()
    assert (result.status, result.data) == ("success", {"to": "ann"})


def _run_in_worker() -> Any:
    from aegis_core.action import Action

    return RUNTIME.run(Action("send", "mail", {"to": "ann"}), lambda arguments: arguments)


# --- outcomes ---


def test_a_refusal_is_an_exception_that_carries_the_result_and_reads_well():
    with pytest.raises(ActionRefused, match=r"^send: blocked by rule 'stop'\. The call did not run\.$") as caught:
        governed(runtime(BLOCK))(send)("ann")
    assert caught.value.result.status == "blocked"


async def test_the_same_for_async_functions():
    with pytest.raises(ActionRefused, match="blocked by rule 'stop'"):
        await governed(runtime(BLOCK))(_asend)("ann")
    one = runtime(ASK, [True, False])
    assert await governed(one)(_asend)("ann") == "ann"
    with pytest.raises(ActionRefused):
        await governed(one)(_asend)("ann")


def test_the_functions_own_exception_comes_out_the_same_object_with_its_traceback():
    error = KeyError("gone")

    @governed(RUNTIME)
    def fail() -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        fail()
    assert caught.value is error
    assert [entry.name for entry in caught.traceback][-1] == "fail"
    assert kinds(RUNTIME)[-1] == "Outcome failed"


def test_an_unwritable_trail_comes_out_as_such():
    one = runtime()
    one.audit_logger.fail = AuditError("disk full")  # type: ignore[attr-defined]
    with pytest.raises(AuditError, match="disk full"):
        governed(one)(send)("ann")


def test_a_plain_function_that_returns_a_coroutine_is_told_to_become_async():
    @governed(RUNTIME)
    def hidden(to: str) -> Any:
        return _asend(to)

    with pytest.raises(TypeError, match="make the governed function itself async"):
        hidden("ann")


# --- which runtime, type and target ---


def test_without_a_runtime_the_active_one_governs_and_without_any_the_call_is_refused():
    with pytest.raises(ActionRefused, match=r"refused: no Aegis runtime is active.*The call did not run") as caught:
        with_what_is_active("ann")
    assert caught.value.result.status == "blocked"
    one, other = runtime(), runtime()
    with one.activate():
        assert with_what_is_active("ann") == "to ann"
        with other.activate():
            with_what_is_active("bob")
    try:
        set_runtime(other)
        with_what_is_active("carol")
    finally:
        set_runtime(None)
    assert [record.action.params["to"] for record in records(one)[::2]] == ["ann"]
    assert [record.action.params["to"] for record in records(other)[::2]] == ["bob", "carol"]


async def test_the_same_for_async_functions_without_a_runtime():
    door = governed(_asend)
    with pytest.raises(ActionRefused, match="no Aegis runtime is active"):
        await door("ann")
    with runtime().activate():
        assert await door("ann") == "ann"


def test_type_target_and_empty_parentheses():
    one = runtime()
    governed(one, type="send_email", target="crm")(send)("ann")
    assert (records(one)[0].action.type, records(one)[0].action.target) == ("send_email", "crm")
    with one.activate():
        governed()(send)("ann")
        governed(type="x")(send)("ann")
        governed(None)(send)("ann")
    assert [(r.action.type, r.action.target) for r in records(one)[2::2]] == [
        ("send", "python"),
        ("x", "python"),
        ("send", "python"),
    ]


# --- params= ---


def test_an_author_may_say_what_to_judge_and_the_function_gets_its_own_arguments():
    one = runtime()
    seen: list[Any] = []

    @governed(one, params=lambda frame, *, limit: {"rows": len(frame), "limit": limit})
    def save(frame: list[int], *, limit: int) -> None:
        seen.append(frame)

    rows = [1, 2, 3]
    save(rows, limit=5)
    assert judged(one) == {"rows": 3, "limit": 5}
    assert seen[0] is rows


def test_what_an_author_chose_to_show_cannot_be_edited_into_something_that_does_not_run():
    from dataclasses import replace

    one = runtime(ASK, [lambda request: replace(request.approve(approver="ann"), edits={"to": "bob"})])
    ran: list[str] = []

    @governed(one, params=lambda to: {"to": to})
    def post(to: str) -> None:
        ran.append(to)

    with pytest.raises(ActionRefused, match="cannot pass them on"):
        post("ann")
    assert ran == []


def test_an_approvers_edit_reaches_a_function_that_gets_what_was_judged():
    from dataclasses import replace

    edits = {"to": "bob", "rest": [9], "x": 7}
    one = runtime(ASK, [lambda request: replace(request.approve(approver="ann"), edits=edits), True])

    @governed(one)
    def post(to: str, *rest: int, **more: int) -> Any:
        return (to, rest, more)

    assert post("ann", 1, x=2) == ("bob", (9,), {"x": 7})
    assert asked(one) == 2


async def test_a_view_of_a_method_is_called_without_self():
    one = runtime()

    class Store:
        @governed(one, params=lambda row: {"id": row["id"]})
        async def put(self, row: dict[str, int]) -> int:
            return row["value"]

    assert await Store().put({"id": 1, "value": 2}) == 2
    assert judged(one) == {"id": 1}


def test_a_view_that_returns_no_mapping_is_an_error_before_anything_runs():
    one = runtime()
    ran: list[str] = []

    @governed(one, params=lambda to: [to])  # type: ignore[arg-type, return-value]
    def post(to: str) -> None:
        ran.append(to)

    with pytest.raises(TypeError, match="params must be a mapping"):
        post("ann")
    assert (ran, records(one)) == ([], [])


# --- what is no function ---


class Tool:
    def __call__(self) -> None: ...


class Pretender:
    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return types.FunctionType


@pytest.mark.parametrize(
    "thing",
    [Tool(), Tool, Pretender(), functools.partial(send), len, "send", 7, object()],
    ids=["object", "class", "pretender", "partial", "builtin", "text", "number", "anything"],
)
@pytest.mark.parametrize("how", [governed, governed(RUNTIME)], ids=["bare", "given"])
def test_what_is_no_function_is_refused_at_decoration(thing, how):
    with pytest.raises(TypeError, match=r"@governed goes on a function"):
        how(thing)


@pytest.mark.parametrize(
    "wrong", [{"type": 5}, {"target": None}, {"target": b"crm"}, {"params": {"to": "ann"}}], ids=repr
)
def test_an_argument_of_the_wrong_type_is_refused_at_decoration(wrong):
    with pytest.raises(TypeError, match="must be a"):
        governed(RUNTIME, **wrong)


def test_generator_functions_are_refused_at_decoration():
    def numbers():
        yield 1

    async def anumbers():
        yield 1

    class Box:
        @staticmethod
        def numbers():
            yield 1

    for function in (numbers, anumbers, Box.__dict__["numbers"]):
        with pytest.raises(TypeError, match="cannot govern the generator function"):
            governed(RUNTIME)(function)


def test_a_lambda_needs_a_name():
    with pytest.raises(TypeError, match="a lambda has no name"):
        governed(RUNTIME)(lambda to: to)
    assert governed(RUNTIME, type="echo")(lambda to: to)("ann") == "ann"


def test_other_decorators_may_stand_above_and_below():
    def shout(function: Any) -> Any:
        @functools.wraps(function)
        def louder(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs).upper()

        return louder

    assert governed(RUNTIME)(shout(send))("ann") == "ANN NONE FALSE"
    assert judged() == {"to": "ann", "cc": None, "urgent": False}
    assert shout(governed(RUNTIME)(send))("ann") == "ANN NONE FALSE"
    assert functools.cache(governed(RUNTIME)(send))("ann") == "ann None False"


def test_the_policy_is_asked_in_every_call():
    one = runtime(AUTO)
    door = governed(one)(send)
    door("ann")
    one.update_policy(BLOCK)
    with pytest.raises(ActionRefused):
        door("ann")
