"""``aegis validate`` and ``aegis check``: is a policy well-formed, and what does it say about one call."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aegis.core.action import Action
from aegis.core.policy import Approval, Policy
from aegis.errors import PolicyError
from aegis_core.session import SessionState
from aegis_core.text import visible

if TYPE_CHECKING:
    from aegis_core.policy.explain import Explanation

__all__ = ["check", "validate"]

_COLOURS = {Approval.AUTO: "green", Approval.APPROVE: "yellow", Approval.BLOCK: "red"}


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array, an object a file.")
def validate(files: tuple[Path, ...], *, as_json: bool) -> int:
    """Check policy FILES strictly and list every problem with file:line:column.

    Unknown keys, duplicate keys, wrong types and patterns RE2 refuses are errors: nothing in a policy is ever ignored.

    Exit codes: 0 all valid; 1 problems found; 2 a file cannot be read.
    """
    reports: list[dict[str, Any]] = []
    code = 0
    for file in files:
        report: dict[str, Any] = {"file": str(file), "ok": True, "rules": 0, "digest": None, "problems": []}
        try:
            policy = Policy.from_yaml(file)
            report.update(rules=len(policy.rules), digest=policy.digest)
        except PolicyError as error:
            unreadable = any(problem.line is None for problem in error.problems)  # what was read has its place
            code = max(code, 2 if unreadable else 1)
            report["ok"] = False
            report["problems"] = [
                {
                    "message": p.message,
                    "file": p.source,  # an included one, perhaps
                    "line": p.line,
                    "column": p.column,
                    "rule": p.rule,
                    "key": p.key,
                }
                for p in error.problems
            ]
        reports.append(report)
    if as_json:
        click.echo(json.dumps(reports, indent=2))
        return code
    for report in reports:
        name = visible(report["file"])
        if report["ok"]:
            count = f"{report['rules']} {'rule' if report['rules'] == 1 else 'rules'}"
            click.echo(f"{name}: {click.style('valid', fg='green')}, {count}")
        for problem in report["problems"]:
            where = visible(problem["file"])
            where += "" if problem["line"] is None else f":{problem['line']}:{problem['column']}"
            click.echo(f"{where}: {click.style('error', fg='red')}: {visible(problem['message'])}")
    return code


@click.command()
@click.argument("policy", type=click.Path(path_type=Path))
@click.argument("type")
@click.argument("target")
@click.option("--param", "-p", "params", multiple=True, metavar="NAME=VALUE", help="An argument; repeat for more.")
@click.option("--agent", help="The agent that calls.")
@click.option("--user", help="The user on whose behalf it calls.")
@click.option("--said", multiple=True, metavar="TEXT", help="What the user said in the session; repeat for more.")
@click.option("--after", multiple=True, metavar="TYPE@TARGET", help="A call begun before; repeat for more.")
@click.option("--at", metavar="TIME", help="Judge as at this time (ISO 8601, UTC by default).")
@click.option(
    "--expect",
    type=click.Choice([approval.value for approval in Approval]),
    help="Exit with 1 unless this is the decision.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the decision and its reasons as JSON.")
def check(
    policy: Path,
    type: str,  # noqa: A002 - the documented name of the argument
    target: str,
    *,
    params: tuple[str, ...],
    agent: str | None,
    user: str | None,
    said: tuple[str, ...],
    after: tuple[str, ...],
    at: str | None,
    expect: str | None,
    as_json: bool,
) -> int:
    r"""Ask POLICY about one call of the tool TYPE on TARGET: the decision, and why.

    Nothing runs and nothing is recorded. A VALUE that is a JSON number, true, false, null, list, object or quoted
    string is read as such; anything else is text:

    \b
        aegis check policy.yaml write_file filesystem --param path=/data/a.csv
        aegis check policy.yaml query database -p 'sql=DROP TABLE users' --expect block
        aegis check policy.yaml send_email mail -p to=jane@example.com --said 'write to jane@example.com'
        aegis check policy.yaml refund shop -p amount=250 -p 'tags=["vip"]' -p 'zip="01234"'

    Exit codes: 0 decided (as expected); 1 not as expected; 2 unreadable policy or arguments.
    """
    session = _session(said, after) if said or after else None
    action = Action(
        type,
        target,
        _arguments(params),
        agent=agent,
        user=user,
        session_id=None if session is None else "check",
    )
    explanation = Policy.from_yaml(policy).explain(action, session=session, now=_time(at))
    decision = explanation.decision
    missed = expect is not None and decision.approval.value != expect
    if as_json:
        click.echo(json.dumps({**_as_json(explanation), "expected": expect, "ok": not missed}, indent=2, default=repr))
    else:
        first, *rest = str(explanation).split("\n")
        word, space, tail = first.partition(" ")
        click.echo(click.style(word, fg=_COLOURS[decision.approval], bold=True) + space + tail)
        for line in rest:
            click.echo(line)
        if missed:
            click.echo(f"expected {expect}, got {decision.approval.value}", err=True)
    return 1 if missed else 0


def _arguments(params: tuple[str, ...]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for name, value in map(_param, params):
        if name in named:
            raise click.BadParameter(
                f"{name!r} is given twice; a list is written {name}='[1, 2]'", param_hint="--param"
            )
        named[name] = value
    return named


def _param(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _session(said: tuple[str, ...], after: tuple[str, ...]) -> SessionState:
    session = SessionState()
    for text in said:
        session.add_user_text(text)
    for call in after:
        name, at, target = call.rpartition("@")
        if not (name and at and target):
            raise click.BadParameter(f"{call!r} is not TYPE@TARGET", param_hint="--after")
        session.add_calls([(name, target)])
    return session


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not an ISO 8601 time such as 2026-03-22T10:30:00Z", param_hint="--at"
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _as_json(explanation: Explanation) -> dict[str, Any]:
    decision = explanation.decision
    return {
        "approval": decision.approval.value,
        "risk_level": decision.risk_level.name,
        "matched_rule": decision.matched_rule,
        "reason": decision.reason,
        "floors": [
            {"rule": floor.rule, "approval": floor.approval.value, "risk_level": floor.risk_level.name}
            for floor in decision.floors
        ],
        "rules": [
            {
                "name": rule.name,
                "approval": rule.approval.value,
                "truth": rule.truth,
                "matched": rule.matched,
                "place": None if rule.place is None else str(rule.place),
                "conditions": [
                    {"condition": found.condition, "value": found.value, "truth": found.truth, "why": found.why}
                    for found in rule.findings
                ],
            }
            for rule in explanation.rules
        ],
    }
