"""What must hold of an SQL text's tokens before the parser sees them: that it will neither run for ever nor overflow.

sqlglot 30 tries one reading of a bracket or a join, falls back, and parses what is inside again: every level may double
the time. It descends recursively in compiled code, where depth is no exception but the end of the process. The bounds
are held by the hostile shapes in the tests, which also say how far a thread's stack must reach.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot.tokenizer_core import TokenType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot.dialects.dialect import Dialect
    from sqlglot.tokenizer_core import Token

__all__ = ["Shape"]

_MAX_DEPTH = 16
_MAX_TOKENS = 4000
_MAX_WORK = 1 << 16  # tokens, each counted double for every bracket and every join without a condition around it
_LONG_ROW = re.compile(rb"[^,;)\]vN]{21}")  # the parser may descend at each, for none of these ends an expression

# Tokens are looked at as bytes, one a token: what a pattern can find, and `v` for values and names, `.` for the rest.
_CODES = {
    **dict.fromkeys((TokenType.IDENTIFIER, TokenType.NUMBER, TokenType.STRING, TokenType.VAR), b"v"),
    **dict.fromkeys((TokenType.JOIN, TokenType.STRAIGHT_JOIN), b"J"),
    **dict.fromkeys((TokenType.ON, TokenType.USING), b"O"),
    TokenType.L_PAREN: b"(",
    TokenType.R_PAREN: b")",
    TokenType.L_BRACKET: b"[",
    TokenType.R_BRACKET: b"]",
    TokenType.L_BRACE: b"{",
    TokenType.R_BRACE: b"}",
    TokenType.CASE: b"C",
    TokenType.END: b"E",
    TokenType.COMMA: b",",
    TokenType.SEMICOLON: b";",
    TokenType.LT: b"<",
    TokenType.NOT: b"!",
    TokenType.NULL: b"N",
    TokenType.ANY: b"y",
    TokenType.ARROW: b">",
    TokenType.INTERVAL: b"i",
    TokenType.NEXT: b"n",
    TokenType.PARAMETER: b"@",
}
# Constructs that nest without brackets, or whose price grows with the square of their number: how many are too many.
_TOO_MANY = {b"y": 48, b">": 48, b"[": 48, b"i": 48, b"@": 48, b"n": 12, b"!": 64, b"t<": 12}
_CLOSED_BY = {ord(")"): ord("("), ord("]"): ord("["), ord("}"): ord("{"), ord("E"): ord("C")}
_NESTING = re.compile(rb"[()\[\]{}CEJO;]")


class Shape:
    """The check for one dialect."""

    __slots__ = ("_codes", "_commands", "_special")

    def __init__(self, dialect: Dialect) -> None:
        types = dialect.parser_class.TYPE_TOKENS
        codes = (_CODES.get(kind, b"t" if kind in types else b".") for kind in TokenType)
        self._codes = b"".join((b".", *codes))  # by number, and the first has the number 1
        # Functions with a grammar of their own: the parser takes a quoted name for them, too.
        self._special = frozenset(dialect.parser_class.FUNCTION_PARSERS)
        # Statements the parser keeps as text, and complains about in a log that is not ours.
        self._commands = frozenset(dialect.tokenizer_class.COMMANDS)

    def problem(self, tokens: Sequence[Token]) -> str | None:
        """Why the tokens of a text must not reach the parser, or None."""
        if len(tokens) > _MAX_TOKENS:
            return f"it has more than {_MAX_TOKENS} words"
        kinds = [token.token_type for token in tokens]
        table = self._codes
        codes = bytes([table[kind] for kind in kinds])
        return self._misread(tokens, kinds) or _costly(codes)

    def _misread(self, tokens: Sequence[Token], kinds: list[TokenType]) -> str | None:
        """What the parser would take for something else, or keep as text."""
        seen = set(kinds)
        if not self._commands.isdisjoint(seen):
            for before, kind in zip((TokenType.SEMICOLON, *kinds), kinds, strict=False):
                if before is TokenType.SEMICOLON and kind in self._commands:
                    return "it begins a statement that is not judged"
        if TokenType.IDENTIFIER in seen:
            for index in range(1, len(kinds)):
                quoted = kinds[index] is TokenType.L_PAREN and kinds[index - 1] is TokenType.IDENTIFIER
                if quoted and tokens[index - 1].text.upper() in self._special:
                    return "it quotes the name of a function"
        return None


def _costly(codes: bytes) -> str | None:
    """What would take the parser, or the stack it runs on, too far."""
    if _LONG_ROW.search(codes):
        return "it has a long row of words or signs with nothing between them"
    counts = {code: codes.count(code) for code in _TOO_MANY}
    counts[b"!"] -= codes.count(b"!N")  # NOT NULL is no prefix
    if any(count > _TOO_MANY[code] for code, count in counts.items()):
        return "it has too many of one construct for the parser"
    depth = sum(map(codes.count, (b"(", b"[", b"{", b"C", b"J")))
    if depth <= _MAX_DEPTH and len(codes) << depth <= _MAX_WORK:
        return None  # even if all of them were nested
    return _deep(codes)


def _deep(codes: bytes) -> str | None:
    # Per open bracket, what it is and the joins around it that still miss their condition.
    pending: list[tuple[int, int]] = []
    joins = work = counted = 0
    for found in _NESTING.finditer(codes):
        position, code = found.start(), codes[found.start()]
        work += (position - counted) << min(len(pending) + joins, 20)
        counted = position
        if code in b"([{C":
            pending.append((code, joins))
            if len(pending) > _MAX_DEPTH:
                return f"it is nested more than {_MAX_DEPTH} deep"
        elif pending and pending[-1][0] == _CLOSED_BY.get(code):
            joins = pending.pop()[1]
        elif code == ord("J"):
            joins += 1
        elif code == ord("O"):
            joins = max(joins - 1, 0)
        elif code == ord(";"):
            joins = 0
    work += (len(codes) - counted) << min(len(pending) + joins, 20)
    return "it would take the parser too long" if work > _MAX_WORK else None
