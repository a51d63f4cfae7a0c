"""What must hold of an SQL text's tokens before the parser sees them: that it will neither run for ever nor overflow.

sqlglot 30 tries one reading of a bracket or a join, falls back, and parses what is inside again: every level may double
the time. It descends recursively in compiled code, where depth is no exception but the end of the process. The bounds
are held by the hostile shapes in the tests, which also say how far a thread's stack must reach.
"""

from __future__ import annotations

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
_MAX_ROW = 20
# Constructs that nest without brackets, or whose price grows with the square of their number.
_MAX_OF = {
    **dict.fromkeys((TokenType.ANY, TokenType.ARROW, TokenType.INTERVAL, TokenType.L_BRACKET, TokenType.PARAMETER), 48),
    TokenType.NEXT: 12,
    TokenType.NOT: 64,  # NOT NULL aside
}
_MAX_ANGLES = 12  # of types: ARRAY<ARRAY<...>>
_PREFIX_NAMES = frozenset(("CONNECT_BY_ROOT", "PRIOR", "VARIADIC"))
_MAX_PREFIX_NAMES = 4

_OPENING = frozenset((TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE))
_CLOSING = {
    TokenType.R_PAREN: TokenType.L_PAREN,
    TokenType.R_BRACKET: TokenType.L_BRACKET,
    TokenType.R_BRACE: TokenType.L_BRACE,
    TokenType.END: TokenType.CASE,
}
_JOINS = frozenset((TokenType.JOIN, TokenType.STRAIGHT_JOIN))
_CONDITIONS = frozenset((TokenType.ON, TokenType.USING))
# What ends a row of prefixes: between two of these the parser does not descend.
_OPERANDS = frozenset(
    (
        *(TokenType.COMMA, TokenType.IDENTIFIER, TokenType.NULL, TokenType.NUMBER, TokenType.R_BRACKET),
        *(TokenType.R_PAREN, TokenType.SEMICOLON, TokenType.STRING, TokenType.VAR),
    )
)
_AFTER_IF = frozenset((TokenType.L_PAREN, TokenType.NOT, TokenType.EXISTS))


class Shape:
    """The check for one dialect."""

    __slots__ = ("_commands", "_special", "_types")

    def __init__(self, dialect: Dialect) -> None:
        self._types = frozenset(dialect.parser_class.TYPE_TOKENS)
        # Functions with a grammar of their own: the parser takes a quoted name for them, too.
        self._special = frozenset(dialect.parser_class.FUNCTION_PARSERS)
        # Statements the parser keeps as text, and complains about in a log that is not ours.
        self._commands = frozenset(dialect.tokenizer_class.COMMANDS)

    def problem(self, tokens: Sequence[Token]) -> str | None:
        """Why the tokens of a text must not reach the parser, or None."""
        if len(tokens) > _MAX_TOKENS:
            return f"it has more than {_MAX_TOKENS} words"
        return self._misread(tokens) or self._costly(tokens)

    def _misread(self, tokens: Sequence[Token]) -> str | None:
        """What the parser would take for something else, or fall back from."""
        before: TokenType | None = TokenType.SEMICOLON
        word = ""
        row = prefixes = 0
        for token in tokens:
            kind = token.token_type
            if before is TokenType.SEMICOLON and kind in self._commands:
                return "it begins a statement that is not judged"
            if before is TokenType.IDENTIFIER and kind is TokenType.L_PAREN and word in self._special:
                return "it quotes the name of a function"
            if word == "IF" and kind not in _AFTER_IF:
                return "it has an IF that is not a function"
            before, word = kind, token.text.upper()
            row = 0 if kind in _OPERANDS else row + 1
            prefixes += word in _PREFIX_NAMES
            if row > _MAX_ROW or prefixes > _MAX_PREFIX_NAMES:
                return "it has a long row of words or signs with nothing between them"
        return None

    def _costly(self, tokens: Sequence[Token]) -> str | None:
        """What would take the parser, or the stack it runs on, too far."""
        # Per open bracket, what it is and the joins around it that still miss their condition.
        pending: list[tuple[TokenType, int]] = []
        joins = angles = work = 0
        counts = dict.fromkeys(_MAX_OF, 0)
        before: TokenType | None = None
        for token in tokens:
            kind = token.token_type
            if kind in _OPENING:
                pending.append((kind, joins))
                if len(pending) > _MAX_DEPTH:
                    return f"it is nested more than {_MAX_DEPTH} deep"
            elif kind in _CLOSING:
                if pending and pending[-1][0] is _CLOSING[kind]:
                    joins = pending.pop()[1]
            elif kind in _JOINS:
                joins += 1
            elif kind in _CONDITIONS and joins:
                joins -= 1
            elif kind is TokenType.LT:
                angles += before in self._types
            elif kind is TokenType.SEMICOLON:
                joins = 0
            if kind in counts:
                counts[kind] += 1
            elif kind is TokenType.NULL and before is TokenType.NOT:
                counts[TokenType.NOT] -= 1
            work += 1 << min(len(pending) + joins, 20)
            before = kind
        many = angles > _MAX_ANGLES or any(counts[kind] > most for kind, most in _MAX_OF.items())
        if many or work > _MAX_WORK:
            return "it would take the parser too long"
        return None
