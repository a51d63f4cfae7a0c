"""``param_shell``: which programs a command line runs.

Two readings must agree: a grammar of plain command lines (words, quotes, ``|``, ``&&``, ``||``, ``;``, ``&``, line
breaks, subshells) and the bash grammar of tree-sitter. Everything else a shell does is undecided: expansions,
redirections, assignments, backslashes, braces, comments, functions, control flow.
"""

from __future__ import annotations

import re

from aegis_core.policy.arguments.verdict import ArgumentTest, MissingExtra, Verdict, words, words_read_by
from aegis_core.policy.conditions.truth import all_of
from aegis_core.policy.names import fold
from aegis_core.policy.reading import Document, key

__all__ = ["ShellCondition", "ShellSpec"]

_PROGRAM = re.compile(r"[A-Za-z0-9_./+][A-Za-z0-9_./+\-]*")


def _programs(value: object) -> tuple[str, ...]:
    programs = words(value)
    for program in programs:
        if not _PROGRAM.fullmatch(program):
            raise ValueError(
                f"{program!r} is not a program; write its name ('git') or path ('/usr/bin/git') without arguments"
            )
    return programs


class ShellSpec(Document):
    """What a command line may run."""

    programs: tuple[str, ...] = key(
        words_read_by(_programs),
        "Programs: the first word of every command in the line must be one of them, literally. 'git' does not cover "
        "'/tmp/git': list a path to allow a path. Only the program is judged, not its arguments, by which many a "
        "program can be made to run another (git, tar, awk). Wrappers such as env, xargs, sudo or bash are undecided "
        "even when listed.",
    )


class ShellCondition(ArgumentTest):
    """A compiled `ShellSpec`.

    Raises:
        MissingExtra: If tree-sitter or its bash grammar is not installed.
    """

    __slots__ = ("_folded", "_is_interpreter", "_known", "_programs", "_reader", "_wraps")

    limit = 4096

    def __init__(self, spec: ShellSpec) -> None:
        try:  # The parser is C, and loaded when a policy first uses it.
            from aegis_core.policy.arguments.shell_line import LineReader  # noqa: PLC0415
        except ModuleNotFoundError:
            raise MissingExtra("param_shell", "shell") from None
        from aegis_core.policy.arguments.shell_programs import is_interpreter, may_wrap, wraps  # noqa: PLC0415

        self._reader = LineReader()
        self._wraps = wraps
        self._is_interpreter = is_interpreter
        self._programs = frozenset(spec.programs)
        self._folded = frozenset(_base_name(program) for program in spec.programs)
        # The verdict on the usual case, known beforehand: a listed program whose name says all.
        self._known: dict[str, Verdict] = {
            program: (True, "every program is listed", program)
            for program in spec.programs
            if not may_wrap(_base_name(program))
        }

    def _look(self, value: str) -> Verdict:
        commands = self._reader.read(value)
        if isinstance(commands, str):
            return None, commands, ""
        known = self._known
        verdicts = [known.get(word) or self._runs(word, rest) for word, rest in commands]
        if len(verdicts) == 1:
            return verdicts[0]
        truths = [verdict[0] for verdict in verdicts]
        truth = all_of(truths)
        if truth in truths:
            return verdicts[truths.index(truth)]
        return None, "some of its programs are listed and others are not", verdicts[truths.index(False)][2]

    def _runs(self, word: str, rest: str) -> Verdict:
        """Whether one simple command is known to run a listed program."""
        program = self._reader.unquoted(word)
        if not _PROGRAM.fullmatch(program):
            return None, "a program's name is not plain", program
        name = _base_name(program)
        if self._wraps(name, self._reader.arguments(rest)):
            return None, "a program runs whatever its arguments say", name
        if program in self._programs:
            return True, "every program is listed", program
        if name in self._folded:
            return None, "a program has the name of a listed one, but another path or spelling", program
        if self._is_interpreter(name):
            return None, "a program that is not listed can run others", name
        return False, "no program is listed", program


def _base_name(program: str) -> str:
    return fold(program).rpartition("/")[2].removesuffix(".exe")
