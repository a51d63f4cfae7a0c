"""``aegis schema``: the JSON Schema of policy files."""

from __future__ import annotations

import click

from aegis.workbench.schema import SCHEMA_FILE

__all__ = ["schema"]


@click.command()
@click.option("--path", is_flag=True, help="Print where the schema's file is, instead of the schema.")
def schema(*, path: bool) -> int:
    r"""Print the JSON Schema (2020-12) of policy files, with which editors complete and check them.

    Name it in the first line of a policy; editors with yaml-language-server (VS Code, Neovim, JetBrains, ...) read it:

    \b
        aegis schema > policy.schema.json
        # yaml-language-server: $schema=policy.schema.json

    A schema cannot say everything: `aegis validate` does, and `aegis lint` more.
    """
    click.echo(str(SCHEMA_FILE) if path else SCHEMA_FILE.read_text(encoding="utf-8"), nl=path)
    return 0
