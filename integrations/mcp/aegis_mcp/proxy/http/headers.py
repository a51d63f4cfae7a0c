"""HTTP headers: which go on, and that what they say of a message is what the message says.

Since 2026-07-28 a request's method, name and some of its arguments also stand in headers, for whoever routes by them.
What was judged is the body; a header that says otherwise is refused.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from aegis_mcp.proxy.frames import FrameError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aegis_mcp.proxy.frames import Message

__all__ = ["Headers", "agree", "mend", "onward", "repeats_arguments", "returned", "value_of"]

Headers = list[tuple[bytes, bytes]]
HEADER_MISMATCH = -32020
_HOP_BY_HOP = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
        b"trailer", b"transfer-encoding", b"upgrade",
    )
)  # fmt: skip
# What concerns the connection to us, or is set anew for the one to the server.
_OURS = _HOP_BY_HOP | {b"accept-encoding", b"content-length", b"expect", b"host", b"origin"}
_THEIRS = _HOP_BY_HOP | {b"alt-svc", b"content-length"}
_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_PARAM = b"mcp-param-"
_OPENING, _CLOSING = b"=?base64?", b"?="


def value_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """A header's value; the first if there are several."""
    for key, value in headers:  # a generator takes twice as long, and this is asked often
        if key == name:
            return value
    return None


def onward(headers: Headers, *, without: frozenset[bytes] = frozenset()) -> Headers:
    """What the server gets of a client's headers."""
    listed = _listed(headers)
    return [pair for pair in headers if pair[0] not in _OURS and pair[0] not in listed and pair[0] not in without]


def returned(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """What the client gets of a server's headers; the length is set with the body."""
    lower = [(name.lower(), value) for name, value in headers]
    listed = _listed(lower)
    return [pair for pair in lower if pair[0] not in _THEIRS and pair[0] not in listed]


def _listed(headers: Headers) -> set[bytes]:
    """Headers that ``Connection`` declares to be of this connection only."""
    return {
        word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")
    } - {b"close", b"keep-alive"}  # fmt: skip


def agree(headers: Headers, message: Message) -> None:
    """Refuse a request whose headers say something else than its body.

    Raises:
        FrameError: They do, or a header of the protocol comes twice.
    """
    ours = [(name, value) for name, value in headers if name.startswith(b"mcp-")]
    if not ours:
        return
    identity = message.get("id")
    names = [name for name, _ in ours]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise _mismatch(f"the header {twice.decode()} comes twice", identity)
    said, method, params = dict(ours), message.get("method"), message.get("params")
    params = params if isinstance(params, dict) else {}
    if method is None:
        return
    if b"mcp-method" in said and _text(said[b"mcp-method"]) != method:
        raise _mismatch("the header mcp-method names another method than the body", identity)
    key = _NAMED.get(method)
    if b"mcp-name" in said and key is not None and _decoded(said[b"mcp-name"]) != params.get(key):
        raise _mismatch(f"the header mcp-name names another {key} than the body", identity)
    meta = params.get("_meta")
    version = meta.get("io.modelcontextprotocol/protocolVersion") if isinstance(meta, dict) else None
    if isinstance(version, str) and version != _text(said.get(b"mcp-protocol-version", version.encode())):
        raise _mismatch("the header mcp-protocol-version names another version than the body", identity)
    if method == "tools/call" and any(name.startswith(_PARAM) for name in names):
        held = [value for _, value in _leaves(params.get("arguments"))]
        for name, value in ours:
            if name.startswith(_PARAM) and not any(_same(_decoded(value), one) for one in held):
                raise _mismatch(f"the header {name.decode()} carries a value that the arguments do not hold", identity)


def repeats_arguments(headers: Headers) -> bool:
    """Whether a header says again what an argument says."""
    return any(name.startswith(_PARAM) for name, _ in headers)


def mend(headers: Headers, before: Any, after: Any) -> Headers:
    """The headers of a call whose arguments were changed by an approver.

    Args:
        headers: The call's, in agreement with its arguments as they came.
        before: The arguments as they came.
        after: The arguments that will run.

    Raises:
        FrameError: Which argument a header carries cannot be told.
    """
    if before == after:
        return headers
    now = dict(_leaves(after))
    mended: Headers = []
    for name, value in headers:
        if name.startswith(_PARAM):
            values = [now.get(path) for path, held in _leaves(before) if _same(_decoded(value), held)]
            if any(other is None or other != values[0] for other in values):
                raise FrameError(f"an approver changed an argument that the header {name.decode()} may carry")
            value = _encoded(str(values[0]))  # noqa: PLW2901 - the header as it goes on
        mended.append((name, value))
    return mended


def _mismatch(text: str, identity: Any) -> FrameError:
    return FrameError(text, code=HEADER_MISMATCH, id=identity)


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text, number and truth value inside, as headers write them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))
    elif isinstance(value, bool):
        yield path, "true" if value else "false"
    elif value is not None:
        yield path, str(value)


def _same(said: str | None, held: str) -> bool:
    if said == held:
        return True
    try:  # 42 and 42.0 are one integer
        return said is not None and "." in said + held and float(said) == float(held)
    except ValueError:
        return False


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _decoded(value: bytes) -> str | None:
    """A header's value; None if its encoding is broken."""
    if not (value.startswith(_OPENING) and value.endswith(_CLOSING)):
        return _text(value)
    payload = value[len(_OPENING) : -len(_CLOSING)]
    try:
        decoded = base64.b64decode(payload, validate=True)
        return decoded.decode() if base64.b64encode(decoded) == payload else None
    except ValueError:
        return None


def _encoded(text: str) -> bytes:
    plain = text.isascii() and text.isprintable() and text == text.strip() and not text.startswith("=?base64?")
    return text.encode() if plain else _OPENING + base64.b64encode(text.encode()) + _CLOSING
