"""Reloading a policy when its files change, without ever being looser than the last version that was whole."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aegis_core.errors import PolicyError, Problem
from aegis_core.policy.loading import read_policy_text
from aegis_core.record import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aegis_core.policy.policy import Policy
    from aegis_core.runtime import Runtime

__all__ = ["PolicyWatcher"]

_log = logging.getLogger("aegis")


class PolicyWatcher:
    """Puts new versions of a runtime's policy files in force.

    It looks at contents, not at times. New contents count once two successive looks agree (a file cut at a rule
    boundary while it is being written is a valid policy). They are loaded strictly, and a layered or merged policy is
    rebuilt whole; on any error the policy in force stays. Every reload and every refused one is on record; a reload
    that removes block rules says which. Files that the policy includes are watched with it.

    Args:
        runtime: The runtime. Its policy must have been loaded from the watched files.
        path_or_paths: The file or files to watch.
        interval: Seconds between looks.
        on_reload: Called with the new policy after each reload; may be async. What it raises is logged and changes
            nothing.

    Raises:
        PolicyError: If the runtime's policy did not come from one of the files.
        ValueError: If the interval is not positive.
    """

    def __init__(
        self,
        runtime: Runtime,
        path_or_paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        interval: float = 1.0,
        on_reload: Callable[[Policy], Any] | None = None,
    ) -> None:
        if not interval > 0:
            raise ValueError(f"interval must be a positive number of seconds, got {interval!r}")
        paths = [path_or_paths] if isinstance(path_or_paths, (str, os.PathLike)) else list(path_or_paths)
        self._paths = tuple(Path(path).absolute() for path in paths)
        self._runtime = runtime
        self._interval = interval
        self._on_reload = on_reload
        self._seen: Mapping[Path, str | PolicyError] | None = None
        self._refused: Mapping[Path, str | PolicyError] | None = None
        self._refusal = ""
        self._task: asyncio.Task[None] | None = None
        self._joining: frozenset[Path] = frozenset()
        if not self._paths:
            raise ValueError("give at least one policy file to watch")
        strangers = self._strangers()
        if strangers:
            advice = "the runtime's policy did not come from this file; load it with Policy.from_yaml first"
            raise PolicyError([Problem(advice, str(path)) for path in strangers])

    def poll(self) -> Policy | None:
        """Take one look; returns the new policy if one was put in force."""
        origin = self._runtime.policy.origin
        now = {path: _read(path) for path in (*self._paths, *sorted(origin.included | self._joining))}
        seen, self._seen = self._seen, now
        if self._strangers():
            return None  # the program has put another policy in force; that one is not ours to replace
        in_force = origin.texts()
        unchanged = all(now[path] == text for path, text in in_force.items() if path in now)
        if not _same(now, seen) or unchanged or _same(now, self._refused):
            return None
        try:
            for path in self._paths:
                text = now[path]
                if isinstance(text, PolicyError):
                    raise text
            # What is included and cannot be read is an error only if it is wanted still: reading it again fails then.
            readable = {path: text for path, text in now.items() if isinstance(text, str)}
            kept = {path: text for path, text in in_force.items() if path not in now}
            policy = self._runtime.policy.rebuilt({**kept, **readable})
            self._joining = policy.origin.included - now.keys()
            if self._joining:
                return None  # files that are included from now on must look the same twice, too
            self._runtime.update_policy(policy, reason="policy files changed")
        except PolicyError as error:
            self._refuse(now, error)
            return None
        self._refused, self._refusal = None, ""
        return policy

    async def start(self) -> None:
        """Begin watching, on the running event loop."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="aegis-policy-watcher")

    async def stop(self) -> None:
        """End watching. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    async def _watch(self) -> None:
        while True:
            try:
                policy = await asyncio.to_thread(self.poll)
                if policy is not None and self._on_reload is not None:
                    reply = self._on_reload(policy)
                    if inspect.isawaitable(reply):
                        await reply
            except Exception:  # noqa: BLE001 - whatever a callback raises, watching must go on
                _log.exception("watching the policy files failed; the policy in force stays, and watching goes on")
            await asyncio.sleep(self._interval)

    def _strangers(self) -> list[Path]:
        files = self._runtime.policy.origin.files
        return [path for path in self._paths if path not in files]

    def _refuse(self, contents: Mapping[Path, str | PolicyError], error: PolicyError) -> None:
        """Say once per version of the files why it is not put in force."""
        elsewhere = any((p.key or "").startswith("include") or Path(p.source) not in contents for p in error.problems)
        # A file that is not looked at yet is to blame, perhaps a missing one: try again, whatever these contents are.
        self._refused = None if elsewhere else contents
        if elsewhere and self._refusal == str(error):
            return
        self._refusal = str(error)
        _log.error("the changed policy is not put in force; the one before stays:\n%s", error)
        problems = [str(problem) for problem in error.problems]
        files = [str(path) for path in self._paths]
        self._runtime.record(Event("policy_reload_refused", data={"files": files, "problems": problems}))


def _read(path: Path) -> str | PolicyError:
    if path.exists() and not path.is_file():  # reading a pipe would wait for somebody to write
        return PolicyError(Problem("is no regular file", str(path)))
    try:
        return read_policy_text(path)
    except PolicyError as error:
        return error


def _same(one: Mapping[Path, str | PolicyError], other: Mapping[Path, str | PolicyError] | None) -> bool:
    """Whether two looks saw the same; the same failure to read counts as the same."""
    if other is None or one.keys() != other.keys():
        return False
    return all(str(text) == str(other[path]) for path, text in one.items())
