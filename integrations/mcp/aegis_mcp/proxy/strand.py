"""Runs a coroutine on the spot, as far as it goes without waiting, and on where what it waits for arrives.

A task begins one round of the event loop after it was made, and goes on one round after what it waited for has come.
For a call that waits for nothing but its answer, those rounds are most of what governing it costs. Where it waits for
anything else (a person, the disk, a thread), a task takes over.
"""

from __future__ import annotations

import asyncio
import types
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

__all__ = ["Reply", "Strand"]

T = TypeVar("T")


class Strand(asyncio.Future[None]):
    """A coroutine that is run on the spot. Done when it has ended, as a task is.

    Until a task has taken over it runs outside of any, or inside its maker's: what needs one of its own (a timeout)
    begins with ``await asyncio.sleep(0)``.

    Args:
        coroutine: The coroutine. It runs in a copy of the present context.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        super().__init__()
        self._coroutine = coroutine
        self._own_context = copy_context()
        self._reply: Reply[Any] | None = None
        self._task: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Run until it waits, or to its end."""
        self._reply = None
        try:
            awaited = self._own_context.run(self._coroutine.send, None)
        except StopIteration:
            self.set_result(None)
        except asyncio.CancelledError:
            super().cancel()
        except BaseException as error:
            self.set_exception(error)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
        else:
            if isinstance(awaited, Reply):
                awaited.strand, self._reply = self, awaited
            else:
                rest = _as_coroutine(self._coroutine, awaited)
                self._task = self.get_loop().create_task(rest, context=self._own_context)
                self._task.add_done_callback(self._ended)

    def cancel(self, msg: Any | None = None) -> bool:
        """Have ``CancelledError`` raised in it, in the next round of the event loop."""
        loop = self.get_loop()
        if self._task is not None:
            loop.call_soon(self._task.cancel, msg)  # not before it has begun: it would not reach the coroutine
        elif self._reply is not None:
            self._reply.cancel(msg)
            loop.call_soon(self.run)
        return not self.done()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            super().cancel()
        elif (error := task.exception()) is not None:
            self.set_exception(error)
        else:
            self.set_result(None)


class Reply(asyncio.Future[T]):
    """What a coroutine on a `Strand` waits for: whoever brings it runs the coroutine on, on the spot.

    Attributes:
        strand: The strand that waits for it; None for a task.
    """

    strand: Strand | None = None

    def bring(self, value: T) -> None:
        """Here it is."""
        self.set_result(value)
        if self.strand is not None:
            self.strand.run()

    def fail(self, error: BaseException) -> None:
        """It will not come."""
        self.set_exception(error)
        if self.strand is not None:
            self.strand.run()


async def _as_coroutine(coroutine: Coroutine[Any, Any, None], awaited: Any) -> None:
    await _rest(coroutine, awaited)


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """What is left of a coroutine that waits for something: ``yield from``, from the middle."""
    while True:
        value, thrown = None, None
        try:
            value = yield awaited
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:  # noqa: BLE001 - it is the coroutine's
            thrown = error
        try:
            awaited = coroutine.send(value) if thrown is None else coroutine.throw(thrown)
        except StopIteration:
            return
