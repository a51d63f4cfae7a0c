"""What a person can do: answer a request, write a rule, have the chain checked. Everything here is on record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from anyio import to_thread
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import HTMLResponse, JSONResponse

from aegis.console.narrow import LIFETIMES, ends, narrow_rule, scopes
from aegis.console.policyedit import asking_rule, change_for, write_change
from aegis.console.values import leaves
from aegis.errors import ApprovalError
from aegis_core.record import Event
from aegis_core.text import visible

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from aegis.console.app import Console
    from aegis.console.policies import PolicyFile
    from aegis.console.policyedit import Change
    from aegis_core.approval.store import Ticket

__all__ = ["answer", "check_chain", "offer_rule", "write_rule"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Edit(_Strict):
    """One argument that a person changed: text as it is, anything else as JSON."""

    at: str = Field(max_length=4_096)
    kind: Literal["text", "json"]
    value: str


class Answer(_Strict):
    """What a person said to a request."""

    approved: bool
    reason: Annotated[str, Field(max_length=2_000)] = ""
    edits: list[Edit] = []


class Rule(_Strict):
    """A rule that a person wants: what it says about every argument, and for how long.

    ``digest`` and ``until`` are those of the change that was shown; without them, the change is shown and nothing is
    written.
    """

    scope: dict[str, str] = {}
    lifetime: str
    until: str | None = None
    digest: str | None = None


async def answer(request: Request) -> Response:
    """Say yes or no to a request."""
    said = Answer.model_validate_json(await request.body())
    return await to_thread.run_sync(_answer, request.state.console, request, said)


def _answer(console: Console, request: Request, said: Answer) -> Response:
    ticket = console.approvals.get(request.path_params["id"])
    edits = _edits(ticket, said.edits)
    done = console.approvals.answer(
        ticket.id,
        approved=said.approved,
        approver=request.state.session.name,
        via="console",
        reason=said.reason.strip() or None,
        edits=edits or None,
    )
    what = f"{visible(done.request['type'])} on {visible(done.request['target'])}"
    verb = "Approved" if said.approved else "Denied"
    note = f"{verb} with changes: the changed call is judged anew and may come back here" if edits else verb
    return JSONResponse({"said": f"{note}: {what}", "state": done.state})


def _edits(ticket: Ticket, edits: list[Edit]) -> dict[str, Any]:
    """The changed arguments, by JSON Pointer.

    Raises:
        ApprovalError: A change is of something that cannot be changed, is no JSON, or changes nothing.
    """
    known = {leaf.at: leaf for leaf in leaves(ticket.request["params"])}
    changed: dict[str, Any] = {}
    for edit in edits:
        leaf = known.get(edit.at)
        if leaf is None or not leaf.is_whole:
            raise ApprovalError(f"the argument {edit.at!r} cannot be changed: it is not there, or is masked")
        try:
            value = edit.value if edit.kind == "text" else json.loads(edit.value, parse_constant=_no_constant)
        except ValueError as error:
            raise ApprovalError(f"the new value of {edit.at!r} is no JSON: {error}") from None
        if json.dumps(value) != json.dumps(leaf.value):
            changed[edit.at] = value
    if edits and not changed:
        raise ApprovalError("nothing was changed; approve the call as it is, or change an argument")
    return changed


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def offer_rule(request: Request) -> Response:
    """Ask what a rule for this call should say."""
    console: Console = request.state.console
    ticket = console.approvals.get(request.path_params["id"])
    asking_rule(_policy(console).policy(), ticket)
    page = console.drawing.page(
        "always.html",
        ticket=ticket,
        scopes=scopes(ticket.request["params"]),
        lifetimes=LIFETIMES,
        path=_policy(console).path,
    )
    return HTMLResponse(page)


async def write_rule(request: Request) -> Response:
    """Show the change to the policy file; once it was shown, write it."""
    wanted = Rule.model_validate_json(await request.body())
    return await to_thread.run_sync(_rule, request.state.console, request, wanted)


def _rule(console: Console, request: Request, wanted: Rule) -> Response:
    ticket = console.approvals.get(request.path_params["id"])
    file = _policy(console)
    policy = file.policy()
    until = ends(wanted.lifetime, wanted.until)
    rule = narrow_rule(ticket, asking_rule(policy, ticket), wanted.scope, until)
    change = change_for(policy, file.path, ticket, rule)
    if wanted.digest is None:
        return HTMLResponse(console.drawing.page("change.html", change=change, until=until))
    if wanted.digest != change.digest:
        raise ApprovalError("the policy file was changed since the change was shown; look at it again")
    _write(console, change, ticket, request.state.session.name)
    said = f"Rule {rule['name']} is in {file.path.name}. It holds for later calls; this one still waits for its answer."
    return JSONResponse({"said": said})


def _write(console: Console, change: Change, ticket: Ticket, approver: str) -> None:
    """Write the rule; before that, that it is written goes on the trail."""
    facts = {
        "rule": change.rule,
        "file": str(change.path),
        "approver": approver,
        "via": "console",
        "request": ticket.id,
    }
    console.trail.write(Event("policy_rule_written", data=facts))
    try:
        write_change(change)
    except (OSError, ApprovalError) as error:
        console.trail.write(Event("policy_rule_not_written", data={**facts, "why": str(error)}))
        raise ApprovalError(f"{change.path} was not written: {error}") from error


def _policy(console: Console) -> PolicyFile:
    if console.policy is None:
        raise ApprovalError("no policy file was given: start the console with --policy FILE")
    return console.policy


async def check_chain(request: Request) -> Response:
    """Have the chain checked now."""
    console: Console = request.state.console
    console.chain.check_soon()
    return JSONResponse({"said": "The chain is being checked."})
