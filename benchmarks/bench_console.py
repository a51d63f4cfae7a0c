"""The console under load: how long a person waits for a click while 200 calls wait and 50 more arrive each second.

A real console, an agent in a process of its own, and Chromium. Measured in the page, from the key or click to what it
shows; beside it, in the same run, the same with a single call waiting and none arriving. Run it as
``python -m benchmarks console``.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.table import header, row
from tests.console.stage import agent, browser, chromium, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from tests.console.stage import Agent

POLICY = """\
version: "1"
rules:
  - {name: reads, match: {type: "read_*"}, approval: auto}
  - {name: ask, match: {type: "write_*"}, approval: approve}
"""
WAITING, RATE, ROUNDS = 200, 50, 60
GOAL = 0.200
"""Seconds in which 95 of 100 clicks are to be answered."""

# From the click on a row to its call being drawn; from Enter to the call being off the list and the next one there.
_CLICK = """async (id) => {
  const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const begun = performance.now();
  document.querySelector(`#r-${id} a`).click();
  while (document.querySelector(".call")?.dataset.id !== id) await drawn();
  await drawn();
  return (performance.now() - begun) / 1000;
}"""
_ANSWER = """async (id) => {
  const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  document.querySelector(".verbs [data-verb=approve]").click();
  const begun = performance.now();
  document.querySelector("form[data-verb=approve] button").click();
  while (document.querySelector(`#r-${id}`)) await drawn();
  await drawn();
  return (performance.now() - begun) / 1000;
}"""


def main() -> None:
    """Print one table."""
    if chromium() is None:
        print("there is no browser: install chromium, or set AEGIS_TEST_CHROMIUM to one", file=sys.stderr)
        return
    with browser() as found:
        calm, loaded = (_measured(found.new_page, waiting, rate) for waiting, rate in ((1, 0), (WAITING, RATE)))
    header()
    for what in ("a click shows the call", "an answer is taken"):
        row(
            f"{what}: p50, {WAITING} waiting, {RATE}/s arriving; beside one waiting",
            _p(loaded[what], 50),
            _p(calm[what], 50),
        )
        row(f"{what}: p95, likewise; goal 200 ms", _p(loaded[what], 95), GOAL, 1)


def _measured(new_page: Callable[[], Page], waiting: int, rate: int) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder), POLICY) as staged, agent(Path(folder)) as made:
        page = new_page()
        page.goto(staged.link)
        numbers = iter(range(10**9))
        for _ in range(waiting):
            _call(made, next(numbers))
        page.locator(f"#rows li:nth-child({waiting})").wait_for(timeout=120_000)
        stop = threading.Event()
        arriving = threading.Thread(target=lambda: _arrive(made, numbers, rate, stop))
        arriving.start()
        try:
            return _clicked(page, made, numbers if rate == 0 else None)
        finally:
            stop.set()
            arriving.join()
            page.close()


def _clicked(page: Page, made: Agent, numbers: Iterator[int] | None) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"a click shows the call": [], "an answer is taken": []}
    for number in range(ROUNDS):
        rows = page.locator("#rows li")
        # Never the one that is shown already: after an answer that is the next below.
        request = rows.nth(min(rows.count() - 1, 2 if number % 2 else 7)).get_attribute("data-id")
        found["a click shows the call"].append(page.evaluate(_CLICK, request))
        found["an answer is taken"].append(page.evaluate(_ANSWER, request))
        if numbers is not None:
            _call(made, next(numbers))
            page.locator("#rows li").first.wait_for()
    return found


def _arrive(made: Agent, numbers: Iterator[int], rate: int, stop: threading.Event) -> None:
    due = time.monotonic()
    while rate and not stop.is_set():
        _call(made, next(numbers))
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))


def _call(made: Agent, number: int) -> None:
    made.call("write_file", "filesystem", {"path": f"/data/{number}", "content": "some text\n" * 20})


def _p(times: list[float], percent: int) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    main()
