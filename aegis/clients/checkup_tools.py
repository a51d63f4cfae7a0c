"""A check-up's last part: the server's tools, by itself and through the proxy, and how the policy fits them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis.clients.finding import Finding, Patient
from aegis_core.action import Action
from aegis_core.decision import Approval
from aegis_core.errors import AegisError
from aegis_mcp.fit import fit
from aegis_mcp.listing import list_tools

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aegis_core.policy.policy import Policy
    from aegis_mcp.listing import Tool

__all__ = ["look_at_tools"]


def look_at_tools(
    patient: Patient,
    policy: Policy,
    command: Sequence[str],
    environment: Mapping[str, str],
    timeout: float,
    *,
    pinned: bool,
) -> Iterator[Finding]:
    """Start the server twice, by itself and through the proxy, and compare what it lists with the policy.

    Args:
        patient: The server.
        policy: The policy it is governed by.
        command: Its command, with the variables filled in.
        environment: The whole environment it is started in.
        timeout: Seconds it has for each start.
        pinned: Whether the lock knows its tools. Nothing is written into it either way.
    """
    try:
        direct = list_tools(command, timeout=timeout, env=environment)
    except AegisError as problem:
        yield Finding("server", "failed", str(problem), "run its command in a terminal and see")
        return
    yield Finding("server", "ok", f"{len(direct.tools)} tools" + (f", {direct.name}" if direct.name else ""))
    quiet = () if {"--no-lock", "--locked"} & set(patient.options) else ("--locked",) if pinned else ("--no-lock",)
    through = [*patient.start, *patient.options, *quiet, "--", *command]
    try:
        proxied = list_tools(through, timeout=timeout, env=environment)
    except AegisError as problem:
        yield Finding("proxy", "failed", str(problem))
        return
    names, seen = _names(direct.tools), _names(proxied.tools)
    if hidden := [name for name in names if name not in seen]:
        mend = "see aegis tools diff" if pinned else ""
        yield Finding("proxy", "note" if not pinned else "problem", f"it keeps {_some(hidden)} from the client", mend)
    else:
        yield Finding("proxy", "ok", f"the client sees {'all of them' if names else 'the same'}")
    yield from _fit(patient.server, policy, direct.tools)


def _fit(server: str, policy: Policy, tools: Sequence[Tool]) -> Iterator[Finding]:
    fitting = fit(policy, server, tools)
    for problem in fitting.problems:
        yield Finding("rules", "problem", problem, "see what the server has: aegis tools diff")
    names = _names(tools)
    default = [name for name in names if policy.evaluate(Action(name, server)).matched_rule == "<default>"]
    if default:
        answer = policy.evaluate(Action(default[0], server)).approval
        yield Finding("default", "note", f"no rule speaks of {_some(default)}: the default decides ({answer})")
    never = [name for name in names if fitting.answers[name] == frozenset((Approval.BLOCK,))]
    if names and len(never) == len(names):
        yield Finding("rules", "problem", f"every tool of {server!r} is blocked", "do its rules name this server?")
    elif not fitting.problems:
        yield Finding("rules", "ok", "every rule for this server matches one of its tools")


def _names(tools: Sequence[Tool]) -> list[str]:
    return list(dict.fromkeys(tool["name"] for tool in tools))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
