"""A settings file: read once, replaced as a whole or not at all, never over somebody else's change."""

from __future__ import annotations

import codecs
import difflib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_core.errors import AegisError
from aegis_core.redact import Redactor
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BACKUP", "SettingsFile"]

BACKUP = ".before-aegis"
"""What the name of a backup ends in."""
_LONGEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a settings file held when it was read.

    Attributes:
        path: The file itself, where links lead.
        data: Its bytes.
        text: Its text, without the byte order mark some editors put in front.
    """

    path: Path
    data: bytes
    text: str

    @classmethod
    def read(cls, path: Path, *, missing: str | None = None) -> SettingsFile:
        """Read it.

        Args:
            path: The file, or a link to it.
            missing: The text that stands for a file that is not there; None if it must be.

        Raises:
            AegisError: It is not there, is no file, cannot be read or is not UTF-8.
        """
        real = Path(os.path.realpath(path))
        try:
            if real.is_dir():
                raise AegisError(f"{path}: is a folder, not a settings file")
            if real.exists() and not real.is_file():
                raise AegisError(f"{path}: is a pipe or a device, not a settings file")
            with real.open("rb") as file:
                data = file.read(_LONGEST + 1)
        except FileNotFoundError:
            if missing is None:
                raise AegisError(f"{path}: there is no such file") from None
            return cls(real, b"", missing)
        except OSError as error:
            raise AegisError(f"{path}: cannot be read: {error.strerror or error}") from error
        if len(data) > _LONGEST:
            raise AegisError(f"{path}: is larger than {_LONGEST // 2**20} MiB")
        body = data.removeprefix(codecs.BOM_UTF8)
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            line = body.count(b"\n", 0, error.start) + 1
            raise AegisError(f"{path}:{line}: the byte 0x{body[error.start]:02X} is not UTF-8") from None
        if not text.strip() and missing is not None:
            text = missing
        return cls(real, data, text)

    def encoded(self, text: str) -> bytes:
        """A new text as bytes, with the byte order mark that was there."""
        mark = codecs.BOM_UTF8 if self.data.startswith(codecs.BOM_UTF8) else b""
        return mark + text.encode("utf-8")

    def difference(self, text: str) -> list[str]:
        """What a new text would change, as lines for a terminal; what looks like a secret in them is masked."""
        redactor = Redactor()
        before, after = (redactor.text(each).splitlines() for each in (self.text, text))
        lines = [*difflib.unified_diff(before, after, n=1, lineterm="")][2:]
        lines = [f"--- {self.path} now", f"+++ {self.path} then", *lines] if lines else []
        return ["\t".join(map(visible, line.split("\t"))) for line in lines]

    def replace(self, data: bytes) -> None:
        """Put new contents in its place, all or nothing, with the owner and the permissions it had.

        Raises:
            AegisError: It has changed since it was read, or cannot be written.
        """

        def unchanged() -> None:
            if self._now() != self.data:
                raise AegisError(f"{self.path}: was changed by another program just now; run the command again")

        try:
            self._refuse_read_only()
            like = self.path.stat() if self.path.exists() else None
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _put(self.path, data, like=like, check=unchanged)
        except OSError as error:
            raise AegisError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def remove(self) -> None:
        """Delete it, if it is as it was read."""
        if self._now() == self.data:
            self.path.unlink(missing_ok=True)

    def _refuse_read_only(self) -> None:
        """Leave a file alone that its owner has made read-only, although its folder would let us replace it."""
        if self.path.exists() and not os.access(self.path, os.W_OK):
            raise AegisError(f"{self.path}: cannot be written: it is read-only")

    def _now(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    @property
    def backup(self) -> Path:
        """Where what it held before Aegis is kept."""
        return self.path.with_name(self.path.name + BACKUP)

    def keep(self) -> None:
        """Keep what it held, readable by its owner only: settings hold keys.

        Raises:
            AegisError: The backup cannot be written.
        """
        try:
            self._refuse_read_only()
            _put(self.backup, self.data)
        except OSError as error:
            raise AegisError(f"{self.backup}: cannot be written: {error.strerror or error}") from error


def _put(
    path: Path, data: bytes, *, like: os.stat_result | None = None, check: Callable[[], None] | None = None
) -> None:
    """Put a file at a path, all or nothing. Only its owner may read it, unless it is to be like another."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
    try:
        try:
            _write(descriptor, data)
            _inherit(descriptor, like)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if check is not None:
            check()
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _inherit(descriptor: int, before: os.stat_result | None) -> None:
    """Give a new file the permissions and the owner of the one it replaces."""
    if before is None or not hasattr(os, "fchown"):
        return
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        os.fchown(descriptor, before.st_uid, before.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
