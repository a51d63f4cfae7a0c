"""``aegis audit verify``, ``export``, ``prune``, ``keygen`` and ``checkpoint``: what makes a trail evidence."""

from __future__ import annotations

import sys
from datetime import datetime  # noqa: TC003 - click reads annotations
from typing import TYPE_CHECKING, Any

import click
import orjson

from aegis.cli import audit_view as view
from aegis.cli.audit_options import (
    Time,
    db_option,
    filters,
    json_option,
    key_option,
    out,
    output_option,
    readable,
    spare_trail,
    trail,
)
from aegis_core.audit.chainfile import verify_file
from aegis_core.audit.checkpoint import load_statements
from aegis_core.audit.signing import PublicKey, generate
from aegis_core.text import visible

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_core.audit.verify import Verification

__all__ = ["COMMANDS"]


@click.command()
@db_option
@json_option
@click.option("--public-key", metavar="FILE", help="Check the signatures of checkpoints with this key.")
@click.option("--checkpoints", metavar="FILE", help="Checkpoints that were kept elsewhere.")
@click.option("--chain", metavar="FILE", help="Check this export (aegis audit export --chain) instead of a trail.")
def verify(db: str, public_key: str | None, checkpoints: str | None, chain: str | None, *, as_json: bool) -> int:
    """Check the chain of the trail.

    Whatever was edited, removed or reordered is named.

    What was cut off or recomputed after the last checkpoint cannot be seen: make checkpoints, and keep them elsewhere.

    Exit codes: 0 nothing is wrong; 1 something is; 2 a file cannot be read.
    """
    with readable():
        if chain is not None:
            key = PublicKey.load(public_key) if public_key else None
            found = verify_file(chain, public_key=key, checkpoints=load_statements(checkpoints) if checkpoints else ())
        else:
            with trail(db) as logger:
                found = logger.verify(public_key=public_key, checkpoints=checkpoints)
    if as_json:
        view.write_json(_report(found), sys.stdout)
    else:
        for wrong in found.breaks:
            click.echo(f"{click.style(wrong.kind, fg='red', bold=True)}: {visible(wrong.message)}")
        for note in found.notes:
            click.echo(f"note: {visible(note)}")
        verdict = click.style("verified", fg="green") if found.ok else click.style("NOT VERIFIED", fg="red", bold=True)
        what = f"{found.rows} rows, {found.checkpoints} checkpoints"
        click.echo(f"{verdict}: {what}" + (f", {len(found.breaks)} breaks" if found.breaks else ""))
    return 0 if found.ok else 1


def _report(found: Verification) -> dict[str, Any]:
    return {
        "ok": found.ok,
        "chain": found.chain,
        "rows": found.rows,
        "first": found.first,
        "last": found.last,
        "head": found.head,
        "checkpoints": found.checkpoints,
        "breaks": [
            {"kind": wrong.kind, "first": wrong.first, "last": wrong.last, "message": wrong.message}
            for wrong in found.breaks
        ],
        "notes": found.notes,
    }


@click.command()
@db_option
@click.option("--format", "kind", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@output_option
@click.option("--chain", is_flag=True, help="Write the rows as they are chained: what `verify --chain` checks.")
@filters
def export(db: str, kind: str, output: Path | None, *, chain: bool, **filters: Any) -> int:
    """Write calls, or the chain, to a file.

    Oldest first, to FILE or standard output. Memory stays small however long the trail is.
    """
    with trail(db) as logger:
        if chain:
            if any(value is not None for value in filters.values()):
                raise click.UsageError("a chain is exported whole: --chain takes no filters")
            spare_trail(logger, output)
            count = logger.export_chain("/dev/stdout" if output is None else output)
        else:
            with out(output, beside=logger) as file:
                count = view.write_entries(logger.chunks(**filters), kind, file)
    click.echo(f"{count} {'rows' if chain else 'calls'} exported", err=True)
    return 0


@click.command()
@db_option
@key_option
@click.option("--before", required=True, type=Time(), help="Remove what is older: a time (UTC) or an age: 90d.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def prune(db: str, key: str, before: datetime, *, yes: bool) -> int:
    """Remove the oldest rows; leave a signed cut.

    Calls still running stay.
    """
    with trail(db) as logger:
        count = logger.count(until=before)
        if count and not yes:
            click.confirm(
                f"Remove about {count} calls from before {before.isoformat()} for good?", abort=True, err=True
            )
        cuts = logger.prune(before, key)
    if not cuts:
        click.echo("nothing is that old")
    for cut in cuts:
        whose = f" of chain {cut.chain}" if len(cuts) > 1 else ""
        click.echo(f"rows up to {cut.seq}{whose} removed; the cut is on the trail, signed by {cut.key}")
    return 0


@click.command()
@click.option("-o", "--output", default="aegis_signing.key", show_default=True, metavar="FILE")
def keygen(output: str) -> int:
    """Make a key pair to sign with.

    FILE, which stays private, and FILE.pub.
    """
    with readable():
        private, public, name = generate(output)
    click.echo(f"private key: {visible(private)} (keep it where who writes the trail cannot read it)")
    click.echo(f"public key:  {visible(public)} (id {name})")
    return 0


@click.command()
@db_option
@key_option
@output_option
def checkpoint(db: str, key: str, output: Path | None) -> int:
    """Sign the present state of the trail.

    The statement is appended to FILE, or printed. Keep it elsewhere.
    """
    with trail(db) as logger:
        spare_trail(logger, output)
        statement = orjson.dumps(logger.checkpoint(key).as_dict(), option=orjson.OPT_APPEND_NEWLINE)
    if output is None:
        click.echo(statement, nl=False)
        return 0
    try:
        with output.open("ab") as file:
            file.write(statement)
    except OSError as error:
        raise click.ClickException(f"cannot write {visible(str(output))!r}: {error.strerror}") from error
    return 0


COMMANDS = (verify, export, prune, keygen, checkpoint)
