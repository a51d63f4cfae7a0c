"""The engine's loggers. ``logging`` is loaded when one of them is first used.

A hook is a process for every call of an agent and has nothing to log nearly always; ``logging`` would take a twentieth
of its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging

__all__ = ["logger"]


def logger(name: str) -> logging.Logger:
    """The logger of a name: as `logging.getLogger`, but for the time it takes to have one."""
    lazy: Any = _Logger(name)
    return lazy  # type: ignore[no-any-return]


class _Logger:
    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        import logging  # noqa: PLC0415 - see above

        return getattr(logging.getLogger(self._name), attribute)
