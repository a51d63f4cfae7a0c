"""The option that says where the trail is: apart from the other options of trails, so that a proxy loads only this."""

from __future__ import annotations

import click

__all__ = ["db_option"]

db_option = click.option(
    "--db", envvar="AEGIS_DB", default="aegis_audit.db", show_default=True, metavar="FILE",
    help="The trail ($AEGIS_DB).",
)  # fmt: skip
