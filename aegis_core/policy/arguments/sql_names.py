"""Which tables and functions a policy names, compared with those an SQL text names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_core.policy.arguments.sql_functions import HARMLESS
from aegis_core.policy.conditions.truth import all_of
from aegis_core.policy.globs import parse_glob
from aegis_core.policy.names import fold

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis_core.policy.arguments.sql import Dialect
    from aegis_core.policy.arguments.sql_tree import Name, Reading
    from aegis_core.policy.arguments.verdict import Verdict
    from aegis_core.policy.globs import Glob

__all__ = ["Functions", "Tables"]

_IGNORING_CASE = frozenset(("sqlite", "duckdb"))


class Tables:
    """Globs for tables, compared part by part from the right."""

    __slots__ = ("_any", "_ignore_case", "_patterns")

    def __init__(self, patterns: Iterable[str], dialect: Dialect | None) -> None:
        self._ignore_case = dialect in _IGNORING_CASE
        self._any = "*" in patterns
        self._patterns: list[tuple[Glob, ...]] = [
            tuple(parse_glob(part.lower() if self._ignore_case else part) for part in pattern.split("."))
            for pattern in patterns
        ]

    def judge(self, reading: Reading) -> Verdict:
        """Whether every table that is read or changed is one of them."""
        if reading.tables_doubt is not None:
            return None, reading.tables_doubt, ""
        truths = [self._match(table) for table in reading.tables]
        truth = all_of(truths)
        if not truths:
            return False, "it names no table", ""
        if truth:
            return True, "every table is listed", ""
        odd = reading.tables[truths.index(False) if False in truths else truths.index(None)]
        name = ".".join(part for part, _ in odd)
        if truth is False:
            return False, "no table is listed", name
        return None, "some tables are not listed, or only under another spelling or schema", name

    def _match(self, table: tuple[Name, ...]) -> bool | None:
        if self._any:
            return True
        doubt = False
        for pattern in self._patterns:
            common = min(len(pattern), len(table))
            pairs = list(zip(pattern[-common:], table[-common:], strict=True))
            if all(
                glob.exact(part.lower() if self._ignore_case and part.isascii() else part) for glob, (part, _) in pairs
            ):
                if len(pattern) == len(table):
                    return True
                doubt = True
            elif all(glob.folded(fold(part)) for glob, (part, _) in pairs):
                doubt = True
        return None if doubt else False


class Functions:
    """The functions that are vouched for: by the policy if it names some, else as harmless in their database."""

    __slots__ = ("_globs", "_harmless")

    def __init__(self, patterns: Iterable[str] | None, dialect: Dialect | None) -> None:
        self._globs = None if patterns is None else [parse_glob(pattern.lower()) for pattern in patterns]
        self._harmless = HARMLESS[dialect]

    def stranger(self, functions: Iterable[str]) -> str | None:
        """The first function that nobody vouches for."""
        for name in functions:
            if not self._vouched(name):
                return name
        return None

    def _vouched(self, name: str) -> bool:
        if self._globs is None:
            return name in self._harmless
        return any(glob.exact(name) for glob in self._globs)
