"""The group of all commands: loads the one that is named, and turns every error into a sentence and an exit code."""

from __future__ import annotations

import gc
import io
import os
import sys
from importlib import import_module
from pathlib import Path

import click

from aegis import __version__
from aegis.cli import COMMANDS
from aegis.errors import AegisError, AuditError, PolicyError

__all__ = ["run"]


class _Commands(click.Group):
    """Loads a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        gc.enable()  # see `aegis.cli.main`
        for each in (command, *getattr(command, "commands", {}).values()):
            # Raw docstrings hold click's mark for a block that is not to be wrapped as two characters.
            each.help = each.help and each.help.replace("\\b\n", "\b\n")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in sorted(COMMANDS)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches  # noqa: PLC0415 - only a mistyped command needs it

            close = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean '{close[0]}'?" if close and "Did you mean" not in error.message else ""
            raise click.UsageError(error.message + hint, ctx) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="aegis", message="%(prog)s %(version)s")
def _aegis() -> None:
    """Governance for AI agents' tool calls.

    A policy decides every call: auto (it runs), approve (a person says yes first) or block. Every decision and outcome
    is on an audit trail.

    Exit codes: 0 fine; 1 findings, refused or verification failed; 2 usage or unreadable input; 3 store or server
    failure; 130 interrupted.
    """


def run() -> None:
    """Run the command line; every error becomes a sentence on standard error and an exit code."""
    code: object = None
    _open_streams()
    try:
        code = _aegis.main(prog_name="aegis", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        _leave("interrupted", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except PolicyError as error:
        _leave(str(error), 2)
    except AuditError as error:
        _leave(str(error), 3)
    except AegisError as error:
        _leave(str(error), 1)
    except KeyboardInterrupt:
        _leave("interrupted", 130)
    except BrokenPipeError:
        # The reader (`| head`) has had enough: point stdout elsewhere so that the interpreter's own flush stays quiet.
        # Nobody knows what the rest would have said, so this is not 0; click leaves with 1 as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _leave(f"{error.filename or 'input/output'}: {error.strerror or error}", 3)
    sys.exit(code if isinstance(code, int) else 0)


def _open_streams() -> None:
    """Give every standard stream a place to go and a way to write every character.

    A closed one would leave its number to the next file that is opened, which may be the trail.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            opened = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - as long as we run
            setattr(sys, name, opened)
        elif mode == "w" and isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
            import codecs  # noqa: PLC0415 - few terminals are not UTF-8

            codecs.register_error("aegis-escaped", _escaped)
            stream.reconfigure(errors="aegis-escaped")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, as JSON would escape it: right in JSON, and readable elsewhere."""
    import json  # noqa: PLC0415 - as above

    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _leave(message: str, code: int) -> None:
    from aegis_core.text import visible  # noqa: PLC0415 - only a failing command needs it

    click.echo("\n".join("aegis: " + visible(line) for line in message.splitlines() or [""]), err=True)
    sys.exit(code)
