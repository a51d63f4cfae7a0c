"""What lint and diff cost, beside loading the policy, and how that grows: t(2n)/t(n) of n log n is a little over 2.

Processor time, because other programs' work is none of ours. Run it as ``python -m benchmarks.bench_workbench``.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from aegis import Policy
from aegis.workbench.compare import compare
from aegis.workbench.lint import lint
from benchmarks.bench_policy import rules
from benchmarks.table import header, row

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (1_250, 2_500, 5_000, 10_000)
EDITS = 20


def edited(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rules after some went, came or got another approval."""
    chance = random.Random(1)
    found = list(given)
    for number in range(EDITS):
        place = chance.randrange(len(found))
        match chance.randrange(3):
            case 0:
                del found[place]
            case 1:
                found[place] = {**found[place], "approval": chance.choice(["auto", "approve", "block"])}
            case _:
                match = {"type": f"fresh_{number}*", "target": "server1"}
                found.insert(place, {"name": f"fresh{number}", "match": match, "approval": "auto"})
    return found


def took(function: Callable[[], object], rounds: int = 3) -> float:
    """Seconds of the processor, at best."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times)


def measured(size: int) -> dict[str, float]:
    """Seconds to load, lint and compare so many rules."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.yaml"
        text = yaml.dump({"version": "1", "rules": rules(size)}, Dumper=yaml.CSafeDumper, sort_keys=False)
        file.write_text(text, encoding="utf-8")
        old = Policy.from_yaml(file)
        new = Policy.from_dict({"version": "1", "rules": edited(rules(size))})
        return {
            "load": took(lambda: Policy.from_yaml(file)),
            "lint": took(lambda: lint([file])),
            "diff": took(lambda: compare(old, new)),
        }


def main() -> None:
    """Print one table."""
    header()
    before: dict[str, float] = {}
    for size in SIZES:
        now = measured(size)
        for what in ("lint", "diff"):
            row(
                f"{what} {size:,} rules, beside loading them", now[what], now["load"], 10 if size == SIZES[-1] else None
            )
            if before:
                row(f"{what} {size:,} rules, beside {size // 2:,}", now[what], before[what], 2.6)
        before = now


if __name__ == "__main__":
    main()
