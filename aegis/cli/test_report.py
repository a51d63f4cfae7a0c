"""How ``aegis test`` reports: for people, programs, GitHub's annotations and tools that read JUnit."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

import click

from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aegis.workbench.policytest import Case, Coverage, Miss, Report, RuleOf

__all__ = ["Summary", "as_github", "as_json", "as_junit", "as_text"]

_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Summary:
    """All reports of one run."""

    reports: tuple[Report, ...]
    coverage: Coverage
    fail_under: float | None
    verbose: bool

    @property
    def cases(self) -> list[tuple[Report, Case]]:
        """Every case with the report it is in."""
        return [(report, case) for report in self.reports for case in report.cases]

    @property
    def failed(self) -> int:
        """How many cases are not as expected."""
        return sum(not case.ok for _, case in self.cases)

    @property
    def under(self) -> str | None:
        """What is to be said of a coverage that is too low."""
        if self.fail_under is None or self.coverage.percent >= self.fail_under:
            return None
        return f"the coverage of {_percent(self.coverage)} is under {self.fail_under:g}%"


# --- for people ------------------------------------------------------------------------------------------------------


def as_text(summary: Summary) -> str:
    """A line a case, and what is wrong with those that fail."""
    lines: list[str] = []
    for report in summary.reports:
        lines.append(click.style(_shown(report.path), bold=True))
        listed = [case for case in report.cases if summary.verbose or not case.ok or case.session]
        lines += (line for case in listed for line in _case(case, report.path))
        passed = sum(case.ok for case in report.cases if not case.session)
        if passed and not summary.verbose:
            lines.append(f"  {_mark(ok=True)} {passed} test{_s(passed)} as expected")
    total = len(summary.cases)
    lines += ["", f"{total} test{_s(total)}, {total - summary.failed} passed, {summary.failed} failed"]
    rules, decided = len(summary.coverage.rules), len(summary.coverage.rules & summary.coverage.decided)
    lines.append(f"coverage: {decided} of {rules} rule{_s(rules)} decided a test ({_percent(summary.coverage)})")
    lines += (f"  {_where(rule)}: {visible(rule.name)} decided none" for rule in summary.coverage.missing)
    if summary.under is not None:
        lines.append(click.style(summary.under, fg="red"))
    return "\n".join(lines) + "\n"


def _case(case: Case, path: Path) -> Iterator[str]:
    asked = f" ({case.calls} calls, {case.asked} approval{_s(case.asked)})" if case.session else ""
    where = "" if case.ok else click.style(f"  {_shown(path)}:{case.line}", dim=True)
    yield f"  {_mark(ok=case.ok)} {visible(case.name)}{asked}{where}"
    for miss in case.misses:
        yield from (f"      {line}" for line in _miss(miss))


def _miss(miss: Miss) -> Iterator[str]:
    if miss.call:
        yield f"{visible(miss.call)}:"
    width = max(len(difference.what) for difference in miss.differences)
    for what, expected, got in miss.differences:
        yield f"{what:{width}}  {click.style('- expected', fg='green')}  {_cut(expected)}"
        yield f"{'':{width}}  {click.style('+ got', fg='red')}       {_cut(got)}"
    yield from (f"  {line}" for line in miss.why.splitlines())


def _mark(*, ok: bool) -> str:
    mark, plain = ("✓", "ok") if ok else ("✗", "FAILED")
    try:
        mark.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:  # a console or a pipe with a code page that lacks it
        mark = plain
    return click.style(mark, fg="green" if ok else "red")


def _cut(text: str) -> str:
    text = visible(text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _percent(coverage: Coverage) -> str:
    """Rounded down: 100% is said of nothing less."""
    return f"{int(coverage.percent * 10) / 10:g}%"


def _shown(path: Path | str) -> str:
    """A path from the working directory where it is below it."""
    absolute, here = Path(path).absolute(), Path.cwd()
    return visible(str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(path))


def _where(rule: RuleOf) -> str:
    place = rule.place
    return _shown(place.source) + ("" if place.line is None else f":{place.line}")


# --- for programs ----------------------------------------------------------------------------------------------------


def as_json(summary: Summary) -> str:
    """One object."""
    coverage = summary.coverage
    data: dict[str, Any] = {
        "ok": summary.failed == 0 and summary.under is None,
        "tests": len(summary.cases),
        "failed": summary.failed,
        "coverage": {
            "percent": round(coverage.percent, 2),
            "fail_under": summary.fail_under,
            "rules": len(coverage.rules),
            "missing": [
                {"file": _shown(rule.place.source), "line": rule.place.line, "rule": rule.name}
                for rule in coverage.missing
            ],
        },
        "files": [
            {"file": _shown(report.path), "tests": [_case_data(case) for case in report.cases]}
            for report in summary.reports
        ],
    }
    return json.dumps(data, indent=2) + "\n"


def _case_data(case: Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "kind": "session" if case.session else "test",
        "line": case.line,
        "ok": case.ok,
        "calls": case.calls,
        "approvals": case.asked,
        "misses": [
            {"call": miss.call, "differences": [found._asdict() for found in miss.differences], "why": miss.why}
            for miss in case.misses
        ],
    }


def as_github(summary: Summary) -> str:
    """Workflow commands that become annotations of the lines concerned."""
    lines: list[str] = []
    for report, case in summary.cases:
        if not case.ok:
            said = "\n".join(line for miss in case.misses for line in _plain_miss(miss))
            lines.append(_annotation("error", _shown(report.path), case.line, case.name, said))
    for rule in summary.coverage.missing:
        name = f"rule {rule.name}"
        lines.append(_annotation("warning", _shown(rule.place.source), rule.place.line, name, "decides no test's call"))
    if summary.under is not None:
        lines.append(f"::error::{_escaped(summary.under)}")
    total = len(summary.cases)
    lines.append(f"{total} tests, {summary.failed} failed, coverage {_percent(summary.coverage)}")
    return "\n".join(lines) + "\n"


def _annotation(level: str, file: str, line: int | None, title: str, message: str) -> str:
    place = f"file={_escaped(file, inside=True)}" + ("" if line is None else f",line={line}")
    return f"::{level} {place},title={_escaped(visible(title), inside=True)}::{_escaped(message)}"


def _escaped(text: str, *, inside: bool = False) -> str:
    """A value as GitHub's workflow commands escape it; ``inside`` for what stands between commas."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if inside else text


def _plain_miss(miss: Miss) -> list[str]:
    return [click.unstyle(line) for line in _miss(miss)]


def as_junit(summary: Summary) -> str:
    """JUnit's XML, as most build servers read it. The coverage, if it is too low, is a failed case of its own."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for report in summary.reports:
        failed = sum(not case.ok for case in report.cases)
        name = quoteattr(_shown(report.path))
        lines.append(f'  <testsuite name={name} tests="{len(report.cases)}" failures="{failed}">')
        for case in report.cases:
            opening = f"    <testcase classname={name} name={quoteattr(visible(case.name))}"
            said = "\n".join(visible(line) for miss in case.misses for line in _plain_miss(miss))
            lines.append(f"{opening}/>" if case.ok else f"{opening}><failure>{escape(said)}</failure></testcase>")
        lines.append("  </testsuite>")
    if summary.under is not None:
        lines.append('  <testsuite name="coverage" tests="1" failures="1">')
        lines.append(f'    <testcase name="coverage"><failure>{escape(summary.under)}</failure></testcase>')
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>"]) + "\n"
