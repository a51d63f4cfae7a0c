"""``aegis suggest``: narrow rules from history, as a change to a policy file."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aegis.cli import audit_view as view
from aegis.cli.audit_options import db_option, filters, out, output_option, trail
from aegis.core.policy import Policy
from aegis.workbench.suggest import suggest
from aegis_core.audit.filters import Filters
from aegis_core.text import visible

if TYPE_CHECKING:
    from aegis.workbench.suggest import Suggestions

__all__ = ["suggest_command"]

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_SAID = {"allow": "allow", "block": "block", "tighten": "ask"}


@click.command("suggest")
@click.argument("trail_db", metavar="[DB]", required=False)
@db_option
@click.option(
    "--policy", required=True, envvar="AEGIS_POLICY", type=click.Path(path_type=Path), metavar="FILE",
    help="The policy in force ($AEGIS_POLICY).",
)  # fmt: skip
@filters
@click.option(
    "--min", "enough", default=20, show_default=True, type=click.IntRange(min=2), metavar="N",
    help="Answers, all the same, from which on a rule is suggested.",
)  # fmt: skip
@output_option
@click.option("--json", "as_json", is_flag=True, help="Print the suggestions and the diff as JSON.")
def suggest_command(
    trail_db: str | None,
    db: str,
    policy: Path,
    output: Path | None,
    *,
    enough: int,
    as_json: bool,
    **filters: Any,
) -> int:
    r"""Draft narrow rules from what people answered, as a diff to the policy.

    DB is the trail (or use --db). Nothing runs, and no file is changed; -o writes the whole new policy to another.

    \b
        aegis suggest aegis_audit.db --policy policy.yaml > rules.diff
        aegis lint policy.yaml && patch -p0 < rules.diff

    Suggested are a rule that allows calls of a tool that were approved every time, with what their arguments had in
    common (folders, hosts, tables, ranges, values); one that blocks calls that were denied every time; and asking where
    a rule allows what was never called. Every rule is tried on the trail before it is shown: it decides no call that
    was answered otherwise. What is no rule, and why, is said on standard error.

    Exit codes: 0 done, whether or not there is anything to suggest; 2 the policy or the trail cannot be read.
    """
    path = policy.absolute()
    loaded = Policy.from_yaml(path)
    with trail(trail_db or db) as logger:
        found = suggest(logger, loaded, path, Filters(**filters), enough=enough)
    diff = list(_diff(found, str(policy)))
    if as_json:
        view.write_json(_as_json(found, diff), sys.stdout)
    elif output is None:
        for line in diff:
            click.echo(click.style(line, fg=_COLOURS.get(line[:1])))
    if output is not None:
        with out(output, beside=logger) as file:
            file.write(found.new)
    if not as_json:
        _explain(found)
    return 0


def _diff(found: Suggestions, name: str) -> Any:
    old, new = found.old.splitlines(), found.new.splitlines()
    return (visible(line) for line in difflib.unified_diff(old, new, name, name, lineterm=""))


def _explain(found: Suggestions) -> None:
    for change in found.changes:
        click.echo(f"{_SAID[change.kind]}: {visible(change.rule)}: {change.why}", err=True)
    for line in found.skipped:
        click.echo(f"no rule for {line}", err=True)
    if not found.changes:
        click.echo(f"nothing to suggest from {found.calls} calls", err=True)


def _as_json(found: Suggestions, diff: list[str]) -> dict[str, Any]:
    return {
        "policy": str(found.path),
        "calls": found.calls,
        "suggestions": [
            {
                "kind": change.kind,
                "rule": change.rule,
                "before": change.before,
                "document": change.document,
                "why": change.why,
                "open": list(change.open),
            }
            for change in found.changes
        ],
        "skipped": list(found.skipped),
        "diff": diff,
    }
