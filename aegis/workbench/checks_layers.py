"""Findings that compare the layers of a hierarchy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis.workbench.findings import Finding
    from aegis.workbench.source import Source

__all__ = ["check_layers"]


def check_layers(sources: Sequence[Source]) -> Iterator[Finding]:
    """Look for rules that a stricter layer makes meaningless."""
    del sources
    yield from ()
