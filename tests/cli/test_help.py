"""The help of every command, as it is printed."""

from __future__ import annotations

import click
import pytest

from aegis.cli.group import _aegis


def every_command() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    pending: list[tuple[str, click.Command]] = [("aegis", _aegis)]
    while pending:
        name, command = pending.pop()
        found.append((name, command))
        if isinstance(command, click.Group):
            context = click.Context(command)
            inner = [(each, command.get_command(context, each)) for each in command.list_commands(context)]
            pending += [(f"{name} {each}", known) for each, known in inner if known is not None]
    return found


@pytest.mark.parametrize(
    ("name", "command"), every_command(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_help_shows_examples_as_they_are_written(name: str, command: click.Command) -> None:
    said = command.get_help(click.Context(command, info_name=name))
    assert "\\b" not in said, "click's mark for a block that is not to be wrapped must be the character, not two"
