"""Deep, immutable snapshots of a call's parameters: what is judged, shown, approved, executed and recorded.

JSON-like values of exactly the built-in types are copied once. Anything else (a DataFrame, a connection, a subclass
with its own behaviour) travels by reference inside an `Opaque`: no condition can decide it and no durable approval
binds it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "FrozenDict",
    "FrozenList",
    "Opaque",
    "canonical",
    "excerpt",
    "freeze",
    "freeze_params",
    "has_opaque",
    "thaw",
    "thaw_params",
]

MAX_DEPTH = 64
"""Nesting beyond which a value is not copied but treated as opaque. Far above what tool schemas use."""
MAX_NODES = 1_000_000
"""Values in one parameter beyond which it is treated as opaque; also what stops cycles that branch."""

_SCALARS = frozenset((str, int, float, bool, type(None)))
_NAMES = frozenset((str,))


def _refuse(_self: object, *_args: object, **_kwargs: object) -> NoReturn:
    raise TypeError(
        "this is a snapshot of what was judged and cannot be changed; copy it with thaw(), dict() or list()"
    )


_REFUSE: Any = _refuse


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed. Equal to a plain dict of equal items."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _REFUSE
    clear = pop = popitem = setdefault = update = _REFUSE

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return (FrozenDict, (dict(self),))

    def __copy__(self) -> FrozenDict:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> FrozenDict:
        return self


class FrozenList(list[Any]):
    """A list that cannot be changed. Equal to a plain list of equal items."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _REFUSE
    append = clear = extend = insert = pop = remove = reverse = sort = _REFUSE

    def __reduce__(self) -> tuple[type[FrozenList], tuple[list[Any]]]:
        return (FrozenList, (list(self),))

    def __copy__(self) -> FrozenList:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> FrozenList:
        return self


class Opaque:
    """A value that is passed to the tool by reference and cannot be judged or bound by an approval.

    Attributes:
        value: The very object the caller passed.
        type_name: Its qualified type name.
    """

    __slots__ = ("type_name", "value")

    value: Any
    type_name: str

    def __init__(self, value: object) -> None:
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "type_name", _type_name(value))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Opaque is immutable: cannot set {name!r}")

    def __reduce__(self) -> tuple[type[Opaque], tuple[Any]]:
        return (Opaque, (self.value,))

    def describe(self, limit: int = 200) -> str:
        """The object's type and the beginning of its repr. Never raises; a broken repr reads as such."""
        try:
            # A container is cut first: one that holds itself over and over has a repr without end.
            text = repr(excerpt(self.value, depth=4) if isinstance(self.value, _CONTAINERS) else self.value)
            if len(text) > limit:
                # Whole words only: the half of a secret that a cut would leave is no longer recognised as one.
                text = text[:limit].rpartition(" ")[0] + "…"
        except RecursionError:
            text = "<repr is recursive>"
        except Exception as error:  # noqa: BLE001 - a stranger's __repr__ may raise anything; recording must not
            text = f"<repr raised {_qualname(type(error))}>"
        return f"{self.type_name}: {text}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)

    def __repr__(self) -> str:
        return f"Opaque({self.type_name})"


_CONTAINERS = (dict, list, tuple, set, frozenset)
# What type() itself knows: a class may answer anything when asked for its own name.
_qualname = type.__dict__["__qualname__"].__get__
_module = type.__dict__["__module__"].__get__


def _type_name(value: object) -> str:
    kind = type(value)
    try:
        module = _module(kind)
    except AttributeError:
        module = None
    return f"{module if type(module) is str else '?'}.{_qualname(kind)}"


class _TooLarge(Exception):  # noqa: N818 - control flow inside this file, never seen outside
    """The value nests or grows beyond what a snapshot holds, or contains itself."""


def _freeze(value: object, depth: int, budget: list[int]) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if depth >= MAX_DEPTH:
        raise _TooLarge
    if kind is dict or kind is FrozenDict:
        items: dict[Any, Any] = value  # type: ignore[assignment]
        _spend(budget, len(items))
        frozen: dict[Any, Any] = {}
        for key, item in list(items.items()):
            # A key of another type cannot be addressed by a condition, but it is data all the same.
            if type(key) not in _SCALARS:
                return Opaque(value)
            frozen[key] = _freeze(item, depth + 1, budget)
        return FrozenDict(frozen)
    if kind is list or kind is FrozenList or kind is tuple:
        elements: list[Any] | tuple[Any, ...] = value  # type: ignore[assignment]
        _spend(budget, len(elements))
        elements = list(elements)  # somebody else may be changing it
        copies = [_freeze(item, depth + 1, budget) for item in elements]
        return tuple(copies) if kind is tuple else FrozenList(copies)
    return value if kind is Opaque else Opaque(value)


def _spend(budget: list[int], nodes: int) -> None:
    budget[0] -= nodes
    if budget[0] < 0:
        raise _TooLarge


def freeze(value: object) -> Any:
    """A deep immutable copy of a JSON-like value; anything else, or anything too deep or large, as an `Opaque`."""
    try:
        return value if type(value) in _SCALARS else _freeze(value, 0, [MAX_NODES])
    except Exception:  # noqa: BLE001 - too deep, too large, or of a class that cannot even be compared with others
        return Opaque(value)


def freeze_params(params: Any) -> FrozenDict:
    """Freeze a call's parameters, one by one: an opaque one does not make its neighbours opaque.

    Raises:
        TypeError: If ``params`` is not a mapping or a name is not a string.
    """
    if type(params) is not dict and not isinstance(params, Mapping):
        raise TypeError(f"params must be a mapping of names to values, got {_type_name(params)}")
    frozen = FrozenDict(params)
    if _are_scalars(frozen.values()) and _NAMES.issuperset(map(type, frozen)):
        return frozen
    for name, value in frozen.items():
        if type(name) is not str:
            raise TypeError(f"parameter names must be strings, got {_type_name(name)}")
        kind = type(value)
        if kind is not str and kind is not int and value is not None and kind is not bool:
            dict.__setitem__(frozen, name, freeze(value))
    return frozen


def _are_scalars(values: Iterable[object]) -> bool:
    try:
        return _SCALARS.issuperset(map(type, values))
    except Exception:  # noqa: BLE001 - a class may refuse to be hashed
        return False


def thaw_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """A fresh, mutable dict of the params, with their original types."""
    copy = dict(params)
    if not _are_scalars(copy.values()):
        for name, value in copy.items():
            copy[name] = thaw(value)
    return copy


def thaw(value: Any) -> Any:
    """A fresh, mutable copy with the original types; opaque values come back as the very objects they were."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is FrozenDict:
        return {key: thaw(item) for key, item in value.items()}
    if kind is FrozenList:
        return [thaw(item) for item in value]
    if kind is tuple:
        return tuple([thaw(item) for item in value])
    if kind is Opaque:
        return value.value
    return value


def has_opaque(value: Any) -> bool:
    """Whether any part of a snapshot is opaque, and so not bound by an approval or a digest."""
    kind = type(value)
    if kind is FrozenDict:
        return any(has_opaque(item) for item in value.values())
    if kind is FrozenList or kind is tuple:
        return any(has_opaque(item) for item in value)
    return kind is Opaque


def excerpt(value: object, *, depth: int = 8, nodes: int = 1000) -> Any:
    """A bounded snapshot of what a tool returned, for the record: never a live object, never large, never raising.

    Unlike `freeze` it cuts what is too deep or too long, and describes what is not JSON-like at once, as text.
    """
    if value is None or type(value) is str:
        return value
    return _excerpt(value, depth, [nodes])


def _excerpt(value: object, depth: int, budget: list[int]) -> Any:
    try:
        return value if type(value) in _SCALARS else _cut(value, depth, budget)
    except Exception as error:  # noqa: BLE001 - a stranger's object may raise anything while it is looked at
        return f"<{_qualname(type(value))} could not be read: {_qualname(type(error))}>"


def _cut(value: object, depth: int, budget: list[int]) -> Any:
    kind = type(value)
    if isinstance(value, _CONTAINERS):
        size, left = len(value), budget[0]
        if depth <= 0:
            return f"<{_qualname(kind)} of {size}>"
        if isinstance(value, dict) and kind is dict and size <= left and _NAMES.issuperset(map(type, value)):
            budget[0] = left - size  # nothing to cut, nothing odd
            if _are_scalars(value.values()):
                return FrozenDict(value)
            return FrozenDict({key: _excerpt(item, depth - 1, budget) for key, item in value.items()})
        taken = min(size, left)
        budget[0] = left - taken
        if isinstance(value, dict):
            items = {_key(key): _excerpt(item, depth - 1, budget) for key, item in islice(value.items(), taken)}
            if taken < size:
                items["…"] = f"{size - taken} more"
            return FrozenDict(items)
        elements = [_excerpt(item, depth - 1, budget) for item in islice(value, taken)]
        return FrozenList(elements if taken == size else [*elements, f"… {size - taken} more"])
    if isinstance(value, (bytes, bytearray)):
        return f"<{_qualname(kind)}: {len(value)} bytes> {bytes(value[:64])!r}"
    # Subclasses of the scalars (enums, numpy's floats) are read with the scalars' own methods: theirs may do anything.
    for kind, read in _READ:
        if isinstance(value, kind):
            return read(value)
    return value.describe() if type(value) is Opaque else Opaque(value).describe()


_READ: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)


def _key(key: object) -> str:
    if type(key) is str:
        return key
    if type(key) is int and key.bit_length() > 1024:  # the interpreter refuses to write out long integers
        return f"<int of {key.bit_length()} bits>"
    return repr(key) if type(key) in _SCALARS else f"<{_qualname(type(key))}>"


def canonical(value: Any) -> bytes:
    """One byte string per snapshot value, equal exactly when the values are the same to a tool.

    Dicts are sorted by key; every value carries its type and length, so ``1``, ``1.0``, ``True`` and ``"1"`` differ,
    and so do a list and a tuple. An opaque value contributes its type and identity only: never bind an approval to it.
    """
    parts: list[bytes] = []
    _canonical(value, parts)
    return b"".join(parts)


def _canonical(value: Any, parts: list[bytes]) -> None:
    kind = type(value)
    if kind is str:
        data = value.encode("utf-8", "surrogatepass")
        parts.append(b"s%d:%b" % (len(data), data))
    elif value is None:
        parts.append(b"n")
    elif kind is bool:
        parts.append(b"t" if value else b"f")
    elif kind is int:
        # hex(): decimal conversion of huge integers is quadratic and limited by the interpreter.
        parts.append(b"i%b;" % hex(value).encode())
    elif kind is float:
        parts.append(b"d%b;" % (b"nan" if math.isnan(value) else value.hex().encode()))
    elif kind is FrozenDict or kind is dict:
        parts.append(b"{%d:" % len(value))
        for key, item in sorted([(canonical(key), item) for key, item in value.items()], key=_first):
            parts.append(key)
            _canonical(item, parts)
    elif kind is FrozenList or kind is list or kind is tuple:
        parts.append((b"(%d:" if kind is tuple else b"[%d:") % len(value))
        for item in value:
            _canonical(item, parts)
    else:
        source = value.value if kind is Opaque else value
        label = f"{_type_name(source)}@{id(source):x}".encode("utf-8", "surrogatepass")
        parts.append(b"o%d:%b" % (len(label), label))


_first = itemgetter(0)
