"""``aegis db``: the tables of a trail."""

from __future__ import annotations

import click

from aegis.cli.audit_options import db_option
from aegis_core.audit.sqlite import AuditLogger

__all__ = ["db"]


@click.group()
def db() -> None:
    """Look after the database of the trail."""


@db.command()
@db_option
def upgrade(db: str) -> None:
    """Create the tables of the trail, or bring them up to date.

    Safe while others write, and when several start it together. In PostgreSQL, run it as the tables' owner.
    """
    with AuditLogger(db) as logger:
        before, after = logger.upgrade()
    if before == after:
        click.echo(f"{logger.path} has schema {after} already")
    else:
        click.echo(
            f"{logger.path}: schema {after} was created" if not before else f"{logger.path}: {before} -> {after}"
        )
