"""The Action: one tool call as it will be judged, shown, approved, executed and recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from aegis_core.snapshot import FrozenDict, canonical, freeze_params, has_opaque, thaw

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Action"]

_EMPTY = FrozenDict()
_set = object.__setattr__


class Action:
    """One call of one tool. Immutable: ``params`` and ``labels`` are deep snapshots taken here.

    Args:
        type: The tool's name, e.g. ``"read_file"``.
        target: Where the tool lives: the MCP server's name, or a name the program gives.
        params: The arguments by name. JSON-like values are copied; other objects travel by reference (see `snapshot`).
        agent: Who calls, if known.
        user: On whose behalf, if known.
        session_id: The conversation, thread or run the call belongs to.
        labels: Free ``str -> str`` facts for the record (a framework's run id, ...). Never judged.
        description: A sentence for the person who is asked.

    Raises:
        TypeError: If a name is not a string or params are not a mapping with string keys.
    """

    __slots__ = ("agent", "description", "labels", "names", "params", "session_id", "target", "type", "user")

    type: str
    target: str
    params: Mapping[str, Any]
    agent: str | None
    user: str | None
    session_id: str | None
    labels: Mapping[str, str]
    description: str
    names: tuple[str, str, str | None, str | None]
    """``(type, target, agent, user)``: what a policy's ``match`` sees."""

    def __init__(
        self,
        type: str,  # noqa: A002 - the documented name
        target: str,
        params: Mapping[str, Any] | None = None,
        *,
        agent: str | None = None,
        user: str | None = None,
        session_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        description: str = "",
    ) -> None:
        for name, value in (("type", type), ("target", target)):
            if value.__class__ is not str:
                raise TypeError(f"Action {name} must be a string, got {value!r}")
        for name, optional in (("agent", agent), ("user", user), ("session_id", session_id)):
            if optional is not None and optional.__class__ is not str:
                raise TypeError(f"Action {name} must be a string or None, got {optional!r}")
        _set(self, "type", type)
        _set(self, "target", target)
        _set(self, "params", freeze_params(params) if params else _EMPTY)
        _set(self, "agent", agent)
        _set(self, "user", user)
        _set(self, "session_id", session_id)
        _set(self, "labels", freeze_params(labels) if labels else _EMPTY)
        _set(self, "description", description)
        _set(self, "names", (type, target, agent, user))

    def replace(self, **changes: Any) -> Action:
        """A new Action with some fields changed. An edited call is a new call and is judged from the start."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name != "names"}
        return Action(**{**fields, **changes})

    def arguments(self) -> dict[str, Any]:
        """A fresh mutable copy of the params, with their original types: what the tool is given."""
        return {name: thaw(value) for name, value in self.params.items()}

    def for_execution(self) -> Action:
        """The same action with fresh, mutable params: what an executor is given."""
        copy = object.__new__(Action)
        for name in self.__slots__:
            _set(copy, name, getattr(self, name))
        _set(copy, "params", self.arguments())
        return copy

    def canonical_params(self) -> bytes:
        """Bytes that are equal exactly when the params are; what digests are taken of."""
        return canonical(self.params)

    def opaque_params(self) -> tuple[str, ...]:
        """Names of params that travel by reference, wholly or in part."""
        return tuple(name for name, value in self.params.items() if has_opaque(value))

    @property
    def bindable(self) -> bool:
        """Whether an approval can bind to these params: no part of them travels by reference."""
        return not has_opaque(self.params)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an Action cannot be changed: use action.replace({name}=...)")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("an Action cannot be changed")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Action):
            return NotImplemented
        return (
            self.names == other.names
            and self.session_id == other.session_id
            and canonical(self.params) == canonical(other.params)
            and self.labels == other.labels
            and self.description == other.description
        )

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        # For pickling and copying; the snapshot is taken again on the other side.
        return (_rebuild, ({name: getattr(self, name) for name in self.__slots__ if name != "names"},))

    def __repr__(self) -> str:
        # Names only: params may hold secrets and a repr ends up in logs and tracebacks.
        return f"Action({self.type!r}, {self.target!r}, params={list(self.params)!r})"


def _rebuild(fields: dict[str, Any]) -> Action:
    return Action(**fields)
