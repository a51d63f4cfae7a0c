"""From an SQL text to what it does, by two ways that must agree: the parser's, and that of a few plain patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot.dialects.dialect import Dialect as Parser

from aegis_core.policy.arguments.sql_shape import Shape
from aegis_core.policy.arguments.sql_text import called_words, doing_words, stray_statement, text_problem
from aegis_core.policy.arguments.sql_tree import Reading, read

if TYPE_CHECKING:
    from aegis_core.policy.arguments.sql import Dialect

__all__ = ["Reader"]

# Databases for which Orders and orders are one table: the first folds names without quotes, the others ignore case.
_LOWERING = frozenset(("postgres", "duckdb", "sqlite"))


class Reader:
    """Reads texts in one dialect; None stands for any."""

    __slots__ = ("_dialect", "_lowers", "_parser", "_shape")

    def __init__(self, dialect: Dialect | None) -> None:
        self._dialect: Dialect | None = dialect
        self._lowers = dialect in _LOWERING
        self._parser = Parser.get_or_raise(dialect or "")
        self._shape = Shape(self._parser)

    def read(self, text: str) -> Reading:
        """What a text does; its `doubt` says why it may do something else.

        Raises:
            Exception: Whatever the parser raises at a text it does not understand.
        """
        problem, skeleton = text_problem(text, self._dialect)
        if problem is not None:
            return Reading.of_doubt(problem)
        tokens = self._parser.tokenize(text)
        problem = self._shape.problem(tokens)
        if problem is not None:
            return Reading.of_doubt(problem)
        # What the parser cannot parse it writes to a log. The context is 0 because a text may hold secrets.
        statements = self._parser.parser(error_message_context=0).parse(tokens, text)
        reading = read(text, statements, lowers=self._lowers)
        if reading.doubt is None:
            reading.doubt = self._unread(skeleton, reading)
        reading.functions += _unseen_calls(skeleton, reading)
        return reading

    def _unread(self, skeleton: str, reading: Reading) -> str | None:
        """A word in the text that does something, and that the parser did not see as such."""
        if not reading.kinds:
            return "it holds no statement"
        if self._dialect in ("tsql", None) and (word := stray_statement(skeleton)):
            return f"it has the word {word!r}, which begins a statement in T-SQL"
        if reading.kinds.keys() <= {"grant", "revoke"}:  # they name statements without being ones
            return None
        for word, count in doing_words(skeleton).items():
            if reading.kinds[word] < count:
                return f"it has the word {word!r} where the parser sees no such statement"
        return None


def _unseen_calls(skeleton: str, reading: Reading) -> list[str]:
    """What looks like a call of a function in the text, and is none to the parser."""
    seen = {name.rpartition(".")[2] for name in reading.functions} | reading.lists
    seen |= {table[-1][0].lower() for table in reading.tables}
    return [word for word in called_words(skeleton) if word.removeprefix(".") not in seen]
