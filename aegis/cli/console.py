"""``aegis console``: what waits, what happened and what could be decided by rule, in a browser."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import click

from aegis.cli.audit_options import db_option, trail
from aegis.errors import AegisError
from aegis_core import portability
from aegis_core.text import visible

__all__ = ["console"]

_TOKEN = "AEGIS_CONSOLE_TOKEN"  # noqa: S105 - the variable's name


@click.command()
@db_option
@click.option(
    "--policy", envvar="AEGIS_POLICY", type=click.Path(path_type=Path), metavar="FILE",
    help="The policy ($AEGIS_POLICY): explains why calls were stopped, and is where new rules are written.",
)  # fmt: skip
@click.option(
    "--listen", default="127.0.0.1:8787", show_default=True, metavar="HOST:PORT", help="Port 0 is any free one."
)
@click.option(
    "--origin", metavar="URL", help="The address people open, where it is another one: https://aegis.example.com."
)
@click.option(
    "--as", "approver", metavar="NAME", default=portability.user_name, help="Who answers. Default: the user you are."
)
@click.option("--public-key", metavar="FILE", help="Check the signatures of checkpoints with this key.")
def console(
    db: str, policy: Path | None, listen: str, origin: str | None, approver: str, public_key: str | None
) -> int:
    """Open the console: answer calls that wait, look at the trail, see what could be decided by rule.

    Prints a link that logs in once; after it was used, a new one. Whoever sets AEGIS_CONSOLE_TOKEN (at least 16
    characters) can log in with that, too.

    Only this machine can reach the console. --listen with another address opens it to others, and is refused unless
    AEGIS_CONSOLE_TOKEN is set. There is no TLS: beyond loopback, put a proxy that has it in front, and name its address
    with --origin.

    Exit codes: 0 ended by Ctrl-C; 1 cannot listen there; 2 the options or the policy cannot be used; 3 the trail
    cannot be read.
    """
    try:
        from aegis.console import app, listening, login, policies, serve  # noqa: PLC0415 - the extra, and heavy
    except ImportError as error:
        raise AegisError(f"the console needs its extra: pip install 'aegis-agents[ui]' ({error})") from error
    if not approver.strip():
        raise click.UsageError("--as must name who answers.")
    token = os.environ.get(_TOKEN) or None
    if token is not None and len(token) < listening.SHORTEST_TOKEN:
        raise click.UsageError(f"{_TOKEN} must have at least {listening.SHORTEST_TOKEN} characters.")
    try:
        address = listening.parse_address(listen)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--listen") from None
    if not address.is_loopback and token is None:
        raise click.UsageError(
            f"{visible(listen)} can be reached from elsewhere: set {_TOKEN} first, or listen on 127.0.0.1."
        )
    if address.is_everywhere and origin is None:
        raise click.UsageError("this listens on every address: say with --origin by which one people open it.")
    waiting = "://" not in db and not Path(db).exists()  # for the first call, which makes the trail
    if not waiting:
        with trail(db):  # what is there must be a trail
            pass
    loaded = None if policy is None else policies.PolicyFile(policy)
    with serve.listen(address) as place:
        bound = listening.Address(address.host, place.getsockname()[1])
        try:
            names = listening.names_for(bound, origin)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--origin") from None
        made = app.Console(db, approver, names, login.Login(token), loaded, public_key, announce=_announce)
        click.echo(f"Aegis console for {visible(made.trail.path)}, answering as {visible(approver)}. Ctrl-C ends it.")
        if waiting:
            click.echo("There is no trail yet; what happens on it will be seen here.")
        serve.serve(made, place)
    return 0


def _announce(link: str) -> None:
    """Print a login link. It must reach whoever waits for it, also through a pipe."""
    with contextlib.suppress(OSError):  # nobody reads what we print any more; who is logged in shall stay so
        click.echo(f"Log in, once, with this link: {link}")
