"""A table of what was measured: ours, the reference timed in the same run, their ratio, and the goal for it."""

from __future__ import annotations

__all__ = ["header", "row"]


def header() -> None:
    """Begin a table."""
    print("| what | ours | reference | ratio | goal | met |\n|---|---:|---:|---:|---:|---|")


def row(what: str, ours: float, reference: float, goal: float | None = None, *, at_least: bool = False) -> None:
    """One line; times in seconds. The goal is for ours in references, or (``at_least``) for the reference in ours."""
    ratio = reference / ours if at_least else ours / reference
    wanted, met = "", ""
    if goal is not None:
        wanted = f"{'>=' if at_least else '<='} {goal:g}"
        met = "yes" if (ratio >= goal if at_least else ratio <= goal) else "NO"
    shown = f"{ratio:,.2f}" if ratio < 100 else f"{ratio:,.0f}"
    print(f"| {what} | {_time(ours)} | {_time(reference)} | {shown} | {wanted} | {met} |", flush=True)


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:,.2f} {unit}"
    return f"{seconds / 1e-9:,.0f} ns"
