"""``param_shell``: which programs a command line runs.

Two readings must agree: a grammar of plain command lines (words, quotes, ``|``, ``&&``, ``||``, ``;``, ``&``, line
breaks, subshells) and the bash grammar of tree-sitter. Everything else a shell does is undecided: expansions,
redirections, assignments, backslashes, braces, comments, functions, control flow.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from aegis_core.policy.arguments.programs import hands_over, is_interpreter, may_hand_over
from aegis_core.policy.arguments.verdict import ArgumentSpec, ArgumentTest, MissingExtra, Verdict, Words
from aegis_core.policy.conditions.truth import all_of
from aegis_core.policy.names import fold

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["ShellCondition", "ShellSpec"]

_MAX_COMMANDS = 64  # the parser's time grows with the square of a pipeline's length
_WORD = (
    r"""(?!\#)(?:[^\s\x00-\x1f\x7f'"\\$`!{}<>|&;()]++"""  # bare
    r"""|'[^'\x00-\x08\x0b-\x1f\x7f]*+'"""
    r"""|"[^"\\$`!\x00-\x08\x0b-\x1f\x7f]*+")++"""
)
# One simple command and what separates it from the next. Between commands, parentheses make subshells; within one
# they are refused.
_COMMAND = re.compile(rf"({_WORD})((?:[ \t]++{_WORD})*+)[ \t]*+(?:[|&;\n)][ \t\n|&;()]*+|\Z)")
_ARGUMENT = re.compile(_WORD)
_QUOTE = re.compile(r"""'([^']*+)'|"([^"]*+)\"""")
_STRUCTURE = frozenset(("list", "pipeline", "subshell"))
_PROGRAM = re.compile(r"[A-Za-z0-9_./+][A-Za-z0-9_./+\-]*")
_MEANINGFUL = "|&;<>()$`\\\"'{}#!~*?[] "


class ShellSpec(ArgumentSpec):
    """What a command line may run."""

    programs: Words = Field(
        description=(
            "Programs: the first word of every command in the line must be one of them, literally. 'git' does not "
            "cover '/tmp/git': list a path to allow a path. Only the program is judged, not its arguments, by which "
            "many a program can be made to run another (git, tar, awk). Wrappers such as env, xargs, sudo or bash "
            "are undecided even when listed."
        )
    )

    @field_validator("programs")
    @classmethod
    def _names(cls, programs: tuple[str, ...]) -> tuple[str, ...]:
        for program in programs:
            if not _PROGRAM.fullmatch(program):
                raise ValueError(
                    f"{program!r} is not a program; write its name ('git') or path ('/usr/bin/git') without arguments"
                )
        return programs


class ShellCondition(ArgumentTest):
    """A compiled `ShellSpec`.

    Raises:
        MissingExtra: If tree-sitter or its bash grammar is not installed.
    """

    __slots__ = ("_folded", "_idle", "_known", "_language", "_parser", "_programs")

    limit = 4096

    def __init__(self, spec: ShellSpec) -> None:
        try:  # loaded when a policy first uses them: a parser and its tables, compiled
            from tree_sitter import Language, Parser  # noqa: PLC0415
            from tree_sitter_bash import language  # noqa: PLC0415
        except ImportError:
            raise MissingExtra("param_shell", "shell") from None
        self._programs = frozenset(spec.programs)
        self._folded = frozenset(_base_name(program) for program in spec.programs)
        # The verdict on the usual case, known beforehand: a listed program whose name says all.
        self._known: dict[str, Verdict] = {
            program: (True, "every program is listed", program)
            for program in spec.programs
            if not may_hand_over(_base_name(program))
        }
        self._language = Language(language())
        self._parser = Parser
        self._idle: list[Parser] = []

    def _look(self, value: str) -> Verdict:
        if not value.isascii() and _turns_meaningful(value):
            return None, "it has a look-alike of a character that means something to a shell, or an invisible one", ""
        commands = _commands(value)
        if commands is None:
            return None, "something in it is expanded, redirected, assigned, escaped, commented or misplaced", ""
        if not 0 < len(commands) <= _MAX_COMMANDS:
            return None, f"it holds no command, or more than {_MAX_COMMANDS}", ""
        text = value.encode()
        try:  # A parser holds the state of a parse, so threads must not share one; making one takes as long as parsing.
            parser = self._idle.pop()
        except IndexError:
            parser = self._parser(self._language)
        root = parser.parse(text).root_node
        self._idle.append(parser)
        starts = [start for start, _, _ in commands]
        if len(text) != len(value):
            starts = [len(value[:start].encode()) for start in starts]
        if root.has_error or _starts(root) != starts:
            return None, "the grammar of bash finds other commands in it", ""
        known = self._known
        verdicts = [known.get(word) or self._runs(word, arguments) for _, word, arguments in commands]
        if len(verdicts) == 1:
            return verdicts[0]
        truths = [verdict[0] for verdict in verdicts]
        truth = all_of(truths)
        if truth in truths:
            return verdicts[truths.index(truth)]
        return None, "some of its programs are listed and others are not", verdicts[truths.index(False)][2]

    def _runs(self, word: str, arguments: str) -> Verdict:
        """Whether one simple command is known to run a listed program."""
        program = _unquoted(word)
        if not _PROGRAM.fullmatch(program):
            return None, "a program's name is not plain", program
        name = _base_name(program)
        if hands_over(name, arguments and [_unquoted(argument) for argument in _ARGUMENT.findall(arguments)]):
            return None, "a program runs whatever its arguments say", name
        if program in self._programs:
            return True, "every program is listed", program
        if name in self._folded:
            return None, "a program has the name of a listed one, but another path or spelling", program
        if is_interpreter(name):
            return None, "a program that is not listed can run others", name
        return False, "no program is listed", program


def _commands(line: str) -> list[tuple[int, str, str]] | None:
    """Every simple command of a plain line: where it begins, its first word, the rest as written. Else None."""
    commands: list[tuple[int, str, str]] = []
    position = len(line) - len(line.lstrip(" \t\n("))
    for found in _COMMAND.finditer(line, position):
        start = found.start()
        if start != position:
            return None
        commands.append((start, found[1], found[2]))
        position = found.end()
    return commands if position == len(line) else None


def _starts(root: Node) -> list[int] | None:
    """Where the grammar of bash sees simple commands begin, or None if it sees anything but lists of them."""
    starts: list[int] = []
    pending = [root]
    while pending:
        for child in pending.pop().named_children:
            kind = child.type
            if kind == "command":
                starts.append(child.start_byte)
            elif kind in _STRUCTURE:
                pending.append(child)
            else:
                return None
    starts.sort()
    return starts


def _unquoted(word: str) -> str:
    return _QUOTE.sub(r"\1\2", word) if "'" in word or '"' in word else word


def _base_name(program: str) -> str:
    return fold(program).rpartition("/")[2].removesuffix(".exe")


def _turns_meaningful(line: str) -> bool:
    normal = unicodedata.normalize("NFKC", line)
    return not line.replace("\n", "").replace("\t", "").isprintable() or any(
        normal.count(character) != line.count(character) for character in _MEANINGFUL
    )
