"""One connection's tools held against the lock: what may be shown to the client, and what may be called.

The lock says what was accepted; this says what the server lists now. A tool counts as accepted only if everything the
server said of it since it was last listed is what was accepted. Knows no transport: lists are handed in, and where
a call comes for which none was seen, a `lister` fetches one.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from typing import TYPE_CHECKING, Any

from aegis_core.decision import Approval, Caution, RiskLevel
from aegis_core.errors import AegisError
from aegis_core.record import Event
from aegis_core.text import visible
from aegis_mcp.pinning.changes import Kind, changes, in_short
from aegis_mcp.pinning.definition import Definition, definitions_of
from aegis_mcp.pinning.lockfile import LockFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from aegis_core.runtime import Runtime

__all__ = ["LOCK", "Pins"]

_log = logging.getLogger("aegis.proxy")
LOCK = "<lock>"
"""Stands in a rule's place on the trail where the lock decided."""
_MOST = 50_000
_RECENT = 0.2
"""Seconds within which the lock file need not be looked at again for the same call."""
_NOTHING: dict[Definition, None] = {}
Tool = dict[str, Any]


class Pins:
    """What one connection knows of a server's tools.

    Args:
        path: The lock file.
        runtime: Puts what happens to the lock on the trail.
        server: The server's name in the lock.
        unaccepted: What happens to a call of a tool that is new or has changed: ``block``, or ``approve`` to ask.
        locked: Whether also the tools of a server that the lock does not know have to be accepted first; else they are
            written into it as they are first listed.

    Raises:
        AegisError: The lock file cannot be used.

    Attributes:
        lister: Fetches the server's whole list for a call, given the call's ``_meta``; None where that is impossible.
    """

    def __init__(
        self,
        path: Path,
        runtime: Runtime,
        *,
        server: str,
        unaccepted: Approval = Approval.BLOCK,
        locked: bool = False,
    ) -> None:
        self._file = LockFile(path)
        self._seen = self._file.seen()
        self._runtime = runtime
        self._server = server
        self._unaccepted = unaccepted
        self._locked = locked
        self._lock = self._file.read()
        self._trouble: str | None = None  # why the lock on disk could not be used
        # What the server said of each tool since it was last listed to the client.
        self._said: dict[str, dict[Definition, None]] = {}
        self._current: set[str] = set()  # tools that were listed since the server last announced a change
        self._complete = False  # whether all of them were
        self._announced = 0  # how often the server announced a change
        self._failure: str | None = None  # why they could not be
        self._gathered: list[Tool] = []  # what the client was listed, page by page
        self._gathered_at = 0
        self._next: str | None = None  # the cursor that continues it
        self._listing = asyncio.Lock()
        self._reported: object = None
        self._looked = 0.0  # when the file was last looked at
        self.lister: Callable[[Any], Awaitable[Iterable[Mapping[str, Any]]]] | None = None

    # --- lists -----------------------------------------------------------------------------------------------------

    def page(self, result: Mapping[str, Any], cursor: str | None = None) -> Mapping[str, Any]:
        """Take note of a page of the list on its way to the client, and say what may be shown of it.

        Args:
            result: The result of a ``tools/list``.
            cursor: The cursor it was asked with.

        Returns:
            The same object; or, where tools must not be shown, one without them.
        """
        tools = result.get("tools")
        if not isinstance(tools, list):
            return result
        self._look()
        entries = [tool for tool in tools if isinstance(tool, dict) and isinstance(tool.get("name"), str)]
        if cursor is None:
            self._gathered, self._gathered_at = [], self._announced
        known = {tool["name"] for tool in self._gathered}
        self._take(entries, afresh={tool["name"] for tool in entries} - known)
        if cursor is None or cursor == self._next:
            self._gathered += entries
            following = result.get("nextCursor")
            self._next = following if isinstance(following, str) else None
            if following is None:
                self._finish(self._gathered, since=self._gathered_at)
                listed = {tool["name"] for tool in self._gathered}
                self._said = {name: said for name, said in self._said.items() if name in listed}
        if not self._runtime.enforced or self._unaccepted is Approval.APPROVE:
            return result
        shown = [tool for tool in tools if not isinstance(tool, dict) or self._may_be_shown(tool)]
        return result if len(shown) == len(tools) else {**result, "tools": shown}

    def announced(self) -> None:
        """The server said that its tools have changed: nothing is known of them until they are listed again."""
        self._announced += 1
        self._complete = False
        self._current = set()

    # --- calls -----------------------------------------------------------------------------------------------------

    async def prepare(self, name: str, meta: Any = None) -> None:
        """Before a call is judged: have the tools listed if it is not known what the server says of this one now."""
        self._look()
        if self._complete or self._knows(name):
            return
        async with self._listing:
            if self._knows(name):
                return
            self._failure = None
            try:
                if self.lister is None:
                    raise AegisError("nobody has listed its tools on this connection")
                since = self._announced
                listed = [dict(tool) for tool in await self.lister(meta)]
                self._take(listed, afresh=set())
                if since != self._announced:
                    self._current = set()
                self._finish(listed, since=since)
            except (AegisError, TimeoutError) as error:
                self._failure = str(error) or "the server did not list its tools in time"

    def caution(self, name: str) -> Caution | None:
        """What is to be said of a call of this tool, now; None if nothing is known of it."""
        if time.monotonic() - self._looked > _RECENT:
            self._look()
        accepted = self._accepted()
        before = None if accepted is None else accepted.get(name)
        said = self._said.get(name, _NOTHING)
        if self._trouble is not None and accepted is None:
            return self._no(name, f"cannot be checked: {self._trouble}", said)
        if accepted is not None and not (self._complete or self._knows(name)):
            why = self._failure or "the server has announced other tools meanwhile; make the call again"
            return self._no(name, f"cannot be checked against the lock: {why}", said)
        alike = len(said) == 1 and before in said
        if said and not alike and (accepted is not None or self._locked):
            return self._no(name, _why(before, list(said)), said)
        if self._locked and before is None:
            return self._no(name, "is not in the lock", said)
        return None if before is None else _as_accepted(before.digest)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _knows(self, name: str) -> bool:
        """Whether it is known what the server says of this tool now."""
        accepted = self._accepted()
        return self._complete or (name in self._current and accepted is not None)

    def _take(self, tools: Iterable[Mapping[str, Any]], *, afresh: set[str]) -> None:
        """Note what the server says of some tools; for those in ``afresh`` forget what it said before."""
        for name, definitions in definitions_of(tools).items():
            if name in afresh:
                self._said[name] = {}
            self._said.setdefault(name, {}).update(dict.fromkeys(definitions))
            self._current.add(name)
        if len(self._said) > _MOST:  # a server that invents names does not fill our memory: nothing is known any more
            self._said = {}
            self.announced()
            raise AegisError(f"the server lists more than {_MOST} tools")

    def _finish(self, tools: Iterable[Mapping[str, Any]], *, since: int) -> None:
        """The whole list is known: record it at first sight, else see what differs.

        Args:
            tools: The list.
            since: How often a change had been announced when it was begun: if another was since, it is out of date.
        """
        listed = definitions_of(tools)
        self._complete, self._failure = since == self._announced, None
        if self._accepted() is None and not self._locked:
            self._record(listed)
        found = changes(self._accepted() or {}, listed)
        report = [(change.tool, change.kind, change.after) for change in found]
        if report != self._reported:
            self._reported = report
            self._report(found, listed)

    def _record(self, listed: Mapping[str, tuple[Definition, ...]]) -> None:
        tools = {name: definitions[0] for name, definitions in listed.items() if len(definitions) == 1}
        try:
            self._lock = self._file.edit(self._server, lambda before: tools if before is None else before)
        except AegisError as error:
            self._distrust(str(error))
            return
        self._trouble = None
        if self._lock.of(self._server) == tools:
            digests = {name: tool.digest for name, tool in tools.items()}
            self._event("tools_pinned", tools=digests)

    def _report(self, found: list[Any], listed: Mapping[str, tuple[Definition, ...]]) -> None:
        """Tell people, and keep what is there for ``aegis tools diff``."""
        differing = [change for change in found if change.kind is not Kind.GONE]
        try:
            kept = {name: definitions[-1] for name, definitions in listed.items()} if found else None
            if kept is not None or self._seen.path.exists():
                self._seen.edit(self._server, lambda _: kept)
        except AegisError as error:
            _log.warning("what the server lists could not be kept for 'aegis tools diff': %s", error)
        for change in found:
            _log.warning("tools of %s: %s", visible(self._server), change.headline)
        if differing:
            _log.warning("see 'aegis tools diff', and accept with 'aegis tools accept'")
        if found:
            after = {change.tool: [tool.digest for tool in change.after] for change in found}
            kinds = {change.tool: change.kind.value for change in found}
            self._event("tools_differ", differences=kinds, digests=after)

    def _may_be_shown(self, tool: Mapping[str, Any]) -> bool:
        name = tool.get("name")
        if not isinstance(name, str):
            return not self._locked
        caution = self.caution(name)
        return caution is None or caution.approval is Approval.AUTO

    def _accepted(self) -> Mapping[str, Definition] | None:
        """What the lock says of this server; None if it says nothing."""
        return self._lock.of(self._server)

    def _look(self) -> None:
        """Take note of a lock file that has changed, if it can be used."""
        self._looked = time.monotonic()
        if self._file.changed():
            self._reread()

    def _reread(self) -> None:
        before = self._lock.of(self._server)
        try:
            lock = self._file.read()
        except AegisError as error:
            self._distrust(str(error))
            return
        after = lock.of(self._server)
        if before is not None and after is None:  # that accepts nothing, and must not make everything new
            self._distrust(f"the lock file {str(self._file.path)!r} has lost the tools of {self._server!r}")
            return
        self._trouble = None
        self._lock = lock
        if after is not None and after != before:
            self._readmit(before or {}, after)
            self._event("lock_reloaded", tools=len(after))

    def _readmit(self, before: Mapping[str, Definition], after: Mapping[str, Definition]) -> None:
        """Somebody accepted other definitions: what the client was shown of the old ones was right at the time."""
        for name, tool in before.items():
            if after.get(name) != tool and name in self._said:
                self._said[name].pop(tool, None)
                self._current.discard(name)
                self._complete = False  # have it listed again: it is the running server that counts

    def _distrust(self, why: str) -> None:
        """Keep what is known to have been accepted, and say once that the file is no use."""
        if self._trouble != why:
            self._trouble = why
            _log.error("%s; what it said before stays in force", visible(why))
            self._event("lock_refused", reason=why)

    def _event(self, kind: str, **data: Any) -> None:
        self._runtime.record(Event(kind, data={"server": self._server, **data}))

    def _no(self, name: str, why: str, said: Iterable[Definition]) -> Caution:
        reason = f"the tool {visible(name)!r} of {visible(self._server)!r} {why}"
        digest = " ".join(sorted(tool.digest for tool in said))
        return Caution(LOCK, self._unaccepted, RiskLevel.HIGH, reason, digest)


@functools.lru_cache(1024)
def _as_accepted(digest: str) -> Caution:
    """Nothing to say against a tool, but a yes to its call is a yes to this definition."""
    return Caution(LOCK, Approval.AUTO, RiskLevel.LOW, "", digest)


def _why(before: Definition | None, said: list[Definition]) -> str:
    others = [tool for tool in said if tool != before]
    if len(others) > 1:
        return "is listed with different definitions; see 'aegis tools diff'"
    if before is None:
        return "is new and nobody has accepted it; see 'aegis tools diff'"
    return f"has changed since it was accepted ({in_short(before, others[0])}); see 'aegis tools diff'"
