"""The Action: one tool call as it will be judged, shown, approved, executed and recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, final

from aegis_core.snapshot import FrozenDict, canonical, freeze_params, has_opaque, thaw_params

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Action", "action_of", "plain_text", "text_or_none"]

_EMPTY = FrozenDict()


class _Fields:
    """What an Action is made of, while it is being made: filled in here, it then becomes one and cannot be changed.

    (``object.__setattr__`` nine times over would cost more than the whole decision.)
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


@final
class Action(_Fields):
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

    __slots__ = ()

    def __new__(  # noqa: D102 - the class's docstring says it
        cls,
        type: str,  # noqa: A002 - the documented name
        target: str,
        params: Mapping[str, Any] | None = None,
        *,
        agent: str | None = None,
        user: str | None = None,
        session_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        description: str = "",
    ) -> Action:
        if (
            type.__class__ is not str
            or target.__class__ is not str
            or description.__class__ is not str
            or (agent is not None and agent.__class__ is not str)
            or (user is not None and user.__class__ is not str)
            or (session_id is not None and session_id.__class__ is not str)
        ):
            type, target = plain_text("Action type", type), plain_text("Action target", target)  # noqa: A001 - as above
            description = plain_text("Action description", description)
            agent, user = text_or_none("Action agent", agent), text_or_none("Action user", user)
            session_id = text_or_none("Action session_id", session_id)
        frozen = _EMPTY if params is None else freeze_params(params)
        told = _EMPTY if labels is None else freeze_params(labels)
        return _made(type, target, frozen, agent, user, session_id, told, description)

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError(
            "Action cannot be derived from: what was judged must be what runs; labels hold facts of your own"
        )

    def of(self, agent: str | None, user: str | None, session_id: str | None) -> Action:
        """The same call, by this agent, for this user, in this session."""
        # A copy made for an executor has mutable params: whoever is handed one takes a snapshot of his own.
        params = self.params if self.params.__class__ is FrozenDict else freeze_params(self.params)
        return _made(self.type, self.target, params, agent, user, session_id, self.labels, self.description)

    def replace(self, **changes: Any) -> Action:
        """A new Action with some fields changed. An edited call is a new call and is judged from the start."""
        return Action(**{**self._fields(), **changes})

    def arguments(self) -> dict[str, Any]:
        """A fresh mutable copy of the params, with their original types: what the tool is given."""
        return thaw_params(self.params)

    def for_execution(self) -> Action:
        """The same action with fresh, mutable params: what an executor is given."""
        return _made(
            self.type,
            self.target,
            self.arguments(),
            self.agent,
            self.user,
            self.session_id,
            self.labels,
            self.description,
        )

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

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _Fields.__slots__ if name != "names"}

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
        return (_rebuild, (self._fields(),))

    def __repr__(self) -> str:
        # Names only: params may hold secrets and a repr ends up in logs and tracebacks.
        return f"Action({self.type!r}, {self.target!r}, params={list(self.params)!r})"


def action_of(
    type: str,  # noqa: A002 - as in Action
    target: str,
    params: Mapping[str, Any],
    agent: str | None,
    user: str | None,
    session_id: str | None,
) -> Action:
    """An Action for a door whose names are strings for certain: half the price of calling the class."""
    return _made(type, target, freeze_params(params), agent, user, session_id, _EMPTY, "")


def _made(
    type: str,  # noqa: A002 - as in Action
    target: str,
    params: Mapping[str, Any],
    agent: str | None,
    user: str | None,
    session_id: str | None,
    labels: Mapping[str, str],
    description: str,
) -> Action:
    fields: Any = _Fields()
    fields.type = type
    fields.target = target
    fields.params = params
    fields.agent = agent
    fields.user = user
    fields.session_id = session_id
    fields.labels = labels
    fields.description = description
    fields.names = (type, target, agent, user)
    fields.__class__ = Action
    return fields  # type: ignore[no-any-return]


def plain_text(what: str, value: object, or_what: str = "") -> str:
    """A string as the plain one it holds: a subclass (the member of an enum) may compare and print as it likes.

    Raises:
        TypeError: If it is no string.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a string{or_what}, got {value!r}")
    return str.__str__(value)


def text_or_none(what: str, value: object) -> str | None:
    """`plain_text` of what may be None."""
    return None if value is None else plain_text(what, value, " or None")


def _rebuild(fields: dict[str, Any]) -> Action:
    return Action(**fields)
