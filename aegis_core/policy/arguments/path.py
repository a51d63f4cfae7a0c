"""``param_path``: where a path leads, judged by its text and, on request, by the file system.

A path is judged only if everyone who reads it will read the same: what one tool takes literally and another decodes,
expands or normalises (``%2e``, ``~``, ``$HOME``, ``..``, ``file.txt:stream``) is undecided.
"""

from __future__ import annotations

import ntpath
import os
import posixpath
from typing import Literal

from aegis_core.policy.arguments.verdict import GLOBS, WORDS, ArgumentTest, Patterns, Verdict
from aegis_core.policy.names import fold
from aegis_core.policy.readers import FLAG, one_of, text
from aegis_core.policy.reading import Document, key

__all__ = ["PathCondition", "PathSpec"]


class PathSpec(Document):
    """What a path must satisfy: all that is given here."""

    under: tuple[str, ...] | None = key(
        WORDS,
        "Folders of which the path must be one or lie below one. All absolute, or all relative to the folder the "
        "tool works in ('.' is that folder). A path that cannot be compared with them (relative with absolute) is "
        "undecided.",
        default=None,
    )
    name: tuple[str, ...] | None = key(
        GLOBS, "Globs of which the last part of the path must match one, e.g. '*.csv'.", default=None
    )
    resolve: bool = key(
        FLAG,
        "Also follow symbolic links, on this machine and at the moment of judging: only for tools that share this file "
        "system. The path as written and the path it leads to must agree. A file may still be replaced by a link "
        "between judging and use.",
        default=False,
    )
    base: str | None = key(
        text(), "The absolute folder relative paths start from; without it they stay relative.", default=None
    )
    style: Literal["posix", "windows"] = key(
        one_of("posix", "windows"),
        "How the tool's system writes paths: '/data/x', or 'C:\\data\\x' compared without regard to case.",
        default="posix",
    )

    def check_whole(self) -> None:
        """Something must be asked of the path, and folders must be comparable."""
        if self.under is None and self.name is None:
            raise ValueError("asks nothing of the path; name 'under', 'name' or both")
        from aegis_core.policy.arguments.path_text import path_problem  # noqa: PLC0415 - patterns, compiled on use

        if self.base is not None:
            if problem := path_problem(self.base, self.style):
                raise ValueError(f"base {self.base!r}: {problem}")
            if not _absolute(self.base, self.style):
                raise ValueError(f"base {self.base!r} must be an absolute path")
        for folder in self.under or ():
            if problem := path_problem(folder, self.style):
                raise ValueError(f"under {folder!r}: {problem}; write the folder out")
        if len({_absolute(folder, self.style) for folder in self.under or ()}) > 1 and self.base is None:
            raise ValueError("under mixes absolute and relative folders; give a base, or use one kind")
        if self.resolve and (self.style == "windows") != (os.name == "nt"):
            raise ValueError(f"resolve follows links on this machine, whose paths are not of style {self.style!r}")


def _absolute(path: str, style: str) -> bool:
    return ntpath.isabs(path) if style == "windows" else path.startswith("/")


class PathCondition(ArgumentTest):
    """A compiled `PathSpec`."""

    __slots__ = ("_absolute", "_base", "_flavour", "_folded", "_names", "_problem", "_resolve", "_roots", "_style")

    limit = 4096

    def __init__(self, spec: PathSpec) -> None:
        from aegis_core.policy.arguments.path_text import path_problem  # noqa: PLC0415 - patterns, compiled on use

        self._problem = path_problem
        self._style = spec.style
        self._flavour = ntpath if spec.style == "windows" else posixpath
        self._resolve = spec.resolve
        self._base = spec.base
        self._names = Patterns(spec.name) if spec.name else None
        self._roots = tuple(self._normal(folder) for folder in spec.under or ())
        self._absolute = any(_absolute(root, spec.style) for root in self._roots)
        self._folded = tuple(fold(root) for root in self._roots)

    def _look(self, value: str) -> Verdict:
        if problem := self._problem(value, self._style):
            return None, problem, ""
        path = self._normal(value)
        written = self._judge(path, self._roots)
        return self._agree(path, written) if self._resolve else written

    def _normal(self, path: str) -> str:
        """The path from the base if there is one, without redundant parts, in the form this style compares."""
        if self._base is not None:
            path = self._flavour.join(self._base, path)
        path = self._flavour.normpath(path)
        # Windows compares by a table of its own; of that, only the ASCII letters are the same everywhere.
        return path.lower() if self._style == "windows" and path.isascii() else path

    def _judge(self, path: str, roots: tuple[str, ...]) -> Verdict:
        under = self._under(path, roots) if roots else None
        if under is not None and (self._names is None or under[0] is False):
            return under
        named = self._named(path)
        return named if under is None or under[0] or named[0] is False else under

    def _under(self, path: str, roots: tuple[str, ...]) -> Verdict:
        if _absolute(path, self._style) != self._absolute:
            return None, "one of the path and the folders is absolute and the other is not", ""
        if self._within(path, roots):
            return True, "it lies under one of the folders", ""
        if self._within(fold(path), self._folded):
            return None, "it lies under one of the folders only if case and look-alike characters do not count", ""
        return False, "it lies under none of the folders", ""

    def _within(self, path: str, roots: tuple[str, ...]) -> bool:
        separator = self._flavour.sep
        for root in roots:
            if path == root or root == "." or path.startswith(root if root.endswith(separator) else root + separator):
                return True
        return False

    def _named(self, path: str) -> Verdict:
        assert self._names is not None
        name = path.rpartition(self._flavour.sep)[2]
        truth = self._names.match(name)
        if truth is None:
            return None, "its name matches only if case and look-alike characters do not count", name
        return truth, "its name matches" if truth else "its name does not match", name

    def _agree(self, path: str, written: Verdict) -> Verdict:
        """The verdict about the path as written, if the path it really leads to gets the same."""
        if not _absolute(path, self._style):
            return None, "links can only be followed from an absolute path; give a base", ""
        try:
            led = self._judge(self._normal(_real(path)), tuple(self._normal(_real(root)) for root in self._roots))
        except OSError as problem:
            return None, "the file system could not follow it", type(problem).__name__
        if led[0] is not written[0]:
            return None, "where its links lead is judged differently from the path as written", ""
        return written


def _real(path: str) -> str:
    """Where a path leads: every link followed, except that its last parts may not exist yet.

    Raises:
        OSError: If it cannot be followed, a dangling link included: writing to it would create a file elsewhere.
    """
    missing: list[str] = []
    while True:
        try:
            return os.path.join(os.path.realpath(path, strict=True), *reversed(missing))  # noqa: PTH118 - text, not objects
        except FileNotFoundError:
            parent, name = os.path.split(path)
            if os.path.lexists(path) or parent == path:
                raise
            missing.append(name)
            path = parent
