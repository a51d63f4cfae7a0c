"""Judging a trail anew, beside only reading it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from aegis import Action, Policy, Runtime
from aegis.runtime.audit import AuditLogger
from aegis.workbench.replay import replay
from aegis_core.audit.filters import Filters
from benchmarks.table import header, row

CALLS = 20_000
POLICY = Path(__file__).parents[1] / "examples" / "policies" / "filesystem-server.yaml"


def main() -> None:
    """Print one table."""
    header()
    everything = Policy.from_string('{version: "1", defaults: {approval: auto}}')
    tried = Policy.from_yaml(POLICY)
    with tempfile.TemporaryDirectory() as folder, AuditLogger(Path(folder) / "trail.db", durable=False) as trail:
        with Runtime(policy=everything, audit_logger=trail) as runtime:
            for number in range(CALLS):
                path = f"/data/{number}/report.csv"
                runtime.run(Action("read_text_file", "filesystem", {"path": path}, session_id=f"s{number % 50}"), str)
        pairs: list[tuple[float, float]] = []
        for _ in range(5):
            begun = time.perf_counter()
            read = sum(map(len, trail.reader.chunks(Filters())))
            between = time.perf_counter()
            assert replay(trail, tried, Filters()).calls == read == CALLS
            pairs.append((time.perf_counter() - between, between - begun))
    ours, reading = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    row(f"replay of {CALLS:,} calls, beside reading them", ours, reading, 3)


if __name__ == "__main__":
    main()
