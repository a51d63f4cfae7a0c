"""``param_sql``: what an SQL text would do.

Nothing is judged by its first word. Every statement in the text counts, nested ones included, and so do the tables and
functions they name. A text that databases could cut into words differently, or that the parser does not understand to
the last node, is undecided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from pydantic import Field, field_validator, model_validator

from aegis_core.policy.arguments.verdict import ArgumentSpec, ArgumentTest, Globs, MissingExtra, Verdict, Words
from aegis_core.policy.conditions.truth import all_of

if TYPE_CHECKING:
    from aegis_core.policy.arguments.sql_tree import Reading

__all__ = ["Dialect", "SqlCondition", "SqlSpec"]

Dialect = Literal["postgres", "mysql", "sqlite", "duckdb", "tsql"]

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
