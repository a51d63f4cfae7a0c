"""``param_sql``: what an SQL text would do.

Nothing is judged by its first word. Every statement in the text counts, nested ones included, and so do the tables and
functions they name. A text that databases could cut into words differently, or that the parser does not understand to
the last node, is undecided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from pydantic import Field, field_validator, model_validator

from aegis_core.policy.arguments.sql_names import Functions, Tables
from aegis_core.policy.arguments.sql_text import Dialect, called_words, doing_words, stray_statement, text_problem
from aegis_core.policy.arguments.verdict import ArgumentSpec, ArgumentTest, Globs, MissingExtra, Verdict, Words
from aegis_core.policy.conditions.truth import all_of

if TYPE_CHECKING:
    from aegis_core.policy.arguments.sql_tree import Reading

__all__ = ["SqlCondition", "SqlSpec"]

_STATEMENTS = (
    *("select", "insert", "update", "delete", "merge", "truncate", "create", "drop", "alter", "grant", "revoke"),
    *("copy", "comment", "analyze", "set", "show", "describe", "use", "pragma", "attach", "detach"),
    *("begin", "commit", "rollback"),
)


class SqlSpec(ArgumentSpec):
    """What an SQL text must satisfy: all that is given here."""

    dialect: Dialect | None = Field(
        None,
        description=(
            f"The database: {', '.join(get_args(Dialect))}. Without it, a text that these read differently (double "
            "quotes, backticks, brackets, '#', '--' without a space) is undecided, and few functions are known."
        ),
    )
    statements: Words | None = Field(
        None,
        description=(
            f"Kinds of statement, of which every one in the text must be: {', '.join(_STATEMENTS)}. Nested ones count: "
            "INSERT ... SELECT is both, and so is a DELETE inside WITH. SELECT INTO is also create; FOR UPDATE, FOR "
            "SHARE and upserts are also update; REPLACE is also delete."
        ),
    )
    tables: Globs | None = Field(
        None,
        description=(
            "Globs for tables, of which every one in the text must match one; part by part, so 'sales.*' is every "
            "table of that schema, and '*' alone is any. 'orders' does not cover 'other.orders': where only one of the "
            "two names a schema it is undecided. A text that names no table is false."
        ),
    )
    functions: Globs | None = Field(
        None,
        description=(
            "Globs for the functions this rule vouches for, qualified if the text qualifies them. A text that calls "
            "any other is undecided. Without this, well-known functions that only compute are vouched for. Use it to "
            "allow functions, not to look for them."
        ),
    )
    where_required: bool = Field(
        default=False,
        description=(
            "Every UPDATE and DELETE must have a WHERE. One that does not plainly compare a column (WHERE 1=1, or such "
            "a side of an OR) is undecided, and so is MERGE; TRUNCATE is a DELETE without."
        ),
    )

    @field_validator("statements")
    @classmethod
    def _known(cls, statements: tuple[str, ...] | None) -> tuple[str, ...] | None:
        lowered = tuple(kind.lower() for kind in statements or ())
        for kind in lowered:
            if kind not in _STATEMENTS:
                raise ValueError(f"{kind!r} is not a kind of statement; use one of {', '.join(_STATEMENTS)}")
        return lowered or None

    @model_validator(mode="after")
    def _something(self) -> SqlSpec:
        if self.statements is None and self.tables is None and not self.where_required:
            raise ValueError("asks nothing of the SQL; name 'statements', 'tables' or 'where_required'")
        return self


class SqlCondition(ArgumentTest):
    """A compiled `SqlSpec`.

    Raises:
        MissingExtra: If sqlglot is not installed.
    """

    __slots__ = ("_dialect", "_functions", "_read", "_shape", "_spec", "_statements", "_tables")

    limit = 16_384

    def __init__(self, spec: SqlSpec) -> None:
        try:  # the parser and what needs it are loaded when a policy first uses them: it is large
            from sqlglot.dialects.dialect import Dialect as Parser  # noqa: PLC0415

            from aegis_core.policy.arguments.sql_shape import Shape  # noqa: PLC0415
            from aegis_core.policy.arguments.sql_tree import read  # noqa: PLC0415
        except ImportError:
            raise MissingExtra("param_sql", "sql") from None
        self._spec = spec
        self._dialect = Parser.get_or_raise(spec.dialect or "")
        self._shape = Shape(self._dialect)
        self._read = read
        self._statements = frozenset(spec.statements or ())
        self._tables = Tables(spec.tables, spec.dialect) if spec.tables else None
        self._functions = Functions(spec.functions, spec.dialect)

    def _look(self, value: str) -> Verdict:
        dialect = self._spec.dialect
        problem, skeleton = text_problem(value, dialect)
        if problem is not None:
            return None, problem, ""
        tokens = self._dialect.tokenize(value)
        problem = self._shape.problem(tokens)
        if problem is not None:
            return None, problem, ""
        # Only PostgreSQL and DuckDB are known to fold unquoted names to lower case, SQLite and DuckDB to ignore case.
        # Without context: what the parser cannot parse it writes to a log, and the text may hold secrets.
        parsed = self._dialect.parser(error_message_context=0).parse(tokens, value)
        reading = self._read(value, parsed, lowers=dialect in _LOWERING)
        problem = reading.doubt or (
            "it holds no statement" if not reading.kinds else _unread(skeleton, dialect, reading)
        )
        if problem is not None:
            return None, problem, ""
        if stranger := self._functions.stranger([*reading.functions, *_unseen_calls(skeleton, reading)]):
            return None, "it calls a function that is not known to be harmless", stranger
        return self._judge(reading)

    def _judge(self, reading: Reading) -> Verdict:
        verdicts: list[Verdict] = []
        if self._statements:
            truth = all_of([kind in self._statements for kind in reading.kinds])
            verdicts.append(
                (truth, f"{_HOW_MANY[truth]} of its kinds of statement are listed", ", ".join(reading.kinds))
            )
        if self._tables is not None:
            verdicts.append(self._tables.judge(reading))
        if self._spec.where_required and reading.filtered:
            truth = all_of(reading.filtered)
            verdicts.append((truth, f"{_HOW_MANY[truth]} of its changes are plainly limited by a WHERE", ""))
        for wanted in (False, None):
            for verdict in verdicts:
                if verdict[0] is wanted:
                    return verdict
        return verdicts[0] if verdicts else (True, "it changes nothing that needs a WHERE", "")


_LOWERING = frozenset(("postgres", "duckdb", "sqlite"))
_HOW_MANY = {True: "all", False: "none", None: "not all"}


def _unseen_calls(skeleton: str, reading: Reading) -> list[str]:
    """What looks like a call of a function in the text, and is none to the parser."""
    seen = {name.rpartition(".")[2] for name in reading.functions} | reading.lists
    seen |= {table[-1][0].lower() for table in reading.tables}
    return [word for word in called_words(skeleton) if word.removeprefix(".") not in seen]


def _unread(skeleton: str, dialect: Dialect | None, reading: Reading) -> str | None:
    """A word in the text that does something, and that the parser did not see as such."""
    if dialect in ("tsql", None) and (word := stray_statement(skeleton)):
        return f"it has the word {word!r}, which begins a statement in T-SQL"
    if reading.kinds.keys() <= {"grant", "revoke"}:  # they name statements without being ones
        return None
    for word, count in doing_words(skeleton).items():
        if reading.kinds[word] < count:
            return f"it has the word {word!r} where the parser sees no such statement"
    return None
