"""What type checkers see of @governed: exactly the function that was decorated. Read by mypy and pyright, never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, assert_type, overload

from aegis import Result, Runtime, governed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")


async def functions(runtime: Runtime) -> None:
    @governed(runtime, target="crm")
    def send(to: str, cc: list[str] | None = None, *, urgent: bool = False) -> int:
        return 1

    assert_type(send("ann"), int)
    assert_type(send("ann", cc=["bob"], urgent=True), int)
    send(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    send()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    send("ann", urgent="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    send("ann", subject="hi")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    @governed
    async def asend(to: str) -> int:
        return 1

    assert_type(await asend("ann"), int)
    await asend(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    later: Callable[[str], Awaitable[int]] = asend
    del later

    @governed()
    def first(items: Sequence[T]) -> T:
        return items[0]

    assert_type(first([1]), int)
    assert_type(first(["a"]), str)

    class Office:
        @governed(runtime)
        def method(self, to: str) -> int:
            return 1

        @governed(runtime)
        async def amethod(self, to: str) -> int:
            return 1

        @classmethod
        @governed(runtime)
        def inside_classmethod(cls, to: str) -> int:
            return 1

        @governed(runtime)
        @classmethod
        def outside_classmethod(cls, to: str) -> int:
            return 1

        @staticmethod
        @governed(runtime)
        def inside_staticmethod(to: str) -> int:
            return 1

        @governed(runtime)
        @staticmethod
        def outside_staticmethod(to: str) -> int:
            return 1

    assert_type(Office().method("ann"), int)
    assert_type(await Office().amethod("ann"), int)
    assert_type(Office.inside_classmethod("ann"), int)
    assert_type(Office.outside_classmethod("ann"), int)
    assert_type(Office.inside_staticmethod("ann"), int)
    assert_type(Office.outside_staticmethod("ann"), int)
    Office().method(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Office.outside_classmethod(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@overload
def parse(text: str) -> str: ...
@overload
def parse(text: bytes) -> bytes: ...
@governed
def parse(text: str | bytes) -> str | bytes:
    return text


assert_type(parse("a"), str)
assert_type(parse(b"a"), bytes)


class Greeter(Protocol):
    def __call__(self, name: str, *, loud: bool = ...) -> str: ...


@governed
def greet(name: str, *, loud: bool = False) -> str:
    return name


greeter: Greeter = greet
callback: Callable[[str], str] = greet

governed(7)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
governed("send")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def results(runtime: Runtime) -> None:
    from aegis import Action

    action = Action("send", "mail", {"to": "ann"})
    assert_type(runtime.run(action, lambda arguments: arguments["to"]), Result)
    assert_type(await runtime.arun(action), Result)
    assert_type(runtime.check(action).ok, bool)
    with runtime.session("s", agent="bot") as session:
        assert_type(session.id, str)
    with runtime.activate() as active:
        assert_type(active, Runtime)
    Runtime(policy="policy.yaml")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    runtime.run({"type": "send"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
