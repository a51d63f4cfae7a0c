"""Messages that prove who sent them, when, and that nothing was changed: HMAC-SHA256 as in Standard Webhooks.

The signature is taken of the message's id, the time and the body; https://www.standardwebhooks.com says how, and
libraries in many languages check it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any

from aegis_core.errors import ApprovalError

__all__ = ["Headers", "check", "read_secret", "seal"]

TOLERANCE = 300
"""Seconds by which a message's time may differ from ours: older ones may be replays."""
_SHORTEST = 24
_ID, _TIME, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"

Headers = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""A mapping of text, or pairs of text or bytes, as web frameworks hand them over."""


def read_secret(secret: str) -> bytes:
    """The bytes of a shared secret: ``whsec_`` and base64, or any text of at least 24 bytes.

    Raises:
        ValueError: It is too short, or is no base64. The message does not quote it.
    """
    if type(secret) is not str:
        raise TypeError(f"secret must be a string, got {type(secret).__name__}")
    data = secret.encode()
    if secret.startswith("whsec_"):
        try:
            data = base64.b64decode(secret[6:], validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("secret begins with whsec_ and is not followed by base64") from None
    if len(data) < _SHORTEST:
        raise ValueError(f"secret is too short: it has {len(data)} bytes and needs {_SHORTEST}, drawn at random")
    return data


def seal(secret: bytes, id: str, at: int, body: bytes) -> dict[str, str]:  # noqa: A002 - the header's name
    """The headers of a message.

    Args:
        secret: The shared secret.
        id: Names the message.
        at: Seconds since the epoch.
        body: The message, exactly as it is sent.
    """
    return {_ID: id, _TIME: str(at), _SIGNATURE: f"v1,{_signature(secret, id, str(at), body)}"}


def check(secret: bytes, headers: Headers, body: bytes, *, now: float) -> None:
    """Make sure that a message was sent just now by who knows the secret.

    Args:
        secret: The shared secret.
        headers: All headers; names in any case.
        body: The message, exactly as it came.
        now: Seconds since the epoch.

    Raises:
        ApprovalError: It was not, or that cannot be told.
    """
    found = _ours(headers)
    missing = [name for name in (_ID, _TIME, _SIGNATURE) if name not in found]
    if missing:
        raise ApprovalError(f"the message has no header {missing[0]!r}")
    at = found[_TIME]
    if not (at.isascii() and at.isdigit() and len(at) <= 12):
        raise ApprovalError("the message's timestamp is no number of seconds")
    expected = _signature(secret, found[_ID], at, body).encode()
    # Several, while a secret is changed. Every one is compared, so that time tells nothing.
    given = [part[3:].encode("utf-8", "replace") for part in found[_SIGNATURE].split(" ") if part.startswith("v1,")]
    if sum(hmac.compare_digest(one, expected) for one in given[:8]) == 0:
        raise ApprovalError("the message's signature is not ours: another secret, or the message was changed")
    if abs(now - int(at)) > TOLERANCE:
        raise ApprovalError(f"the message is too old, or a clock is wrong: more than {TOLERANCE} s lie between us")


def _ours(headers: Headers) -> dict[str, str]:
    pairs: Any = headers.items() if isinstance(headers, Mapping) else headers
    found: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name = (raw_name.decode("latin-1") if isinstance(raw_name, bytes) else raw_name).lower()
        if name not in (_ID, _TIME, _SIGNATURE):
            continue
        if name in found:
            raise ApprovalError(f"the message has the header {name!r} twice")
        found[name] = raw_value.decode("latin-1") if isinstance(raw_value, bytes) else raw_value
    return found


def _signature(secret: bytes, id: str, at: str, body: bytes) -> str:  # noqa: A002 - as above
    signed = b".".join((id.encode("utf-8", "replace"), at.encode(), body))
    return base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
