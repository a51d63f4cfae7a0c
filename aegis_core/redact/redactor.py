"""The Redactor: turns any value into a JSON-like one without secrets, and, where asked, of bounded size."""

from __future__ import annotations

import contextlib
import copy
import datetime
import functools
import math
import pathlib
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import re2

from aegis_core.redact.findings import KINDS, Find, Kind, Span, is_card, matches, options
from aegis_core.redact.names import SecretNames
from aegis_core.redact.pairs import pairs
from aegis_core.snapshot import FrozenDict, FrozenList, Opaque, canonical, freeze, has_opaque

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["MASK", "RECORD", "REDACTOR", "Bounds", "Redactor"]

NAME_LIMIT = 1_024
"""Characters kept of a name."""
MASK = "[redacted]"
"""What stands where a secret was. It carries neither length nor digest: short secrets could be found from either.
(`Redactor.marked` is for people who must decide about a call, and takes its digests with a key.)"""


class Bounds(NamedTuple):
    """How much of a value is kept.

    Attributes:
        text: Characters of one string.
        items: Entries of one list or dict.
        depth: Levels of nesting.
        total: Characters of all strings together; scalars count as eight.
    """

    text: int = 16_384
    items: int = 1_000
    depth: int = 32
    total: int = 65_536


RECORD = Bounds()
"""The bounds of what is stored on the trail."""
_WHOLE = Bounds(text=1 << 62, items=1 << 62, depth=100, total=1 << 62)
_NODES = 1_000_000
# A secret that begins before a cut is recognised from what follows the cut; no pattern needs more of it than this.
_MARGIN = 4_096

# What a dict may call a name and its value: form fields, header lists, environment lists, typing into a labelled field.
_NAMED = ("name", "key", "field", "header", "label", "element", "selector", "variable")
_VALUES = ("value", "text")
_DATES = (datetime.datetime, datetime.date, datetime.time)
_SNAPSHOTS = frozenset((FrozenDict, FrozenList, str, int, float, bool, type(None)))
_DUMP = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
# Letters that only become ASCII when names are folded: not seen by the triggers, so they take the thorough path.
_FOLDED = r"[\x{FF21}-\x{FF5A}\x{1D400}-\x{1D7FF}]"


class Redactor:
    """Finds secrets by the names they go under and by their own shape, and masks them. Immutable and thread-safe.

    Args:
        keys: Names that are secret, in any case style, besides the default ones (``password``, ``token``, ``api_key``,
            ...).
        patterns: RE2 patterns whose matches are secret, besides the default ones (bearer values, URL userinfo, private
            keys, known token prefixes, JWTs, card numbers).

    Raises:
        ValueError: A pattern is not valid RE2 or matches the empty string, or a key is empty. Names the culprit.
    """

    def __init__(self, keys: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        self.keys = tuple(keys)
        self.patterns = tuple(patterns)
        self._names = SecretNames(self.keys)
        self._clean: dict[str, str] = {}
        self._digest: Callable[[bytes], str] | None = None
        self._own = [_compiled(pattern) for pattern in self.patterns]
        self._kinds: tuple[Kind, ...] = (pairs(self._names), *KINDS)
        self._gate = re2.Set.SearchSet(options())
        self._gate.Add("|".join((_FOLDED, *(kind.trigger for kind in self._kinds))))
        self._gate.Compile()

    @functools.cached_property
    def _triggers(self) -> Any:
        """Says which kinds of secret a text may hold. Made when the first text passes the gate: most never do."""
        triggers = re2.Set.SearchSet(options())
        for kind in self._kinds:
            triggers.Add(kind.trigger)
        triggers.Compile()
        return triggers

    def text(self, text: str, *, limit: int | None = None) -> str:
        """``text`` without secrets and without lone surrogates.

        Args:
            text: Any string.
            limit: Characters to keep; what is cut is replaced by a mark that says how long the string was. A secret
                that a cut would run through is masked, not cut.
        """
        if limit is not None and len(text) > limit:
            kept = self._mask(text[: limit + _MARGIN], limit)
            return f"{kept}… [cut: {len(text)} characters]"
        return self._mask(text, None)

    def name(self, text: str) -> str:
        """`text` for the names of tools, agents, rules and the like. Answers for short names are remembered."""
        known = self._clean.get(text)
        if known is None:
            known = self.text(text, limit=NAME_LIMIT)
            if len(text) <= 128:
                if len(self._clean) >= 4096:  # a stranger must not fill the memory with names
                    self._clean.clear()
                self._clean[text] = known
        return known

    def value(self, value: object, *, bounds: Bounds | None = None) -> Any:
        """A new JSON-like structure that says what ``value`` says, without secrets. Never raises; orjson accepts it."""
        return _Walk(self, self._names, bounds or _WHOLE).value(value, 0)

    def params(self, params: Mapping[str, Any], *, bounds: Bounds | None = None) -> dict[str, Any]:
        """`value` for a call's parameters."""
        return _Walk(self, self._names, bounds or _WHOLE).mapping(dict(params), 1)

    def json(self, value: object, *, bounds: Bounds = RECORD) -> str:
        """`value` as JSON text. A small, clean snapshot costs one serialisation and one pattern: about 2 us."""
        # Only of a snapshot is it known that it ends. A stranger's pattern may look for what JSON writes otherwise.
        if type(value) in _SNAPSHOTS and not self._own:
            try:
                data = orjson.dumps(value, option=_DUMP)
            except (TypeError, RecursionError):
                data = b""
            clean = 0 < len(data) <= bounds.text and not self._gate.Match(data)
            if clean and not (b"null" in data and _has_nan(value)):  # orjson writes NaN as null
                return data.decode()
        return orjson.dumps(self.value(value, bounds=bounds)).decode()

    def marked(self, digest: Callable[[bytes], str]) -> Redactor:
        """The same redactor, whose masks say how long a secret is and carry the first 12 digits of a digest of it.

        For people who are asked about a call: they recognise a secret that they have seen before, and that it changed.

        Args:
            digest: A keyed digest, hex. Without the key nobody can try out short secrets; never give a bare hash.
        """
        twin = copy.copy(self)
        twin._clean, twin._digest = {}, digest
        return twin

    def mask(self, secret: object) -> str:
        """What stands in the place of a secret."""
        if self._digest is None:
            return MASK
        if isinstance(secret, str):
            secret = secret.encode("utf-8", "backslashreplace")
        if isinstance(secret, bytes):
            what, data = f"{len(secret.decode('utf-8', 'replace'))} characters", secret
        else:
            frozen = freeze(secret)
            if has_opaque(frozen):
                return MASK
            what, data = type(secret).__name__.removeprefix("Frozen").lower(), canonical(frozen)
        return f"[redacted: {what}, {self._digest(b'secret ' + data)[:12]}]"

    def _mask(self, text: str, limit: int | None) -> str:
        data = text.encode("utf-8", "backslashreplace")
        kept = len(data) if limit is None else len(text[:limit].encode("utf-8", "backslashreplace"))
        spans = self._spans(data)
        if not spans:
            return text if kept == len(data) and text.isascii() else data[:kept].decode()
        pieces: list[bytes] = []
        position = 0
        for start, end in sorted(spans):
            if start >= kept:
                break
            if start >= position:
                pieces.append(data[position:start])
                pieces.append(self.mask(data[start:end]).encode())
            position = max(position, end)
        pieces.append(data[position:kept])
        return b"".join(pieces).decode("utf-8", "replace")

    def _spans(self, data: bytes) -> list[Span]:
        spans: list[Span] = []
        if self._gate.Match(data):
            for index in self._triggers.Match(data) or ():
                spans.extend(self._kinds[index].find(data))
        for find in self._own:
            spans.extend(find(data))
        return spans


REDACTOR = Redactor()
"""The default redactor: what is used where a policy names no secrets of its own."""


def _compiled(pattern: str) -> Find:
    try:
        compiled = re2.compile(pattern.encode(), options())
    except re2.error as error:
        raise ValueError(f"the redaction pattern {pattern!r} is not valid RE2: {error}") from None
    if compiled.search(b""):
        raise ValueError(f"the redaction pattern {pattern!r} matches the empty string")
    return matches(pattern.encode())


class _Walk:
    """One walk over one value, with what is left of its bounds."""

    __slots__ = ("active", "bounds", "left", "names", "nodes", "redactor")

    def __init__(self, redactor: Redactor, names: SecretNames, bounds: Bounds) -> None:
        self.redactor = redactor
        self.names = names
        self.bounds = bounds
        self.left = bounds.total
        self.nodes = _NODES
        self.active: set[int] = set()

    def value(self, value: object, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            return self.text(value)  # type: ignore[arg-type]
        self.left -= 8
        self.nodes -= 1
        if value is None or kind is bool:
            return value
        if kind is int:
            return self.integer(value)  # type: ignore[arg-type]
        if kind is float:
            return self.number(value)  # type: ignore[arg-type]
        # Subclasses are read with the methods of the built-in types: their own may do anything.
        if isinstance(value, (dict, list, tuple)):
            return self.container(value, depth)
        if isinstance(value, str):
            return self.text(str.__str__(value))
        if isinstance(value, int):
            return self.integer(int.__int__(value))
        if isinstance(value, float):
            return self.number(float.__float__(value))
        if kind is set or kind is frozenset:
            return self.container(list(value), depth)  # type: ignore[call-overload]
        return self.opaque(value if isinstance(value, Opaque) else Opaque(value))

    def text(self, text: str) -> str:
        limit = max(0, min(self.bounds.text, self.left))
        self.left -= min(len(text), limit)
        return self.redactor.text(text, limit=limit)

    def integer(self, value: int) -> int | str:
        if -(1 << 63) <= value < 1 << 64:
            return self.redactor.mask(b"%d" % value) if value > 1e12 and is_card(b"%d" % value) else value
        # Decimal conversion is quadratic and the interpreter refuses it beyond some length.
        return str(value) if value.bit_length() <= 1_024 else f"[integer of {value.bit_length()} bits]"

    def number(self, value: float) -> float | str:
        if not math.isfinite(value):
            return str(value)
        if 1e12 < value < 1e19 and value.is_integer() and is_card(b"%d" % int(value)):
            return self.redactor.mask(b"%d" % int(value))
        return value

    def container(self, value: dict[Any, Any] | list[Any] | tuple[Any, ...], depth: int) -> Any:
        if id(value) in self.active:
            return "[cycle]"
        if depth >= self.bounds.depth:
            return f"[cut: nested deeper than {self.bounds.depth}]"
        self.active.add(id(value))
        try:
            if isinstance(value, dict):
                return self.mapping(dict(dict.items(value)), depth + 1)
            elements = list.__iter__(value) if isinstance(value, list) else tuple.__iter__(value)
            return self.sequence(list(elements), depth + 1)
        finally:
            self.active.discard(id(value))

    def exhausted(self, count: int) -> bool:
        return count >= self.bounds.items or self.left <= 0 or self.nodes <= 0

    def mapping(self, mapping: dict[Any, Any], depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        secret_values = self.secret_values(mapping)
        for key, item in mapping.items():
            if self.exhausted(len(result)):
                result["[cut]"] = f"{len(mapping)} items"
                break
            name = key if type(key) is str else str(self.value(key, depth))
            secret = name in self.names or name in secret_values
            kept = self.text(name)
            while kept in result:  # two keys that read the same once masked, cut or turned into strings
                kept += "'"
            masked = secret and not _says_nothing(item)
            result[kept] = self.redactor.mask(item) if masked else self.value(item, depth)
        return result

    def secret_values(self, mapping: dict[Any, Any]) -> tuple[str, ...]:
        """``("value",)`` in ``{"name": "password", "value": "..."}``."""
        found = tuple(name for name in _VALUES if name in mapping)
        if found:
            for name in _NAMED:
                label = mapping.get(name)
                if type(label) is str and label in self.names:
                    return found
        return ()

    def sequence(self, items: list[Any], depth: int) -> list[Any]:
        result: list[Any] = []
        pair = len(items) == 2
        previous: object = None
        for item in items:
            if self.exhausted(len(result)):
                result.append(f"[cut: {len(items)} items]")
                break
            # `["--password", "..."]` in a command line, `["Authorization", "..."]` in a list of headers
            named = type(previous) is str and (pair or previous.startswith("-")) and previous in self.names
            masked = named and type(item) is str and item
            result.append(self.redactor.mask(item) if masked else self.value(item, depth))
            previous = item
        return result

    def opaque(self, opaque: Opaque) -> str:
        limit = max(0, min(self.bounds.text, self.left))
        known: tuple[str, str] | None = None
        with contextlib.suppress(Exception):  # a stranger's class may raise even where it is only compared with others
            known = _known(opaque.value, limit)
        if known is not None:
            return known[0] + self.text(known[1])
        # The repr is cut with the margin left on, so that the redactor sees what it needs.
        return self.text(opaque.describe(limit + _MARGIN))


def _known(value: Any, limit: int) -> tuple[str, str] | None:
    """What stands before the text of a value, and the text, where it is of a kind that has one of its own."""
    import decimal  # noqa: PLC0415 - few values are opaque, and no call of a client's is

    kind = type(value)
    if kind in (bytes, bytearray):
        data = bytes(value[: limit + _MARGIN])
        return f"[{kind.__name__}: {len(value)} bytes] ", data.decode("utf-8", "backslashreplace")
    if kind in _DATES:
        return "", value.isoformat()
    if kind in (uuid.UUID, decimal.Decimal) or isinstance(value, pathlib.PurePath):
        return "", str(value)
    return None


def _has_nan(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_nan, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_nan, value))
    return isinstance(value, float) and not math.isfinite(value)


def _says_nothing(value: object) -> bool:
    """``None``, true and false, and nothing at all are no secrets, and whether a secret was given is worth knowing."""
    return value is None or isinstance(value, bool) or (isinstance(value, (str, list, tuple, dict)) and len(value) == 0)
