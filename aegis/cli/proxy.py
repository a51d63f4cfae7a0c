"""``aegis proxy``: stand between an MCP client and a server, with no code in either."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from urllib.parse import urlsplit

import click

from aegis.cli.db_option import db_option
from aegis.cli.pin_options import Pinning, pin_options
from aegis.cli.proxy_http import check_upstream, http_options, listen_address, serve_http
from aegis.clients.cage import breaches, explained
from aegis.clients.trailplace import unusable
from aegis.core.policy import Policy
from aegis.errors import AuditError
from aegis_mcp.naming import server_name
from aegis_mcp.proxy.starting import Started

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from types import FrameType

    from aegis_core.record import Sink
    from aegis_core.runtime import Runtime
    from aegis_mcp.proxy.tools import ToolView

    _Governing = contextlib.AbstractAsyncContextManager[tuple[Runtime, ToolView | None]]

__all__ = ["Terms", "proxy"]

_YOUNG = 10_000
"""New objects before the collector looks at them: a call makes about a thousand, and few in circles."""


class Terms(NamedTuple):
    """What the command line says, once it is known to be usable.

    Attributes:
        policy: The policy, as it was loaded.
        file: Its file.
        server: The server's name in the policy.
        db: The trail.
        hold: Seconds a call waits for an approval.
        observe: Whether everything runs.
        fast: Whether nobody waits for the disk.
        agent: The agent's name.
        user: The user's name.
        pinning: How tools are held against the lock.
        mirrors: What else is told of every record.
        writable: Files of ours that the server may write to, and was allowed to.
    """

    policy: Policy
    file: Path
    server: str
    db: str
    hold: float
    observe: bool
    fast: bool
    agent: str | None
    user: str | None
    pinning: Pinning
    mirrors: Sequence[Sink]
    writable: Sequence[Path]


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "--policy",
    envvar="AEGIS_POLICY",
    required=True,
    type=click.Path(path_type=Path),
    help="The policy ($AEGIS_POLICY).",
)
@click.option(
    "--server", metavar="NAME", help="The server's name in the policy (match.target). Default: from the command."
)
@db_option
@click.option("--observe", is_flag=True, help="Decide and record, ask nobody, let everything run.")
@click.option("--fast", is_flag=True, help="Do not wait for the disk; a crash may lose the last records.")
@click.option("--otel", is_flag=True, help="Show calls as OpenTelemetry spans; run it under opentelemetry-instrument.")
@click.option("--agent", metavar="NAME", help="The agent's name on the trail and for the policy.")
@click.option("--user", metavar="NAME", help="The user's name on the trail and for the policy.")
@click.option(
    "--hold", default=45.0, show_default=True, type=click.FloatRange(min=0), metavar="SECONDS",
    help="How long a call that needs approval is held before it is answered as pending.",
)  # fmt: skip
@click.option("--allow-writable-policy", is_flag=True, help="Start although the server may write to our own files.")
@pin_options
@http_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def proxy(
    command: tuple[str, ...],
    policy: Path,
    server: str | None,
    db: str,
    hold: float,
    *,
    observe: bool,
    fast: bool,
    otel: bool,
    agent: str | None,
    user: str | None,
    allow_writable_policy: bool,
    pinning: Pinning,
    http: bool,
    listen: str | None,
    upstream: str | None,
    allow_host: tuple[str, ...],
    allow_origin: tuple[str, ...],
) -> int:
    """Stand between an MCP client and a server, and govern every tool call.

    Put it in front of the server's command in the client's settings:

    \b
        aegis proxy --policy policy.yaml --server filesystem -- \\
            npx -y @modelcontextprotocol/server-filesystem /data

    Or in front of a server that is reached over streamable HTTP, and give the client the proxy's URL:

    \b
        aegis proxy --policy policy.yaml --server search \\
            --http --listen 127.0.0.1:8765 --upstream https://search.example/mcp

    It then takes requests that are addressed to this host only, and the client's headers (Authorization) pass to the
    server. With AEGIS_PROXY_TOKEN in its environment, clients have to bring that as a bearer token, in
    Proxy-Authorization or in Authorization.

    Everything but tools/call passes untouched. A call that needs approval is asked about in the client where it can
    show a form; otherwise it is filed (see `aegis approvals`), held for a while, and then answered as pending: made
    again with the same arguments, it runs once it was approved. The policy is reloaded when its file changes.

    The tools are held against aegis.lock, beside the policy: what the server says of them when it is first seen is
    written there, and a tool that is new or has changed since is not shown and does not run until somebody has accepted
    it (see `aegis tools`).

    Exit codes: the server's own, with --http 0 or 130; 2 if the policy or the options cannot be used, or the server may
    write to the policy or the trail; 1 if the server could not be started or the address not be listened on; 3 if the
    trail cannot be written.
    """  # noqa: D301 - the backslash-b is click's mark, a character
    gc.disable()  # until all is loaded; see `aegis.cli.main`
    _check_usage(command, http=http, others=bool(listen or upstream or allow_host or allow_origin))
    address = listen_address(listen) if http else None
    url = check_upstream(upstream) if http else ""
    name = server or (str(urlsplit(url).hostname) if http else server_name(command))
    loaded = Policy.from_yaml(policy)
    within = breaches(command, loaded.sources, db, environment=os.environ, settings=pinning.files(policy))
    if within and not allow_writable_policy:
        raise click.UsageError(explained(*within[0]))
    if problem := unusable(db):
        raise AuditError(f"{db!r} cannot be used as the audit trail: {problem}")
    pinning.check(policy)
    terms = Terms(
        loaded, policy, name, db, hold, observe, fast, agent, user, pinning,
        mirrors=_telemetry(wanted=otel), writable=[file for file, _ in within],
    )  # fmt: skip
    # The trail is closed after the loop has ended: until then, threads that wait for people may write to it.
    with contextlib.ExitStack() as closing:
        governing = _governing(terms, closing)
        if address is None:
            return _over_pipes(command, governing, terms)
        import asyncio  # noqa: PLC0415 - where pipes are relayed, the server starts first

        async def over_http() -> int:
            async with governing as (runtime, view):
                return await serve_http(
                    runtime, name, upstream=url, address=address, hosts=allow_host, origins=allow_origin, view=view
                )

        return asyncio.run(over_http())


def _over_pipes(command: Sequence[str], governing: _Governing, terms: Terms) -> int:
    """Start the server, then load what relays to it and governs it; relay until it has ended."""
    for name in ("SIGTERM", "SIGHUP"):  # until the loop passes them on: the server ends with us
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _leave)
    # What it was allowed goes on record before it starts.
    server = None if terms.writable else Started(command)
    try:
        import asyncio  # noqa: PLC0415 - see above

        from aegis_mcp.proxy.stdio import run_stdio  # noqa: PLC0415 - likewise

        async def over_pipes() -> int:
            if server is not None:
                return await run_stdio(server, governing, server=terms.server)
            async with governing as governed:
                return await run_stdio(Started(command), contextlib.nullcontext(governed), server=terms.server)

        return asyncio.run(over_pipes())
    finally:
        if server is not None:
            server.abandon()


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


@contextlib.asynccontextmanager
async def _governing(terms: Terms, closing: contextlib.ExitStack) -> AsyncGenerator[tuple[Runtime, ToolView | None]]:
    """What governs the calls; loaded when it is entered, while the server starts."""
    from aegis.cli.proxy_governing import governed  # noqa: PLC0415 - see above

    async with governed(terms, closing) as governing:
        gc.freeze()  # what is loaded stays, and need not be looked at again
        gc.set_threshold(_YOUNG)
        gc.enable()
        yield governing


def _telemetry(*, wanted: bool) -> list[Sink]:
    """The mirror that makes spans, if it is wanted.

    Raises:
        click.UsageError: Its extra is not installed.
    """
    if not wanted:
        return []
    try:
        from aegis.runtime.audit_otel import OpenTelemetryAuditLogger  # noqa: PLC0415 - loads OpenTelemetry
    except ImportError as error:
        raise click.UsageError(str(error)) from error
    return [OpenTelemetryAuditLogger()]


def _check_usage(command: tuple[str, ...], *, http: bool, others: bool) -> None:
    """Refuse what would have to be ignored.

    Raises:
        click.UsageError: The command line asks for pipes and for HTTP, or for neither.
    """
    if http and command:
        raise click.UsageError("--http relays a server that runs already (--upstream); give no command")
    if not http and others:
        raise click.UsageError("--listen, --upstream, --allow-host and --allow-origin belong to --http")
    if not http and not command:
        raise click.UsageError("give the server's command after --, or --http with --listen and --upstream")
