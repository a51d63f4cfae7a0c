"""JSON-RPC messages as they stand on the wire: read strictly, written as they were judged.

A message is judged by one parser and acted upon by another, somebody else's. Whatever two parsers could read
differently is refused: duplicate keys, keys that differ only in case (Go's decoder ignores case), numbers that are
none, bytes that are not UTF-8, nesting that overflows.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from aegis_core.policy.names import fold

__all__ = ["FrameError", "Message", "dump", "error", "key_of", "loose", "parse", "tool_error"]

Message = dict[str, Any]
MAX_BYTES = 64 * 1024 * 1024
"""Longest line that is read."""
_FRAME_KEYS = frozenset(("jsonrpc", "id", "method", "params", "result", "error"))
_IDS = (int, str)
_PARAM_KEYS = frozenset(("name", "arguments", "_meta", "task", "requestState", "inputResponses"))
PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32602, -32603


class FrameError(Exception):
    """A message that is not forwarded, with the JSON-RPC code and the sentence to answer with."""

    def __init__(self, message: str, *, code: int = INVALID_REQUEST, id: Any = None) -> None:  # noqa: A002 - JSON-RPC's name
        super().__init__(message)
        self.code = code
        self.id = id


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise FrameError(f"duplicate key {twice[:80]!r}: two programs could read this message differently")
    return mapping


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise FrameError(f"the number {text[:40]} is out of range")
    return number


def _no_constant(text: str) -> float:
    raise FrameError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)


def parse(line: bytes) -> Message | list[Any]:
    """Read one message of a client, or one batch.

    Raises:
        FrameError: It is not JSON-RPC that every reader would read alike.
    """
    if len(line) > MAX_BYTES:
        raise FrameError(f"the message is longer than {MAX_BYTES // 2**20} MiB", code=PARSE_ERROR)
    try:
        text = line.decode("utf-8").strip()
        value, end = _DECODER.raw_decode(text)
        if end != len(text):
            raise json.JSONDecodeError("Extra data", text, end)
    except UnicodeDecodeError:
        raise FrameError("the message is not UTF-8", code=PARSE_ERROR) from None
    except RecursionError:
        raise FrameError("the message is nested too deep", code=PARSE_ERROR) from None
    except ValueError as problem:  # json.JSONDecodeError; or an integer of more digits than the interpreter converts
        raise FrameError(f"the message is not JSON: {str(problem)[:200]}", code=PARSE_ERROR) from None
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise FrameError("the message is not a JSON object")
    check(value)
    return value


def check(message: Message) -> None:
    """Refuse keys, and a method, that another reader could take for the ones that count.

    Raises:
        FrameError: A key of the protocol, or tools/call, is there in another spelling; or the id is of the wrong kind.
    """
    _exact(message, _FRAME_KEYS)
    identity = message.get("id")
    if type(identity) not in _IDS and "id" in message:  # exactly these: a truth value is a whole number, too
        raise FrameError("the id must be a string or a whole number")
    method = message.get("method")
    if method == "tools/call":
        if isinstance(message.get("params"), dict):
            _exact(message["params"], _PARAM_KEYS, id=identity)
    elif isinstance(method, str) and fold(method) == "tools/call":
        raise FrameError(f"the method {ascii(method)[:80]} can be mistaken for tools/call", id=identity)


def _exact(mapping: Message, known: frozenset[str], *, id: Any = None) -> None:  # noqa: A002 - JSON-RPC's name
    if known.issuperset(mapping):
        return
    for key in mapping:
        if key not in known and fold(key) in {fold(name) for name in known}:
            raise FrameError(f"the key {ascii(key)[:80]} can be mistaken for one of the protocol's own", id=id)


def loose(line: bytes) -> Any:
    """A message of the server, read as leniently as clients do; None if it is not JSON."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:  # orjson refuses lone surrogates and long integers; Python's reader does not
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            return None


def dump(message: Message | list[Any]) -> bytes:
    """One message as one line."""
    try:
        return orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # orjson refuses lone surrogates, which only the escaped form can carry, and long integers
        return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def key_of(identity: Any) -> tuple[str, Any]:
    """A request's id as a key: ``1`` and ``"1"`` are two requests, and what is no id is the key of none."""
    return (type(identity).__name__, identity) if isinstance(identity, _IDS) else ("", None)


def error(identity: Any, code: int, message: str) -> Message:
    """A JSON-RPC error response."""
    return {"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": message}}


def tool_error(identity: Any, text: str, *, modern: bool = False) -> Message:
    """A tool result that tells the model that the call did not run, and why."""
    result: Message = {"content": [{"type": "text", "text": text}], "isError": True}
    if modern:
        result["resultType"] = "complete"
    return {"jsonrpc": "2.0", "id": identity, "result": result}
