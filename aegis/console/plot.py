"""Decisions over time as a stacked bar plot: plain SVG without styles or scripts, coloured by the style sheet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from aegis.console.figures import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NAMES", "plot"]

NAMES = {
    "unasked": "ran unasked",
    "approved": "approved by a person",
    "denied": "denied",
    "blocked": "blocked by rule",
    "pending": "waiting or gave up waiting",
}
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 960, 220, 44, 24, 10


def plot(steps: Sequence[tuple[int, dict[str, int]]], step: int) -> Markup:
    """The plot. Every bar has a title that says the same in words.

    Args:
        steps: Per step, its start (microseconds since the epoch) and calls by kind.
        step: Length of a step in microseconds.
    """
    highest = _round_up(max((sum(counts.values()) for _, counts in steps), default=0))
    width = (_WIDTH - _LEFT) / max(1, len(steps))
    tall = _HEIGHT - _TOP - _BOTTOM
    out = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Decisions over time" class="plot">']
    for share in (0, 0.5, 1):
        y = _TOP + tall * (1 - share)
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        if share * highest == int(share * highest):
            out.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{int(share * highest):,}</text>')
    labelled = max(1, len(steps) // 6)
    for number, (at, counts) in enumerate(steps):
        x = _LEFT + number * width
        out.append(f"<g><title>{escape(_words(at, step, counts))}</title>")
        out.append(f'<rect class="hit" x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="{tall}"/>')
        y = float(_TOP + tall)
        for kind in KINDS:
            if counts[kind]:
                height = counts[kind] / highest * tall
                y -= height
                size = f'width="{max(1.0, width - 2):.1f}" height="{height:.2f}"'
                out.append(f'<rect class="k-{kind}" x="{x + 1:.1f}" y="{y:.2f}" {size}/>')
        out.append("</g>")
        if number % labelled == 0:
            out.append(
                f'<text x="{x + width / 2:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{_label(at, step)}</text>'
            )
    out.append("</svg>")
    return Markup("".join(out))  # noqa: S704 - numbers, our own words, and one escaped text


def _round_up(number: int) -> int:
    """The next number that reads well on an axis."""
    size = 1
    while True:
        for factor in (2, 4, 10):
            if number <= factor * size:
                return factor * size
        size *= 10


def _label(at: int, step: int) -> str:
    return f"{_time(at):%H:%M}" if step < 3_600_000_000 else f"{_time(at):%d %b}"


def _words(at: int, step: int, counts: dict[str, int]) -> str:
    said = ", ".join(f"{counts[kind]:,} {NAMES[kind]}" for kind in KINDS if counts[kind]) or "no calls"
    return f"{_time(at):%d %b %H:%M} to {_time(at + step):%d %b %H:%M} UTC: {said}"


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1e6, UTC)
