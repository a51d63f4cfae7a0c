"""What must hold of an SQL text's tokens before the parser sees them: that it will neither run for ever nor overflow.

sqlglot 30 parses some constructs twice and falls back, so nesting them costs twice as much per level: joins without a
condition, and brackets after the name of a type (`DECIMAL(DECIMAL(...))`, `ARRAY[ARRAY[...]]`). It descends recursively
in compiled code, where depth is not an exception but the end of the process. Held by the hostile shapes in the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot.tokenizer_core import TokenType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot.dialects.dialect import Dialect
    from sqlglot.tokenizer_core import Token

__all__ = ["Shape"]

_MAX_DEPTH = 24
_MAX_PREFIXES = 12
_MAX_SUBSCRIPTS = 48
_MAX_WORK = 1 << 15  # tokens, doubled for each level that is parsed twice

_OPENING = frozenset((TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE))
_CLOSING = frozenset((TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END))
_JOINS = frozenset((TokenType.JOIN, TokenType.STRAIGHT_JOIN))
_UNCONDITIONAL = frozenset((TokenType.CROSS, TokenType.NATURAL))
_CONDITIONS = frozenset((TokenType.ON, TokenType.USING))
_PREFIXES = frozenset(
    (
        *(TokenType.ALL, TokenType.ANY, TokenType.ARRAY, TokenType.DASH, TokenType.DESCRIBE, TokenType.INTERVAL),
        *(TokenType.NOT, TokenType.PARAMETER, TokenType.PLUS, TokenType.SOME, TokenType.TILDE),
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
        return self._misread(tokens) or self._costly(tokens)

    def _misread(self, tokens: Sequence[Token]) -> str | None:
        """What the parser would take for something else, or fall back from."""
        before: TokenType | None = TokenType.SEMICOLON
        text = ""
        row = 0
        for token in tokens:
            kind = token.token_type
            if before is TokenType.SEMICOLON and kind in self._commands:
                return "it begins a statement that is not judged"
            if before is TokenType.IDENTIFIER and kind is TokenType.L_PAREN and text.upper() in self._special:
                return "it quotes the name of a function"
            if text.upper() == "IF" and kind not in _AFTER_IF:
                return "it has an IF that is not a function"
            row = row + 1 if kind in _PREFIXES else 0
            if row > _MAX_PREFIXES:
                return "it has a long row of operators"
            before, text = kind, token.text
        return None

    def _costly(self, tokens: Sequence[Token]) -> str | None:
        """What would take the parser, or the stack it runs on, too far."""
        brackets: list[tuple[bool, int]] = []  # per open one: whether it follows a type, and the joins then pending
        typed = joins = subscripts = doublings = 0
        before: TokenType | None = None
        for token in tokens:
            kind = token.token_type
            if kind in _OPENING:
                after_type = before in self._types
                typed += after_type
                subscripts += kind is TokenType.L_BRACKET
                brackets.append((after_type, joins))
                if len(brackets) > _MAX_DEPTH:
                    return f"it is nested more than {_MAX_DEPTH} deep"
            elif kind in _CLOSING and brackets:
                after_type, joins = brackets.pop()
                typed -= after_type
            elif kind in _JOINS:
                joins += before not in _UNCONDITIONAL
            elif kind in _CONDITIONS and joins:
                joins -= 1
            elif kind is TokenType.SEMICOLON:
                joins = 0
            doublings = max(doublings, typed + joins)
            before = kind
        if subscripts > _MAX_SUBSCRIPTS or len(tokens) << doublings > _MAX_WORK:
            return "it would take the parser too long"
        return None
