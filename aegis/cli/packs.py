"""``aegis packs``: ready-made policies for well-known servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aegis.workbench.packs import Pack, add_pack, all_packs, filled_pack, read_pack
from aegis_core.policy.include import OPTIONS
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["packs"]

_MEANING = {
    "server": "What the server is called: the target of its calls.",
    "root": "A folder to allow.",
    "host": "A host to allow, such as docs.example.com or *.example.com.",
    "domain": "A mail domain to allow.",
    "channel": "A channel to allow, by its id.",
}


def _fillable(command: Callable[..., int]) -> Callable[..., int]:
    """Gives a command one option for everything that can be filled in in packs."""
    for name in reversed(OPTIONS):
        text = f"{_MEANING[name]} Repeat for more."
        command = click.option(f"--{name}", multiple=True, metavar=name.upper(), help=text)(command)
    return command


@click.group()
def packs() -> None:
    """Ready-made policies for well-known MCP servers, each with its tests.

    A policy includes one by its name (include: [git]), or `add` copies one to be edited.
    """


@packs.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array, an object a pack.")
def list_packs(*, as_json: bool) -> int:
    """List the packs, what they are for and what can be filled in.

    Exit codes: 0 always.
    """
    found = all_packs()
    if as_json:
        rows = [
            {"name": p.name, "summary": p.summary, "options": {k: list(v) for k, v in p.options.items()}} for p in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return 0
    width = max(len(pack.name) for pack in found)
    for pack in found:
        allows = ", ".join(f"--{name}" for name in pack.options)
        click.echo(f"{click.style(f'{pack.name:{width}}', bold=True)}  {pack.summary.partition('. ')[0]}. ({allows})")
    return 0


@packs.command()
@click.argument("name")
@click.option("--tests", is_flag=True, help="Print its tests instead.")
@_fillable
def show(name: str, *, tests: bool, **given: Any) -> int:
    """Print the policy of the pack NAME, with these options filled in.

    Exit codes: 0 printed; 2 no such pack or option.
    """
    click.echo(filled_pack(read_pack(name), _given(given))[1 if tests else 0], nl=False)
    return 0


@packs.command()
@click.argument("name")
@click.option("--to", "folder", type=click.Path(path_type=Path), default=Path(), help="The folder; default: this one.")
@click.option("--force", is_flag=True, help="Replace files of the same name.")
@_fillable
def add(name: str, *, folder: Path, force: bool, **given: Any) -> int:
    r"""Copy the pack NAME and its tests into a folder, with these options filled in, and run the tests there.

    \b
        aegis packs add filesystem --root /srv/reports --root /srv/drafts
        aegis packs add fetch --host '*.example.com' --to policies

    The copy is yours: edit it, and keep its tests with it.

    Exit codes: 0 added, and its tests hold; 1 added, and some of its tests do not hold with these options; 2 no such
    pack or option, or a file is there already.
    """
    pack = read_pack(name)
    policy, failed = add_pack(pack, _given(given), folder, replace=force)
    click.echo(f"{visible(str(policy))}: added, with its tests beside it")
    _say_what_stands(pack, given)
    for case in failed:
        click.echo(f"  {click.style('does not hold', fg='red')} with these options: {visible(case.name)}")
    return 1 if failed else 0


def _say_what_stands(pack: Pack, given: dict[str, Any]) -> None:
    """What was left as it comes, so that nobody takes an example for his own."""
    for name, values in pack.options.items():
        if not given[name]:
            click.echo(f"  --{name} is left as it comes: {', '.join(values)}")


def _given(values: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {name: given for name, given in values.items() if given}
