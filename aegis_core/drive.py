"""Performing a governed call's steps: sync, async, or split in two around a framework that runs the tool.

The drivers are the same few lines apart from ``await``. What a step does to the world is the `World`'s business.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol

from aegis_core.call import Execute, Outcome, Reply, Write
from aegis_core.result import Result, ResultStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from aegis_core.action import Action
    from aegis_core.call import Step
    from aegis_core.record import Record
    from aegis_core.request import ApprovalAnswer, ApprovalRequest

__all__ = ["Call", "Suspended", "World", "aadvance", "adrive", "advance", "drive"]

Suspended = "Generator[Step, Outcome, Result]"


class World(Protocol):
    """Does what steps ask for. Every method may raise; that is the step's outcome."""

    def ask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """Put a request to a person and wait."""
        ...

    async def aask(self, request: ApprovalRequest) -> ApprovalAnswer:
        """The same from a coroutine."""
        ...

    def write(self, record: Record) -> None:
        """Write a record down."""
        ...

    async def awrite(self, record: Record) -> None:
        """The same from a coroutine."""
        ...


def advance(call: Generator[Step, Outcome, Result], world: World, outcome: Outcome | None = None) -> Execute | Result:
    """Perform steps until the tool is to run, or until the call has ended."""
    try:
        step = next(call) if outcome is None else call.send(outcome)
        while not isinstance(step, Execute):
            try:
                if isinstance(step, Write):
                    world.write(step.record)
                    outcome = _DONE
                else:
                    outcome = Outcome(world.ask(step.request))
            except BaseException as error:  # noqa: BLE001 - every error is an outcome; the call decides what it means
                outcome = Outcome(None, error)
            step = call.send(outcome)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]
    return step


async def aadvance(
    call: Generator[Step, Outcome, Result], world: World, outcome: Outcome | None = None
) -> Execute | Result:
    """`advance` from a coroutine."""
    try:
        step = next(call) if outcome is None else call.send(outcome)
        while not isinstance(step, Execute):
            try:
                if isinstance(step, Write):
                    await world.awrite(step.record)
                    outcome = _DONE
                else:
                    outcome = Outcome(await world.aask(step.request))
            except BaseException as error:  # noqa: BLE001 - every error is an outcome; the call decides what it means
                outcome = Outcome(None, error)
            step = call.send(outcome)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]
    return step


_DONE = Outcome()


def drive(call: Generator[Step, Outcome, Result], world: World, tool: Callable[[Action], Any]) -> Result:
    """Run a call to its end."""
    step = advance(call, world)
    while isinstance(step, Execute):
        try:
            outcome = Outcome(tool(step.action))
        except BaseException as error:  # noqa: BLE001 - every error is an outcome; the call decides what it means
            outcome = Outcome(None, error)
        step = advance(call, world, outcome)
    return step


async def adrive(call: Generator[Step, Outcome, Result], world: World, tool: Callable[[Action], Any]) -> Result:
    """Run a call to its end from a coroutine; a tool that returns an awaitable is awaited."""
    step = await aadvance(call, world)
    while isinstance(step, Execute):
        try:
            value = tool(step.action)
            if inspect.isawaitable(value):
                value = await value
            outcome = Outcome(value)
        except BaseException as error:  # noqa: BLE001 - every error is an outcome; the call decides what it means
            outcome = Outcome(None, error)
        step = await aadvance(call, world, outcome)
    return step


class Call:
    """A call whose tool somebody else runs: begun here, and finished when they say how it ended.

    The suspended generator *is* the call in flight. Every method may be called from any thread, once: the first end
    counts.

    Attributes:
        call_id: The call's id on the trail.
        action: What is to run: use its ``arguments()``, they may have been edited by an approver.
        result: None while the tool may run; else how the call ended.
    """

    __slots__ = ("_generator", "_on_end", "_world", "action", "call_id", "result")

    def __init__(
        self,
        call_id: str,
        action: Action,
        generator: Generator[Step, Outcome, Result],
        world: World,
        on_end: Callable[[], None],
    ) -> None:
        self.call_id = call_id
        self.action = action
        self.result: Result | None = None
        self._generator: Generator[Step, Outcome, Result] | None = generator
        self._world = world
        self._on_end = on_end

    @property
    def permitted(self) -> bool:
        """Whether the tool may run now."""
        return self.result is None

    def begin(self) -> Call:
        """Drive the call up to the tool."""
        assert self._generator is not None
        self._suspend(advance(self._generator, self._world))
        return self

    async def abegin(self) -> Call:
        """`begin` from a coroutine."""
        assert self._generator is not None
        self._suspend(await aadvance(self._generator, self._world))
        return self

    def finish(self, value: Any = None, *, failed: str | None = None) -> Result:
        """The tool returned; ``failed`` says why if what it returned reports a failure."""
        return self._end(Outcome(value if failed is None else Reply(value, failed)))

    def fail(self, error: BaseException) -> Result:
        """The tool raised. A cancellation (``CancelledError``, ``KeyboardInterrupt``) is recorded, not raised here."""
        return self._end(Outcome(None, error))

    async def afinish(self, value: Any = None, *, failed: str | None = None) -> Result:
        """`finish` from a coroutine."""
        return await self._aend(Outcome(value if failed is None else Reply(value, failed)))

    async def afail(self, error: BaseException) -> Result:
        """`fail` from a coroutine."""
        return await self._aend(Outcome(None, error))

    def _suspend(self, step: Execute | Result) -> None:
        if isinstance(step, Execute):
            self.action = step.action
        else:
            self._ended(step)

    def _ended(self, result: Execute | Result) -> Result:
        assert isinstance(result, Result)  # after the tool has run there is nothing left to execute
        self.result = result
        self._generator = None
        self._on_end()
        return result

    def _take(self) -> Generator[Step, Outcome, Result] | None:
        generator, self._generator = self._generator, None
        return generator

    def _end(self, outcome: Outcome) -> Result:
        generator = self._take()
        if generator is None:
            return self._already()
        try:
            return self._ended(advance(generator, self._world, outcome))
        except BaseException as error:  # noqa: BLE001 - sorted out there: told of, or our own
            return self._cancelled(error, outcome)

    async def _aend(self, outcome: Outcome) -> Result:
        generator = self._take()
        if generator is None:
            return self._already()
        try:
            return self._ended(await aadvance(generator, self._world, outcome))
        except BaseException as error:  # noqa: BLE001 - sorted out there: told of, or our own
            return self._cancelled(error, outcome)

    def _cancelled(self, error: BaseException, outcome: Outcome) -> Result:
        """The call re-raises a cancellation it was told of; here it is on record and the framework carries on."""
        self._on_end()
        if error is not outcome.error:
            raise error
        self.result = Result(self.action, ResultStatus.CANCELLED, error="cancelled", call_id=self.call_id)
        return self.result

    def _already(self) -> Result:
        if self.result is None:
            raise RuntimeError(f"call {self.call_id} is being finished by another thread")
        return self.result
