"""What it costs to understand an argument, beside the bare parser of its kind, as ratios within one run.

The reference and ours take turns, CPU time is counted and the best of each is kept, so that what else the machine does
weighs little, and on both.
Run it as ``python -m benchmarks.bench_arguments``; kinds whose extra is not installed are left out.
"""

from __future__ import annotations

import posixpath
import time
from typing import TYPE_CHECKING, Any

from aegis_core.policy.arguments import ARGUMENTS, MissingExtra
from aegis_core.policy.reading import read

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 40
SELECT = "SELECT id, name FROM users WHERE id = 42 AND status IN ('new', 'paid') ORDER BY name LIMIT 10"
REPORT = (
    "WITH recent AS (SELECT * FROM orders WHERE created > '2024-01-01') SELECT u.name, count(*) AS n, sum(r.total) "
    "FROM recent r JOIN users u ON u.id = r.user_id GROUP BY u.name HAVING count(*) > 3 ORDER BY n DESC LIMIT 20"
)
PIPELINE = "git log --oneline -n 20 && grep -rn 'TODO' src | head -n 5"
CHAIN = "cd /tmp/work; ls -la; cat notes.txt | grep -v '^#' | sort | wc -l && git status --short"
CASES: list[tuple[str, dict[str, Any], str, float]] = [
    ("param_path", {"under": ["/data"], "name": "*.csv"}, "/data/reports/2024/summary.csv", 20),
    ("param_path", {"under": ["/data"]}, "/srv/app/current/config/settings.toml", 20),
    ("param_url", {"schemes": "https", "hosts": ["*.example.com"]}, "https://api.example.com/v1/items?page=2", 2),
    ("param_url", {"schemes": "https", "hosts": ["example.com"], "private": False}, "https://example.com/a/b", 2),
    ("param_sql", {"dialect": "postgres", "statements": ["select"]}, SELECT, 2),
    ("param_sql", {"dialect": "postgres", "statements": ["select"], "tables": ["orders", "users"]}, REPORT, 2),
    ("param_shell", {"programs": ["git", "grep", "head"]}, PIPELINE, 2.5),
    ("param_shell", {"programs": ["cd", "ls", "cat", "grep", "sort", "wc", "git"]}, CHAIN, 2.5),
    ("param_shell", {"programs": ["git"]}, "git status", 2.5),
    ("param_email", {"domains": ["example.com"]}, "Bob <bob@example.com>, ann@example.com", 0),
]


def main() -> None:
    """Print one table."""
    print("| condition | value | bare parser, us | ours, us | ratio | goal |\n|---|---|---|---|---|---|")
    for name, spec, value, goal in CASES:
        grammar, condition = ARGUMENTS[name]
        try:
            test = condition(read(grammar, spec))
        except MissingExtra:
            continue
        bare, ours = _race(_bare(name, value), lambda test=test, value=value: test.judge(value))  # type: ignore[misc]
        shown = value if len(value) < 40 else f"{value[:37]}..."
        print(f"| {name} | `{shown.replace('|', '/')}` | {bare:.2f} | {ours:.2f} | {ours / bare:.2f} | {goal or '-'} |")


def _bare(name: str, value: str) -> Callable[[], object]:
    """The bare parser of a condition's kind, on the same value."""
    if name == "param_path":
        return lambda: posixpath.normpath(value)
    if name == "param_url":
        from ada_url import URL

        return lambda: URL(value)
    if name == "param_sql":
        import sqlglot

        return lambda: sqlglot.parse(value, read="postgres")
    if name == "param_shell":
        from tree_sitter import Language, Parser
        from tree_sitter_bash import language

        parser, text = Parser(Language(language())), value.encode()
        return lambda: parser.parse(text)
    from email.utils import getaddresses

    return lambda: getaddresses([value])


def _race(bare: Callable[[], object], ours: Callable[[], object]) -> tuple[float, float]:
    """Microseconds per call of each: the best of many short turns."""
    number = max(20, int(0.004 / _turn(bare, 200)))
    best_bare = best_ours = float("inf")
    for _ in range(ROUNDS):
        best_bare = min(best_bare, _turn(bare, number))
        best_ours = min(best_ours, _turn(ours, number))
    return best_bare * 1e6, best_ours * 1e6


def _turn(call: Callable[[], object], number: int) -> float:
    begun = time.process_time()
    for _ in range(number):
        call()
    return (time.process_time() - begun) / number


if __name__ == "__main__":
    main()
