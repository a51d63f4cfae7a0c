"""``param_sql``: what an SQL text would do.

Nothing is judged by its first word. Every statement in the text counts, nested ones included, and so do the tables and
functions they name. A text that databases could cut into words differently, or that the parser does not understand to
the last node, is undecided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from aegis_core.policy.arguments.verdict import GLOBS, ArgumentTest, MissingExtra, Verdict, words, words_read_by
from aegis_core.policy.conditions.truth import all_of
from aegis_core.policy.readers import FLAG, one_of
from aegis_core.policy.reading import Document, key

if TYPE_CHECKING:
    from aegis_core.policy.arguments.sql_tree import Reading

__all__ = ["Dialect", "SqlCondition", "SqlSpec"]

Dialect = Literal["postgres", "mysql", "sqlite", "duckdb", "tsql"]

_STATEMENTS = (
    *("select", "insert", "update", "delete", "merge", "truncate", "create", "drop", "alter", "grant", "revoke"),
    *("copy", "comment", "analyze", "set", "show", "describe", "use", "pragma", "attach", "detach"),
    *("begin", "commit", "rollback"),
)


def _statements(value: object) -> tuple[str, ...]:
    kinds = tuple(kind.lower() for kind in words(value))
    for kind in kinds:
        if kind not in _STATEMENTS:
            raise ValueError(f"{kind!r} is not a kind of statement; use one of {', '.join(_STATEMENTS)}")
    return kinds


class SqlSpec(Document):
    """What an SQL text must satisfy: all that is given here."""

    dialect: Dialect | None = key(
        one_of(*get_args(Dialect)),
        f"The database: {', '.join(get_args(Dialect))}. Without it, a text that these read differently (double quotes, "
        "backticks, brackets, '#', '--' without a space) is undecided, and few functions are known.",
        default=None,
    )
    statements: tuple[str, ...] | None = key(
        words_read_by(_statements),
        f"Kinds of statement, of which every one in the text must be: {', '.join(_STATEMENTS)}. Nested ones count: "
        "INSERT ... SELECT is both, and so is a DELETE inside WITH. SELECT INTO is also create; FOR UPDATE, FOR SHARE "
        "and upserts are also update; REPLACE is also delete.",
        default=None,
    )
    tables: tuple[str, ...] | None = key(
        GLOBS,
        "Globs for tables, of which every one in the text must match one; part by part, so 'sales.*' is every table of "
        "that schema, and '*' alone is any. 'orders' does not cover 'other.orders': where only one of the two names a "
        "schema it is undecided. A text that names no table is false.",
        default=None,
    )
    functions: tuple[str, ...] | None = key(
        GLOBS,
        "Globs for the functions this rule vouches for, qualified if the text qualifies them. A text that calls any "
        "other is undecided. Without this, well-known functions that only compute are vouched for. Use it to allow "
        "functions, not to look for them.",
        default=None,
    )
    where_required: bool = key(
        FLAG,
        "Every UPDATE and DELETE must have a WHERE. One that does not plainly compare a column (WHERE 1=1, or such a "
        "side of an OR) is undecided, and so is MERGE; TRUNCATE is a DELETE without.",
        default=False,
    )

    def check_whole(self) -> None:
        """Something must be asked of the SQL."""
        if self.statements is None and self.tables is None and not self.where_required:
            raise ValueError("asks nothing of the SQL; name 'statements', 'tables' or 'where_required'")


class SqlCondition(ArgumentTest):
    """A compiled `SqlSpec`.

    Raises:
        MissingExtra: If sqlglot is not installed.
    """

    __slots__ = ("_functions", "_reader", "_statements", "_tables", "_where_required")

    limit = 16_384

    def __init__(self, spec: SqlSpec) -> None:
        try:  # The parser is large, and loaded when a policy first uses it.
            from aegis_core.policy.arguments.sql_reader import Reader  # noqa: PLC0415
        except ModuleNotFoundError:
            raise MissingExtra("param_sql", "sql") from None
        from aegis_core.policy.arguments.sql_names import Functions, Tables  # noqa: PLC0415 - as above

        self._reader = Reader(spec.dialect)
        self._where_required = spec.where_required
        self._statements = frozenset(spec.statements or ())
        self._tables = Tables(spec.tables, spec.dialect) if spec.tables else None
        self._functions = Functions(spec.functions, spec.dialect)

    def _look(self, value: str) -> Verdict:
        reading = self._reader.read(value)
        if reading.doubt is not None:
            return None, reading.doubt, ""
        if stranger := self._functions.stranger(reading.functions):
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
        if self._where_required and reading.filtered:
            truth = all_of(reading.filtered)
            verdicts.append((truth, f"{_HOW_MANY[truth]} of its changes are plainly limited by a WHERE", ""))
        for wanted in (False, None):
            for verdict in verdicts:
                if verdict[0] is wanted:
                    return verdict
        return verdicts[0] if verdicts else (True, "it changes nothing that needs a WHERE", "")


_HOW_MANY = {True: "all", False: "none", None: "not all"}
