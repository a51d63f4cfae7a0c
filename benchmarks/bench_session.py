"""Conditions about the session: what asking costs, as ratios within one run.

Provenance must not get slower with the length of the session, nor labels with the number of calls, and a value must
cost no more than its length says. Run it as ``python -m benchmarks.bench_session``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aegis import Action, Policy
from aegis_core.policy.results import screen
from aegis_core.session import SessionState

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = Policy.from_string("""
version: "1"
trust: [{match: {type: get_contacts}, results: trusted}]
rules:
  - {name: from_known, match: {type: send}, conditions: {param_from: {to: [user, trusted]}}, approval: auto}
  - {name: after_web, match: {type: post}, conditions: {after: {type: fetch}}, approval: block}
  - {name: few, match: {type: pay}, conditions: {calls: {max: 9, per: 1h, by: session}}, approval: auto}
results:
  - {name: mask, match: {type: fetch}, redact: {secrets: true}}
  - {name: mark, match: {type: fetch}, mark: untrusted}
""")
WORDS = "the quick brown fox jumps over a lazy dog and writes to"


def main() -> None:
    """Print one table."""
    print("| what | us | ratio |\n|---|---|---|")
    print("| *provenance, by characters said in the session* | | |")
    base = 0.0
    for turns in (1, 30, 300, 3000):
        state = SessionState()
        for turn in range(turns):
            state.add_user_text(f"{turn} {WORDS} user{turn}@example.com.")
        known = Action("send", "mail", {"to": f"user{turns - 1}@example.com"}, session_id="s")
        unknown = Action("send", "mail", {"to": "eve@evil.org"}, session_id="s")
        for name, action in (("found", known), ("not found", unknown)):
            took = _time(lambda action=action, state=state: POLICY.evaluate(action, session=state))  # type: ignore[misc]
            base = base or took
            _row(f"{name}, {state.size:,} characters", took, base)
    print("| *provenance, by length of the value* | | |")
    base = 0.0
    for count in (1, 10, 100):
        value = " ".join(f"word{number}" for number in range(count))
        state = SessionState()
        state.add_user_text(f"so {value} it is")
        action = Action("send", "mail", {"to": value}, session_id="s")
        took = _time(lambda action=action, state=state: POLICY.evaluate(action, session=state))  # type: ignore[misc]
        base = base or took
        _row(f"{len(value)} characters", took, base)
    print("| *labels, by different tools called in the session* | | |")
    base = 0.0
    for count in (1, 100, 4000):
        state = SessionState()
        state.add_calls((f"tool{number}", "t") for number in range(count))
        action = Action("post", "web", session_id="s")
        took = _time(lambda action=action, state=state: POLICY.evaluate(action, session=state))  # type: ignore[misc]
        base = base or took
        _row(f"{count:,} tools", took, base)
    print("| *beside a rule without conditions* | | |")
    plain = Policy.from_string('version: "1"\nrules: [{name: a, match: {type: pay}, approval: auto}]')
    action, state = Action("pay", "bank", session_id="s"), SessionState()
    base = _time(lambda: plain.evaluate(action, session=state))
    _row("no condition", base, base)
    _row("a budget", _time(lambda: POLICY.evaluate(action, session=state)), base)
    print("| *hearing and screening, by characters* | | |")
    for turns in (10, 1000):
        text = f"{WORDS} user@example.com.\n" * turns
        took = _time(lambda text=text: SessionState().add_user_text(text))  # type: ignore[misc]
        base = took / len(text)
        _row(f"hear {len(text):,} characters", took, base * len(text))
        rules, fetch = POLICY.needs.results, Action("fetch", "web")
        _row(
            f"redact and mark {len(text):,} characters",
            _time(lambda text=text, rules=rules, fetch=fetch: screen(rules, fetch, text)),  # type: ignore[misc]
            base * len(text),
        )


def _time(function: Callable[[], object]) -> float:
    """Seconds of processor time one call takes: the best of several rounds."""
    function()
    started = time.process_time()
    function()
    rounds = max(1, int(0.02 / max(time.process_time() - started, 1e-7)))
    means = []
    for _ in range(5):
        started = time.process_time()
        for _ in range(rounds):
            function()
        means.append((time.process_time() - started) / rounds)
    return min(means)


def _row(name: str, took: float, base: float) -> None:
    print(f"| {name} | {took * 1e6:,.2f} | {took / base:.2f} |")


if __name__ == "__main__":
    main()
