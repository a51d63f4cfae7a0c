"""Deciding and loading: what a policy costs, as ratios within one run.

A call is judged anew (its tool was never seen) or once more; both are compared with an empty method call. The rules are
a mix as gateways have it: exact names, prefixes, suffixes, a few runs in the middle, whole servers, and conditions. The
peer is given the same rules and calls. Run it as ``python -m benchmarks.bench_policy``.
"""

from __future__ import annotations

import itertools
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from aegis import Action, Policy
from benchmarks.peer import run_peer
from benchmarks.table import header, row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZES = (1, 10, 100, 1000, 10_000)
CHUNK = 100
VERBS = ("read", "write", "list", "delete", "create", "update", "send", "search", "get", "move", "copy", "query", "run")
NOUNS = ("file", "user", "table", "issue", "page", "mail", "event", "order", "image", "branch", "job", "record", "key")
SERVERS = [f"server{number}" for number in range(200)]
APPROVALS = ("auto", "approve", "block")

PEER = """
import json, sys, time
from aegis import Policy
from aegis.core.action import Action
given = json.load(open(sys.argv[1]))
class Empty:
    def call(self, x): pass
def best(function, items, rounds):
    took = 9e9
    for _ in range(rounds):
        started = time.perf_counter()
        for item in items: function(item)
        took = min(took, (time.perf_counter() - started) / len(items))
    return took
policy = Policy.from_dict({"version": "1", "rules": given["rules"]})
new = [Action(type=t, target=s) for t, s in given["calls"]]
print(json.dumps({"empty": best(Empty().call, new * 20, 20), "new": best(policy.evaluate, new, 3)}))
"""


class Empty:
    """The reference: a method that does nothing."""

    def call(self, _item: Any) -> None:
        """Nothing."""


def rules(count: int) -> list[dict[str, Any]]:
    """The first so many rules of the mix."""
    return [_rule(number) for number in range(count)]


def _rule(number: int) -> dict[str, Any]:
    verb, noun, server = VERBS[number % 13], NOUNS[number // 13 % 13], f"server{number % 200}"
    match: dict[str, Any] = {"target": server}
    rule: dict[str, Any] = {"name": f"rule_{number}", "match": match, "approval": APPROVALS[number % 3]}
    kind = number % 20
    if number in (7, 27, 47, 67, 87, 107, 127, 147):  # a few look into the middle of every name
        match.update(type=f"*{noun}{number}secret*", target="*")
    elif kind < 9:
        match["type"] = f"{verb}_{noun}{number}"
    elif kind < 14:
        match["type"] = f"{verb}_{noun}{number}_*"
    elif kind < 17:
        match["type"] = f"*_{noun}{number}"
    elif kind == 17:
        match["target"] = f"internal{number}"
    else:
        match["type"] = f"{verb}_{noun}{number}"
        rule["conditions"] = {"param_gt": {"amount": number}, "param_matches": {"path": "^/data/"}}
    return rule


def calls(count: int, wanted: int) -> list[tuple[str, str]]:
    """Different names: some match exactly, some by a prefix or a suffix, some only by their server."""
    made: dict[tuple[str, str], None] = {}
    for turn in itertools.count():
        number = turn % count
        verb, noun = VERBS[number % 13], NOUNS[number // 13 % 13]
        server = SERVERS[number % 200]  # one string for a server, as a program has it
        form = (
            f"{verb}_{noun}{number}" if turn < count else f"{verb}_{noun}{turn}_v{turn}",
            f"{verb}_{noun}{number}_x{turn}",
            f"do{turn}_{noun}{number}",
            f"call_{noun}_{turn}",
        )[turn % 4 if count > 1 else 1]
        made[form, server] = None
        if len(made) == wanted:
            return list(made)
    raise AssertionError


def chunks(function: Callable[[Any], object], items: Sequence[Any]) -> list[float]:
    """Seconds a call takes, chunk by chunk, with an empty call's beside it: what disturbs one disturbs the other."""
    empty, ratios = Empty().call, []
    for start in range(0, len(items) - CHUNK + 1, CHUNK):
        chunk = items[start : start + CHUNK]
        started = time.perf_counter()
        for item in chunk:
            function(item)
        between = time.perf_counter()
        for item in chunk:
            empty(item)
        ratios.append((between - started) / (time.perf_counter() - between))
    return sorted(ratios)


def best(function: Callable[[], object], rounds: int = 5) -> float:
    """Seconds a call takes, at best."""
    took = []
    for _ in range(rounds):
        started = time.perf_counter()
        function()
        took.append(time.perf_counter() - started)
    return min(took)


def deciding() -> None:
    """Repeated and new tools, by number of rules; and the peer's at both ends."""
    empty = Empty().call
    reference = best(lambda: [empty(None) for _ in range(100_000)]) / 100_000
    flat: dict[int, tuple[float, float]] = {}
    for size in SIZES:
        policy = Policy.from_dict({"version": "1", "rules": rules(size)})
        prepared = [Action(tool, server) for tool, server in calls(size, 6000)]
        new = chunks(policy.evaluate, prepared)
        again = chunks(policy.evaluate, [prepared[-1]] * 6000)
        flat[size] = again[len(again) // 4], new[len(new) // 4]
        large = size == SIZES[-1]
        row(
            f"repeated tool, {size:,} rules, in empty calls", flat[size][0] * reference, reference, 8 if large else None
        )
        row(f"new tool, {size:,} rules, in empty calls", flat[size][1] * reference, reference, 65 if large else None)
    row("repeated tool, 10,000 rules beside 10", flat[10_000][0], flat[10][0], 1.5)
    row("new tool, 10,000 rules beside 10", flat[10_000][1], flat[10][1], 2)
    for size in (1, SIZES[-1]):
        theirs = _peer(size)
        if theirs is None:
            continue
        goal = 500 if size > 1 else 1
        times = theirs["new"] / theirs["empty"]
        row(
            f"new tool, {size:,} rules, beside the peer",
            flat[size][1] * reference,
            times * reference,
            goal,
            at_least=True,
        )
        row(
            f"repeated tool, {size:,} rules, beside the peer",
            flat[size][0] * reference,
            times * reference,
            goal,
            at_least=True,
        )


def _peer(size: int) -> dict[str, float] | None:
    """The peer's time for a call, and for an empty one. It has no memory, so every call is a new one."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "given.json"
        known = [{**rule, "risk_level": "low"} for rule in rules(size)]
        file.write_text(_json({"rules": known, "calls": calls(size, 20)}), encoding="utf-8")
        answer: dict[str, float] | None = run_peer(PEER, str(file))
        return answer


def _json(data: Any) -> str:
    import json

    return json.dumps(data)


def loading() -> None:
    """A file of 10,000 rules, read, checked and compiled, beside PyYAML's C loader alone."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.yaml"
        text = yaml.dump({"version": "1", "rules": rules(SIZES[-1])}, Dumper=yaml.CSafeDumper, sort_keys=False)
        file.write_text(text, encoding="utf-8")
        ours, theirs = [], []
        for _ in range(3):
            theirs.append(best(lambda: yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader), 1))
            ours.append(best(lambda: Policy.from_yaml(file), 1))
        row("load and compile 10,000 rules, beside CSafeLoader", min(ours), min(theirs), 1.6)


def patterns() -> None:
    """Four regex conditions, beside four bare searches with Python's re."""
    asked = {"sql": "^SELECT ", "text": "DROP|TRUNCATE", "path": "^/data/", "order": "[0-9]+-x"}
    given = {
        "sql": "SELECT * FROM users WHERE id = 5",
        "text": "please INSERT or TRUNCATE users",
        "path": "/data/reports/2026/q1.csv",
        "order": "order 123-x of today",
    }
    rule = {"name": "r", "match": {"type": "q"}, "conditions": {"param_matches": asked}, "approval": "auto"}
    policy = Policy.from_dict({"version": "1", "rules": [rule]})
    action = Action("q", "db", given)
    assert policy.evaluate(action).permitted
    pairs = [(asked[name], given[name]) for name in asked]
    (p1, t1), (p2, t2), (p3, t3), (p4, t4) = pairs

    def ours() -> None:
        for _ in range(200):
            policy.evaluate(action)

    def bare() -> None:
        for _ in range(200):
            re.search(p1, t1), re.search(p2, t2), re.search(p3, t3), re.search(p4, t4)

    took = [(best(ours, 1), best(bare, 1)) for _ in range(60)]
    row("four regex conditions, beside four re.search", min(t for t, _ in took) / 200, min(t for _, t in took) / 200, 2)


def main() -> None:
    """Print one table."""
    header()
    deciding()
    patterns()
    loading()


if __name__ == "__main__":
    main()
