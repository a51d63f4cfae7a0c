"""Plain command lines: words, quotes without anything special inside, and what stands between commands.

They are read by patterns and by the bash grammar of tree-sitter, which must see the same commands. A line of bare words
is one command to anybody; test_shell.py holds it to the same answer.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from tree_sitter import Language, Parser
from tree_sitter_bash import language

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["LineReader"]

_MAX_COMMANDS = 64  # the parser's time grows with the square of a pipeline's length
_STRUCTURE = frozenset(("list", "pipeline", "subshell"))

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
# A word and arguments none of which has a character that means anything to a shell: one command whatever the grammar,
# unless the word itself is part of the grammar.
_BARE = re.compile(r"([a-z][A-Za-z0-9_./+-]*+)((?: [A-Za-z0-9_./+:,@=-]++)*+)")
_KEYWORDS = frozenset((
    "case", "coproc", "declare", "do", "done", "elif", "else", "esac", "export", "fi", "for", "function", "if", "in",
    "local", "readonly", "select", "then", "time", "typeset", "unset", "unsetenv", "until", "while",
))  # fmt: skip
_MEANINGFUL = "|&;<>()$`\\\"'{}#!~*?[] "


class LineReader:
    """Reads command lines."""

    __slots__ = ("_idle", "_language")

    def __init__(self) -> None:
        self._language = Language(language())
        # A parser holds the state of a parse, so threads must not share one; making one takes as long as parsing.
        self._idle: list[Parser] = []

    def read(self, line: str) -> list[tuple[str, str]] | str:
        """The simple commands of a plain line, each as its first word and the rest, as written; or why it is none."""
        bare = _BARE.fullmatch(line)
        if bare is not None and bare[1] not in _KEYWORDS:
            return [(bare[1], bare[2])]
        return self.read_twice(line)

    def read_twice(self, line: str) -> list[tuple[str, str]] | str:
        """The same by patterns and grammar, which must agree, however bare the line."""
        if not line.isascii() and _looks_special(line):
            return "it has a look-alike of a character that means something to a shell, or an invisible one"
        commands = _simple_commands(line)
        if commands is None:
            return "something in it is expanded, redirected, assigned, escaped, commented or misplaced"
        if not 0 < len(commands) <= _MAX_COMMANDS:
            return f"it holds no command, or more than {_MAX_COMMANDS}"
        starts = [start for start, _, _ in commands]
        if not line.isascii():
            starts = [len(line[:start].encode()) for start in starts]
        if self._starts(line) != starts:
            return "the grammar of bash finds other commands in it"
        return [(word, rest) for _, word, rest in commands]

    @staticmethod
    def unquoted(word: str) -> str:
        """A word without its quotes."""
        return _QUOTE.sub(r"\1\2", word) if "'" in word or '"' in word else word

    @classmethod
    def arguments(cls, rest: str) -> list[str]:
        """The words of the rest of a command, without their quotes."""
        return [cls.unquoted(word) for word in _ARGUMENT.findall(rest)]

    def _starts(self, line: str) -> list[int] | None:
        """Where the grammar of bash sees simple commands begin, or None if it sees anything but lists of them."""
        try:
            parser = self._idle.pop()
        except IndexError:
            parser = Parser(self._language)
        root = parser.parse(line.encode()).root_node
        self._idle.append(parser)
        return None if root.has_error else _command_starts(root)


def _simple_commands(line: str) -> list[tuple[int, str, str]] | None:
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


def _command_starts(root: Node) -> list[int] | None:
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


def _looks_special(line: str) -> bool:
    """Whether a line has invisible characters, or look-alikes of some that mean something to a shell."""
    normal = unicodedata.normalize("NFKC", line)
    return not line.replace("\n", "").replace("\t", "").isprintable() or any(
        normal.count(character) != line.count(character) for character in _MEANINGFUL
    )
