"""The keyed digest of a trail, and its key: 32 random bytes beside the trail, or where AEGIS_KEY_FILE says."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from aegis_core.errors import AuditError

__all__ = ["Digest", "keyed_digest"]

_SIZE = 32


def keyed_digest(key: bytes, data: bytes) -> str:
    """BLAKE2b with a key, 256 bits, as hex: equal data is recognised, and nobody without the key can guess at data."""
    return hashlib.blake2b(data, digest_size=32, key=key).hexdigest()


class Digest:
    """The keyed digest of one trail. The key is read, or made, when first needed.

    Args:
        db_path: The trail.
    """

    def __init__(self, db_path: str) -> None:
        self._path = db_path
        self._key: bytes | None = None

    def __call__(self, data: bytes) -> str:
        """The digest of ``data``."""
        key = self._key
        if key is None:
            key = self._key = load_key(self._path)
        return keyed_digest(key, data)


def load_key(db_path: str) -> bytes:
    """The key for a trail; made, readable by its owner only, if there is none.

    Raises:
        AuditError: It cannot be read or made, or is not a key.
    """
    path = Path(os.environ.get("AEGIS_KEY_FILE") or f"{db_path}.key")
    try:
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            _make(path)
            key = path.read_bytes()
    except OSError as error:
        hint = "give the trail a folder that is there and can be written, or the key a place of its own: AEGIS_KEY_FILE"
        raise AuditError(
            f"the key of the audit trail, {str(path)!r}, cannot be read or made: {error.strerror or error}; {hint}"
        ) from error
    if len(key) != _SIZE:
        raise AuditError(f"{str(path)!r} is not the key of an audit trail: it has {len(key)} bytes instead of {_SIZE}")
    return key


def _make(path: Path) -> None:
    """Put a whole key in place at once: another process may be doing the same."""
    import secrets  # noqa: PLC0415 - only a new trail needs it

    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    fd = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(fd, secrets.token_bytes(_SIZE))
        os.fsync(fd)
    finally:
        os.close(fd)
    try:
        with contextlib.suppress(FileExistsError):  # the other process was first: its key is the key
            os.link(draft, path)
    finally:
        draft.unlink()
