"""``make bench-agentdojo``: replay the suites and print the table of docs/agentdojo.md.

Exits with 1 if under a policy of ours an attack ran silently or a call of the user's was refused.
"""

from __future__ import annotations

import sys

from benchmarks.agentdojo.replay import Tally, load, replay, reusable_destinations, unfaithful_attacks

BASELINE = "ask_every_write"
TUNED = dict.fromkeys(("workspace", "travel"), ("assistant", "careful+assistant"))
HELD_OUT = {"banking": ("banking",), "slack": ("slack", "slack_directory")}
HEADS = (
    "suite",
    "policy",
    "tasks",
    "approvals",
    "per task",
    "unasked tasks",
    "blocked",
    "attacks",
    "silent",
    "achieved",
)


def main() -> int:
    """Run the suites named on the command line, or all."""
    policies = {**TUNED, **HELD_OUT}
    suites = sys.argv[1:] or list(policies)
    faithful = True
    for suite in suites:
        missed = unfaithful_attacks(suite)
        faithful = faithful and not missed
        print(f"{suite}: {f'{missed} miss their goal' if missed else 'with nobody in its way, every attack succeeds'}")
    print(f"\n| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
    together: dict[str, Tally] = {}
    failed = not faithful
    for suite in suites:
        for name in (BASELINE, *policies[suite]):
            tally = replay(suite, load(name))
            _row(suite, name, tally)
            failed = failed or (name != BASELINE and bool(tally.silent or tally.achieved or tally.blocked))
            if suite in TUNED:
                together.setdefault(name, Tally()).add(tally)
    for name, tally in together.items():
        _row(" + ".join(suite for suite in suites if suite in TUNED), name, tally)
    for suite in (suite for suite in suites if suite in TUNED):
        for name in TUNED[suite]:
            tasks, named, unasked = reusable_destinations(suite, load(name))
            print(
                f"{suite}, {name}: {named} of {tasks} users name an address; {unasked} secrets could go there unasked"
            )
    return 1 if failed else 0


def _row(suite: str, policy: str, tally: Tally) -> None:
    tasks = len(tally.approvals)
    cells = (suite, policy, tasks, tally.asked, f"{tally.asked / tasks:.2f}", tally.unasked_tasks, len(tally.blocked))
    attacks = (tally.pairs, len(tally.silent), len(tally.achieved))
    print(f"| {' | '.join(map(str, (*cells, *attacks)))} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
