"""Values to try: of the kind a condition asks about, some that satisfy it and some that do not.

Nothing rests on them but examples: whatever is shown to anybody has been judged by the policy itself.
"""

from __future__ import annotations

import itertools
import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from aegis.workbench.languages import classes
from aegis.workbench.patterns import matching

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aegis.workbench.atoms import Atom

__all__ = ["between", "name_like", "numbers", "texts"]

_ORDINARY = ("a", "", "SELECT 1", "DROP TABLE users", "/etc/passwd", "https://example.org/", "ls", "x@example.org", "0")
_SQL = {
    "select": "SELECT a FROM t",
    "insert": "INSERT INTO t (a) VALUES (1)",
    "update": "UPDATE t SET a = 1 WHERE id = 1",
    "delete": "DELETE FROM t WHERE id = 1",
    "drop": "DROP TABLE t",
    "create": "CREATE TABLE t (a INTEGER)",
    "alter": "ALTER TABLE t ADD COLUMN a INTEGER",
    "truncate": "TRUNCATE TABLE t",
}


def numbers(expected: Iterable[Any]) -> list[Any]:
    """Every number named, and one of each gap between them and beyond: comparisons tell no others apart."""
    named = sorted({value for value in expected if isinstance(value, int | float) and not isinstance(value, bool)})
    if not named:
        return [7]
    found: list[Any] = [_below(named[0]), named[0]]
    for low, high in itertools.pairwise(named):
        middle = between(low, high)
        found += [high] if middle is None else [middle, high]
    return [*found, _above(named[-1])]


def _below(value: Any) -> Any:
    return value - 1 if isinstance(value, int) or value - 1 < value else -math.inf


def _above(value: Any) -> Any:
    return value + 1 if isinstance(value, int) or value + 1 > value else math.inf


def between(low: Any, high: Any) -> Any:
    """A number strictly between two, or None if there is none."""
    whole = math.floor(low) + 1
    if whole < high:
        return whole
    try:
        middle = (low + high) / 2
        near = math.nextafter(float(low), math.inf)
    except OverflowError:
        return None
    for candidate in (round(middle, 3), middle, float(low), near):
        if low < candidate < high:
            return candidate
    return None


def texts(atoms: Iterable[Atom]) -> list[str]:
    """Texts that such conditions may tell apart."""
    found: list[str] = []
    for atom in atoms:
        found += _for(atom)
    return list(dict.fromkeys([*found, *_ORDINARY]))


def _for(atom: Atom) -> Iterable[str]:
    expected = atom.expected
    match atom.kind:
        case "param_matches":
            return matching(expected)
        case "param_contains":
            return (expected, f"a{expected}b") if isinstance(expected, str) else ()
        case "param_path":
            names = [_name_like(pattern) for pattern in expected.name or ("file.txt",)]
            return [f"{str(folder).rstrip('/')}/{name}" for folder in expected.under or (".",) for name in names]
        case "param_sql":
            return _statements(expected)
        case "param_url":
            return _urls(expected)
        case "param_shell":
            return expected.programs  # type: ignore[no-any-return]
        case "param_email":
            return [*(expected.addresses or ()), *(f"jane@{_name_like(domain)}" for domain in expected.domains or ())]
        case _:
            return ()


def _statements(spec: Any) -> Iterator[str]:
    for kind in spec.statements or _SQL:
        for table in spec.tables or ("t",):
            statement = re.sub(r"\bt\b", _name_like(table).strip("."), _SQL.get(kind, kind))
            yield statement
            yield f"{statement}; DROP TABLE t"


def _urls(spec: Any) -> Iterator[str]:
    port = "" if not spec.ports else f":{spec.ports[0]}"
    for scheme in spec.schemes or ("https",):
        for host in spec.hosts or ("example.org",):
            for path in spec.paths or ("/",):
                yield f"{scheme}://{_name_like(host)}{port}{_name_like(path)}"


def name_like(patterns: tuple[str, ...]) -> str:
    """A name that one of these patterns matches."""
    return _name_like(patterns[0])


@lru_cache(maxsize=4096)
def _name_like(pattern: str) -> str:
    found = classes((), (pattern,))
    return found[0][1] if found else pattern
