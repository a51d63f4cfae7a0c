"""``aegis test``: does a policy say what its tests say it says, and which of its rules has no test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from aegis.cli import test_report
from aegis.errors import PolicyError
from aegis.workbench.policytest import Coverage, run_test_file
from aegis.workbench.testfile import find_test_files, read_test_file

if TYPE_CHECKING:
    from aegis.workbench.testfile import TestFile
    from aegis_core.errors import Problem

__all__ = ["test"]

_FORMATS = {
    "text": test_report.as_text,
    "json": test_report.as_json,
    "github": test_report.as_github,
    "junit": test_report.as_junit,
}


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 100),
    metavar="N",
    help="Exit with 1 if fewer than N % of the rules are tested.",
)
@click.option(
    "--format", "form", type=click.Choice(list(_FORMATS)), default="text", show_default=True, help="How to report."
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--verbose", "-v", is_flag=True, help="Also list what passed.")
def test(paths: tuple[Path, ...], *, fail_under: float | None, form: str, as_json: bool, verbose: bool) -> int:
    r"""Judge the calls in *.aegis-test.yaml files by the policies they are about.

    PATHS are test files, or folders to look through; without any, the working directory. A file tests the policy beside
    it (policy.aegis-test.yaml tests policy.yaml) unless it names another:

    \b
        target: filesystem
        tests:
          - name: reports are read
            call: {type: read_file, params: {path: /data/q1.csv}}
            expect: auto
          - name: nothing is deleted
            call: {type: delete_file, params: {path: /data/q1.csv}}
            expect: {approval: block, rule: no_deletes, risk: critical}

    Nothing runs and nothing is recorded. The coverage says how many of the policies' own rules decided a test's call.

    Exit codes: 0 all as expected; 1 something is not, or too few rules are tested; 2 a file cannot be read, or there is
    none.
    """
    files = _read(find_test_files(paths or (Path(),)))
    reports = [run_test_file(file) for file in files]
    coverage = Coverage.of(report.coverage for report in reports)
    # Rounded as it is shown: 100 is said of nothing less.
    enough = fail_under is None or coverage.percent >= fail_under
    summary = test_report.Summary(tuple(reports), coverage, fail_under=fail_under, verbose=verbose)
    click.echo(_FORMATS["json" if as_json else form](summary), nl=False)
    return 0 if enough and summary.failed == 0 else 1


def _read(paths: list[Path]) -> list[TestFile]:
    """All test files, or everything that is wrong with any of them."""
    files: list[TestFile] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            files.append(read_test_file(path))
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(problems)
    return files
