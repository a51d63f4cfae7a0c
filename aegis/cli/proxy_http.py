"""``aegis proxy --http``: the same in front of a server that is reached over streamable HTTP."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from aegis.errors import AegisError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_core.runtime import Runtime
    from aegis_mcp.proxy.tools import ToolView

__all__ = ["check_upstream", "http_options", "listen_address", "serve_http"]

TOKEN = "AEGIS_PROXY_TOKEN"  # noqa: S105 - the name of the variable


def http_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a proxy over HTTP."""
    for option in reversed(
        [
            click.option("--http", is_flag=True, help="Relay a server over streamable HTTP (extra `http`)."),
            click.option("--listen", metavar="ADDRESS:PORT", help="With --http: where clients connect to."),
            click.option(
                "--upstream", metavar="URL", help="With --http: the server's endpoint, as http(s)://host/path."
            ),
            click.option(
                "--allow-host", multiple=True, metavar="HOST[:PORT]", help="With --http: another name clients may use."
            ),
            click.option(
                "--allow-origin", multiple=True, metavar="ORIGIN", help="With --http: a web page that may connect."
            ),
        ]
    ):
        command = option(command)
    return command


def listen_address(text: str | None) -> tuple[str, int]:
    """The address and port to listen on.

    Raises:
        click.UsageError: It is none, or strangers could reach it and there is no token.
    """
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([\w.-]+)):(\d{1,5})", text or "")
    if found is None or int(found[3]) > 65535:
        raise click.UsageError("--http needs --listen ADDRESS:PORT, e.g. --listen 127.0.0.1:8765")
    host = found[1] or found[2]
    if not _is_loopback(host) and not os.environ.get(TOKEN):
        raise click.UsageError(
            f"--listen {host} can be reached from other machines: set {TOKEN} to a secret that clients have to bring, "
            "or listen on 127.0.0.1"
        )
    return host, int(found[3])


def check_upstream(url: str | None) -> str:
    """The server's URL, and the name people call it by.

    Raises:
        click.UsageError: It is no URL of a server.
    """
    try:
        parts = urlsplit(url or "")
        usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        usable = False
    if url is None or not usable:
        raise click.UsageError(
            "--http needs --upstream URL, e.g. --upstream http://127.0.0.1:3000/mcp (credentials go into headers)"
        )
    return url


async def serve_http(
    runtime: Runtime,
    server: str,
    *,
    upstream: str,
    address: tuple[str, int],
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    view: ToolView | None = None,
) -> int:
    """Relay over HTTP until asked to stop.

    Raises:
        AegisError: The extra is not installed, or the address cannot be listened on.
    """
    try:
        from aegis_mcp.proxy.http.app import HttpProxy  # noqa: PLC0415 - loads httpx
        from aegis_mcp.proxy.http.serve import listen, serve  # noqa: PLC0415 - loads uvicorn
    except ImportError as error:
        raise AegisError(
            f"a proxy over HTTP needs httpx and uvicorn: pip install 'aegis-agents[http]' ({error})"
        ) from error
    with listen(*address) as listening:
        host, port = address[0], listening.getsockname()[1]
        known: set[str] | None = set(hosts)
        if _is_loopback(host):
            known = {*hosts, *(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", _bracketed(host)))}
        proxy = HttpProxy(
            runtime,
            server=server,
            upstream=upstream,
            hosts=known or None,
            origins=origins,
            token=os.environ.get(TOKEN) or None,
            view=view,
        )
        click.echo(f"aegis: relaying {upstream} at http://{_bracketed(host)}:{port}{proxy.path}", err=True)
        return await serve(proxy, listening)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
