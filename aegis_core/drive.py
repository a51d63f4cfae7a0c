"""Performing a governed call's steps: sync, async, or split in two around a framework that runs the tool.

The drivers are the same few lines apart from ``await``. What a step does to the world is the `World`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aegis_core.call import Ask, Execute, Outcome, Recall, Reply, ending
from aegis_core.result import Result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from aegis_core.action import Action
    from aegis_core.call import Step
    from aegis_core.record import Intent, Record
    from aegis_core.request import ApprovalAnswer, ApprovalRequest

__all__ = ["Call", "World", "aadvance", "adrive", "advance", "drive"]


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

    def recall(self, session_id: str) -> None:
        """See what the trail knows of a session."""
        ...

    async def arecall(self, session_id: str) -> None:
        """The same from a coroutine."""
        ...


def advance(call: Generator[Step, Outcome, Result], world: World, outcome: Outcome | None = None) -> Execute | Result:
    """Perform steps until the tool is to run, or until the call has ended."""
    try:
        step = next(call) if outcome is None else call.send(outcome)
        while not isinstance(step, Execute):
            try:
                if isinstance(step, Ask):
                    outcome = Outcome(world.ask(step.request))
                elif isinstance(step, Recall):
                    world.recall(step.session_id)
                    outcome = _DONE
                else:
                    world.write(step)
                    outcome = _DONE
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
                if isinstance(step, Ask):
                    outcome = Outcome(await world.aask(step.request))
                elif isinstance(step, Recall):
                    await world.arecall(step.session_id)
                    outcome = _DONE
                else:
                    await world.awrite(step)
                    outcome = _DONE
            except GeneratorExit as error:  # this coroutine is being closed: it cannot await any more, but it can end
                return advance(call, world, Outcome(None, error))
            except BaseException as error:  # noqa: BLE001 - every error is an outcome; the call decides what it means
                outcome = Outcome(None, error)
            step = call.send(outcome)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]
    return step


_DONE = Outcome()


def drive(call: Generator[Step, Outcome, Result], world: World, perform: Callable[[Intent], Outcome]) -> Result:
    """Run a call to its end.

    Args:
        call: The call.
        world: Performs its steps, but for
        perform: which runs the tool, and does not raise: what became of the tool is an outcome.
    """
    step = advance(call, world)
    while isinstance(step, Execute):
        step = advance(call, world, perform(step.intent))
    return step


async def adrive(
    call: Generator[Step, Outcome, Result], world: World, perform: Callable[[Intent], Awaitable[Outcome]]
) -> Result:
    """`drive` from a coroutine."""
    step = await aadvance(call, world)
    while isinstance(step, Execute):
        try:
            outcome = await perform(step.intent)
        except GeneratorExit as error:  # as above
            step = advance(call, world, Outcome(None, error))
        else:
            step = await aadvance(call, world, outcome)
    return step


class Call:
    """A call whose tool somebody else runs: begun here, and finished when they say how it ended.

    The suspended generator *is* the call in flight. Its end may be told from any thread, and only the first end counts.

    Attributes:
        call_id: The call's id on the trail.
        action: What is to run: use its ``arguments()``, they may have been edited by an approver.
        result: None until it has ended; then how.
    """

    __slots__ = ("__weakref__", "_generator", "_suspended", "_world", "action", "call_id", "result")

    def __init__(self, call_id: str, action: Action, generator: Generator[Step, Outcome, Result], world: World) -> None:
        self.call_id = call_id
        self.action = action
        self.result: Result | None = None
        self._generator = generator
        self._suspended: list[Intent] = []  # one entry, for whoever is first to take it; none before and after
        self._world = world

    @property
    def permitted(self) -> bool:
        """Whether the tool may run now."""
        return bool(self._suspended)

    @property
    def intent(self) -> Intent | None:
        """What is on the trail about the tool that may run now."""
        suspended = self._suspended[:]
        return suspended[0] if suspended else None

    def begin(self) -> Call:
        """Drive the call up to the tool."""
        self._stop(advance(self._generator, self._world))
        return self

    async def abegin(self) -> Call:
        """`begin` from a coroutine."""
        self._stop(await aadvance(self._generator, self._world))
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

    def _stop(self, step: Execute | Result) -> None:
        if isinstance(step, Execute):
            self.action = step.intent.action
            self._suspended.append(step.intent)
        else:
            self.result = step

    def _end(self, outcome: Outcome) -> Result:
        intent = self._take()
        if intent is None:
            return self._already()
        try:
            self._stop(advance(self._generator, self._world, outcome))
        except BaseException as error:  # noqa: BLE001 - sorted out there
            self._interrupted(intent, outcome, error)
        return self._already()

    async def _aend(self, outcome: Outcome) -> Result:
        intent = self._take()
        if intent is None:
            return self._already()
        try:
            self._stop(await aadvance(self._generator, self._world, outcome))
        except BaseException as error:  # noqa: BLE001 - sorted out there
            self._interrupted(intent, outcome, error)
        return self._already()

    def _take(self) -> Intent | None:
        try:
            return self._suspended.pop()
        except IndexError:
            return None

    def _interrupted(self, intent: Intent, outcome: Outcome, error: BaseException) -> None:
        """The call raises a cancellation once it is on record: ours goes on its way, the tool's is told already."""
        status, data, text, exception, _ = ending(outcome)
        self.result = Result(
            self.action, status, data, text, exception=exception, decision=intent.decision, call_id=self.call_id
        )
        if error is not outcome.error:
            raise error

    def _already(self) -> Result:
        if self.result is None:
            raise RuntimeError(f"call {self.call_id} has not been begun, or is being finished by somebody else")
        return self.result
