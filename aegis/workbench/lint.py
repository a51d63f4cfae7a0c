"""Lint: everything that can be said about policy files by looking at them, and at the tools they are for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aegis.errors import PolicyError
from aegis.workbench.checks_alone import check_alone
from aegis.workbench.checks_layers import check_layers
from aegis.workbench.checks_rules import check_rules
from aegis.workbench.checks_tools import check_tools
from aegis.workbench.findings import Finding, Level
from aegis.workbench.source import comments, read_source
from aegis_core.policy.loading import gc_paused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aegis.workbench.source import Source
    from aegis.workbench.tools import Server

__all__ = ["lint"]


def lint(
    files: Sequence[Path], *, servers: Sequence[Server] = (), layered: bool = False, now: datetime | None = None
) -> list[Finding]:
    """Everything found in some policy files, in their order and that of their lines.

    Args:
        files: The files.
        servers: The servers the policies are for, if known.
        layered: The files are layers of one hierarchy, the organisation's first.
        now: When it is; default now.
    """
    moment = now or datetime.now(UTC)
    found: list[Finding] = []
    sources: list[Source] = []
    for file in files:
        try:
            source = read_source(file)
        except PolicyError as error:
            found += [
                Finding("AEG001", p.source, p.line or 1, p.column or 1, p.message, p.rule, p.key, level=Level.ERROR)
                for p in error.problems
            ]
            continue
        sources.append(source)
        with gc_paused():
            here = [*check_alone(source, moment), *check_rules(source), *check_tools(source, servers)]
        found += here if layered else _without_ignored(source, here)
    if layered:
        found += check_layers(sources)
        for source in sources:
            here = [finding for finding in found if finding.file == source.file]
            found = [finding for finding in found if finding.file != source.file] + _without_ignored(source, here)
    order = {str(file): number for number, file in enumerate(files)}
    return sorted(dict.fromkeys(found), key=lambda one: (order.get(one.file, -1), one.line, one.column, one.code))


def _without_ignored(source: Source, found: list[Finding]) -> list[Finding]:
    """What is left when ignore comments have had their say."""
    told = comments(source.text, _entries(source))
    used: set[tuple[int, str]] = set()
    kept: list[Finding] = []
    for finding in found:
        by = [c for c in told if finding.code in c.codes and c.first <= finding.line <= c.last]
        used.update((comment.line, finding.code) for comment in by)
        if not any(comment.reason for comment in by):
            kept.append(finding)
    for comment in told:
        idle = sorted(code for code in comment.codes if (comment.line, code) not in used)
        if not comment.codes:
            problem = "this ignore comment names no code"
        elif not comment.reason:
            problem = f"this comment ignores {', '.join(sorted(comment.codes))} without a reason, so it does not count"
        elif idle:
            problem = f"this comment ignores {', '.join(idle)}, and there is none here"
        else:
            continue
        kept.append(Finding("AEG018", source.file, comment.line, comment.column, problem))
    return kept


def _entries(source: Source) -> list[tuple[int, int]]:
    """The first and last line of every entry of the file's lists."""
    spans: dict[tuple[str | int, ...], tuple[int, int]] = {}
    for path, place in source.places.items():
        if len(path) >= 2 and isinstance(path[1], int):
            first, last = spans.get(path[:2], (place.value[0], place.value[0]))
            spans[path[:2]] = min(first, place.value[0]), max(last, place.value[0])
    return list(spans.values())
