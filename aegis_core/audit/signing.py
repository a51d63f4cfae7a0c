"""Ed25519 signatures over the state of a chain. Needs the extra ``sign``."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_core.errors import AuditError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["PublicKey", "SigningKey", "generate"]


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - an extra
    except ImportError:
        raise AuditError("signatures need the extra `sign`: pip install 'aegis-agents[sign]'") from None
    return ed25519


def _serialization() -> Any:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an extra

    return serialization


class PublicKey:
    """Checks signatures.

    Attributes:
        id: The first 16 hex digits of the key's SHA-256: names it in records.
    """

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self.id = hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PublicKey:
        """Read a PEM file.

        Raises:
            AuditError: It cannot be read or is not an Ed25519 public key.
        """
        ed25519 = _ed25519()
        try:
            key = _serialization().load_pem_public_key(Path(path).read_bytes())
        except (OSError, ValueError) as error:
            raise AuditError(f"{os.fspath(path)!r} cannot be used as a public key: {error}") from error
        if not isinstance(key, ed25519.Ed25519PublicKey):
            raise AuditError(f"{os.fspath(path)!r} is not an Ed25519 public key")
        return cls(key)

    def verifies(self, signature: str, message: bytes) -> bool:
        """Whether ``signature`` (hex) is this key's for ``message``."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra

        try:
            self._key.verify(bytes.fromhex(signature), message)
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """Makes signatures.

    Attributes:
        id: The id of its public key.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())
        self.id = self.public.id

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SigningKey:
        """Read a PEM file.

        Raises:
            AuditError: It cannot be read or is not an unencrypted Ed25519 private key.
        """
        ed25519 = _ed25519()
        try:
            key = _serialization().load_pem_private_key(Path(path).read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise AuditError(f"{os.fspath(path)!r} cannot be used as a signing key: {error}") from error
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise AuditError(f"{os.fspath(path)!r} is not an Ed25519 private key")
        return cls(key)

    def sign(self, message: bytes) -> str:
        """The signature of ``message``, as hex."""
        return self._key.sign(message).hex()


def generate(path: str | os.PathLike[str]) -> tuple[str, str, str]:
    """Make a key pair: the private key at ``path``, for its owner only, and the public key at ``path`` + ``.pub``.

    Returns:
        Both paths and the key's id.

    Raises:
        AuditError: A file is there already or cannot be written.
    """
    key = _ed25519().Ed25519PrivateKey.generate()
    serialization = _serialization()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    paths = os.fspath(path), f"{os.fspath(path)}.pub"
    try:
        for name, data, mode in ((paths[0], private, 0o600), (paths[1], public, 0o644)):
            with os.fdopen(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
                file.write(data)
    except FileExistsError as error:
        raise AuditError(f"{error.filename!r} exists already and is left alone") from error
    except OSError as error:
        raise AuditError(f"the key cannot be written: {error}") from error
    return *paths, PublicKey(key.public_key()).id
