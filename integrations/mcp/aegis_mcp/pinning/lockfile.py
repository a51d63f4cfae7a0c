"""``aegis.lock``: the definitions of tools that were accepted, per server, as text that people can review.

JSON, indented, keys sorted, long texts line by line; every character that does not show itself is written as an escape,
so what a reviewer sees is what there is. Read strictly: a file that is damaged, newer, edited so that a definition no
longer has its digest, or a symbolic link, is refused. Written to a file beside it that takes its place, 0600, while no
other process writes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aegis_core.errors import AegisError
from aegis_core.policy.readers import ANYTHING, mapped, text, the
from aegis_core.policy.reading import Document, Reader, Unfit, key, read
from aegis_core.policy.wording import shown
from aegis_core.portability import Turns, sync_data, sync_folder
from aegis_core.text import visible
from aegis_mcp.pinning.definition import Definition

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

__all__ = ["Lock", "LockFile", "companions"]

VERSION = 1
_LARGEST = 64 * 1024 * 1024
_SHOWN = re.compile(r"[\x20-\x7e\n]*\Z")
Tools = Mapping[str, Definition]
"""Accepted definitions by tool."""


_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


def _version(value: object) -> int:
    if type(value) is not int or value != VERSION:
        raise ValueError(f"must be {VERSION}, got {shown(value)}")
    return VERSION


def _digest(value: object) -> str:
    if not isinstance(value, str) or not _DIGEST.match(value):
        raise ValueError(f"must be sha256: and 64 hexadecimal digits, got {shown(value)}")
    return value


def _description(value: object) -> str | list[str]:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return value
    raise ValueError(f"must be text or a list of texts, got {shown(value)}")


_NAME = text(empty=True)


class _Entry(Document):
    digest: str = key(Reader(_digest, {}), "The definition's.")
    description: str | list[str] | None = key(Reader(_description, {}), "Line by line.", default=None)
    definition: dict[str, Any] = key(mapped(_NAME, ANYTHING), "Without its description.")


class _Document(Document):
    aegis_lock: int = key(Reader(_version, {}), "The format's version.")
    servers: dict[str, dict[str, _Entry]] = key(mapped(_NAME, mapped(_NAME, the(_Entry))), "By server, then by tool.")


@dataclass(frozen=True, slots=True)
class Lock:
    """The content of a lock file.

    Attributes:
        servers: Accepted definitions by server and tool. A server that is not in it was never seen.
    """

    servers: Mapping[str, Tools] = field(default_factory=dict[str, "Tools"])

    def of(self, server: str) -> Tools | None:
        """The tools of one server; None if it was never seen."""
        return self.servers.get(server)


class LockFile:
    """A lock file on disk.

    Args:
        path: Where it is, or will be.
        turn: The file that those who write take turns on; default beside it.
    """

    def __init__(self, path: Path, *, turn: str | None = None) -> None:
        self.path = path
        self._name = str(path)
        self._turn_path = turn or f"{path}.turn"
        self._seen: tuple[int, ...] | None = None
        self._lock = Lock()

    def read(self) -> Lock:
        """What is in it now; an empty lock if there is no file. Parsed only when the file has changed.

        Raises:
            AegisError: It cannot be trusted to say what was accepted.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            self._seen, self._lock = None, Lock()
            return self._lock
        except OSError as error:
            why = "it is a symbolic link" if self.path.is_symlink() else error.strerror or str(error)
            raise self._unfit(f"cannot be read: {why}") from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise self._unfit("is no regular file")
        with os.fdopen(fd, "rb") as file:
            found = os.fstat(file.fileno())
            identity = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if identity != self._seen:
                if found.st_size > _LARGEST:
                    raise self._unfit(f"is larger than {_LARGEST >> 20} MiB")
                self._lock = self._parse(file.read())
                self._seen = identity
        return self._lock

    def changed(self) -> bool:
        """Whether the file is another than the one last read, or is gone. Cheap."""
        try:
            found = os.stat(self._name, follow_symlinks=False)  # noqa: PTH116 - on every call
        except OSError:
            return self._seen is not None
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns) != self._seen

    def edit(self, server: str, work: Callable[[Tools | None], Tools | None]) -> Lock:
        """Put other tools in the place of a server's, while nobody else writes; other servers stay as they are.

        Args:
            server: The server.
            work: Given its tools by name as they are now (None if it is not there), returns what they are to be; None
                forgets the server.

        Returns:
            What is in the file then.

        Raises:
            AegisError: The file is damaged, or cannot be written.
        """
        try:
            with self._turn():
                before = self.read()
                tools = work(before.of(server))
                if before.of(server) == tools:
                    return before
                servers = {name: dict(found) for name, found in before.servers.items() if name != server}
                if tools is not None:
                    servers[server] = dict(tools)
                self._write(servers)
                return self.read()
        except OSError as error:
            raise self._unfit(f"cannot be written: {error.strerror or error}") from error

    def seen(self) -> LockFile:
        """The file beside it that keeps what a server lists and nobody has accepted."""
        return LockFile(self.path.with_name(f"{self.path.name}.seen"), turn=self._turn_path)

    # --- inside ---

    def _parse(self, data: bytes) -> Lock:
        try:
            decoded = data.decode("utf-8")
            document = read(_Document, json.loads(decoded, object_pairs_hook=_unique, parse_constant=_no_constant))
        except UnicodeDecodeError:
            raise self._unfit("is damaged: it is not UTF-8") from None
        except Unfit as unfit:
            problem = unfit.found[0]
            if problem.path == ("aegis_lock",) and problem.about == "value":
                raise self._unfit(
                    f"is of version {visible(repr(problem.value)[:40])}, and this Aegis knows version {VERSION}: "
                    "use the Aegis that wrote it"
                ) from None
            where = ".".join(map(str, problem.path)) or "the file"
            raise self._unfit(f"is damaged: {visible(where)}: {visible(problem.message)}") from None
        except RecursionError:
            raise self._unfit("is damaged: it is nested too deep") from None
        except ValueError as error:  # JSON's own, and duplicate keys
            raise self._unfit(f"is damaged: {visible(str(error))}") from None
        return Lock({server: self._definitions(server, entries) for server, entries in document.servers.items()})

    def _definitions(self, server: str, entries: Mapping[str, _Entry]) -> dict[str, Definition]:
        found: dict[str, Definition] = {}
        for name, entry in entries.items():
            definition = Definition(_unfolded(name, entry))
            if definition.digest != entry.digest:
                raise self._unfit(
                    f"is damaged: the definition of tool {visible(name)!r} of {visible(server)!r} does not have the "
                    "digest beside it; it was edited. Put it back as it was, or take the tool out and accept it again"
                )
            found[name] = definition
        return found

    def _write(self, servers: Mapping[str, Tools]) -> None:
        entries = {
            server: {name: _folded(tool) for name, tool in sorted(tools.items())}
            for server, tools in sorted(servers.items())
        }
        written = json.dumps({"aegis_lock": VERSION, "servers": entries}, indent=2, ensure_ascii=False)
        temporary = f"{self.path}.new"  # one is enough, as only one process writes
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)  # noqa: PTH108 - of a process that was killed; beside os.open
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(_escaped(written + "\n").encode())
                file.flush()
                sync_data(file.fileno())
            os.replace(temporary, self.path)  # noqa: PTH105 - beside os.open
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - likewise
            raise
        sync_folder(str(self.path.parent))

    @contextlib.contextmanager
    def _turn(self) -> Generator[None]:
        """Nobody else writes meanwhile."""
        turns = Turns(self._turn_path)
        turns.take()
        try:
            yield
        finally:
            turns.close()

    def _unfit(self, why: str) -> AegisError:
        return AegisError(f"the lock file {visible(str(self.path))!r} {why}")


def companions(path: Path) -> tuple[Path, ...]:
    """The lock file and what lies beside it: what was seen and not accepted, and the lock of those who write."""
    return (path, *(path.with_name(path.name + end) for end in (".seen", ".turn")))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number]))
        raise ValueError(f"the key {twice[:80]!r} is there twice")
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _folded(tool: Definition) -> dict[str, Any]:
    """A definition for the file: without the name, which stands before it, and the description first, line by line."""
    entry: dict[str, Any] = {"digest": tool.digest}
    content = {key: value for key, value in tool.content.items() if key != "name"}
    description = content.get("description")
    if isinstance(description, str):
        lines = description.split("\n")
        entry["description"] = lines if len(lines) > 1 else description
        del content["description"]
    entry["definition"] = _ordered(content)
    return entry


def _unfolded(name: str, entry: _Entry) -> dict[str, Any]:
    if entry.description is None:
        return {**entry.definition, "name": name}
    lines = [entry.description] if isinstance(entry.description, str) else entry.description
    return {**entry.definition, "description": "\n".join(lines), "name": name}


def _ordered(value: Any) -> Any:
    """The same with keys sorted: what differs between two files is then what differs."""
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def _escaped(text: str) -> str:
    """JSON in which every character shows itself. Outside its strings JSON has none that does not."""
    return text if _SHOWN.match(text) else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character == "\n" or visible(character) == character:
        return character
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"
