"""param_sql against databases: PostgreSQL's own parser, and SQLite's compiler, which tells what a statement touches."""

from __future__ import annotations

import sqlite3
import string
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("sqlglot")

from aegis_core.policy.arguments import SqlCondition, SqlSpec
from aegis_core.policy.arguments.sql_functions import HARMLESS
from aegis_core.policy.reading import read

_CONDITIONS: dict[str, SqlCondition] = {}


def condition(**spec: Any) -> SqlCondition:
    return _CONDITIONS.setdefault(repr(spec), SqlCondition(read(SqlSpec, spec)))


# --- texts near those that people write ------------------------------------------------------------------------------

SEEDS = [
    "SELECT * FROM t WHERE a = 1",
    "SELECT a , count(*) FROM t GROUP BY a",
    "WITH x AS ( SELECT 1 ) SELECT * FROM x",
    "WITH secrets AS ( SELECT 1 ) SELECT * FROM secrets",
    "SELECT a FROM t JOIN u ON t.a = u.a",
    "SELECT CASE WHEN a THEN 1 END FROM t",
    "SELECT a FROM ( SELECT 1 AS a ) s , secrets",
    "SELECT 1 ; SELECT 2",
    "SELECT EXISTS ( SELECT 1 FROM secrets )",
    "INSERT INTO t ( a ) VALUES ( 1 )",
    "UPDATE t SET a = 1 WHERE b = 2",
    "DELETE FROM t WHERE a = 1",
]
WORDS = [
    *(
        "SELECT",
        "FROM",
        "WHERE",
        "a",
        "b",
        "t",
        "u",
        "secrets",
        "1",
        "'x'",
        "*",
        ",",
        "(",
        ")",
        "AND",
        "OR",
        "=",
        "<",
        ";",
    ),
    *(
        "--x\n",
        "--",
        "/*y*/",
        "/*",
        "*/",
        "/*!1 */",
        "UNION",
        "ALL",
        "INSERT INTO",
        "VALUES",
        "UPDATE",
        "SET",
        "DELETE FROM",
    ),
    *(
        "WITH",
        "AS",
        "JOIN",
        "ON",
        "LEFT",
        "IN",
        "NOT",
        "NULL",
        "IS",
        "LIKE",
        "||",
        "->",
        "ORDER BY",
        "GROUP BY",
        "HAVING",
    ),
    *(
        "LIMIT",
        "RETURNING",
        "INTO",
        "DROP TABLE",
        "CREATE TABLE",
        "upper(",
        "count(*)",
        "f(",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
    ),
    *(
        "END",
        "EXISTS",
        "DISTINCT",
        '"q"',
        '"secrets"',
        "[secrets]",
        "`secrets`",
        "[a",
        "]",
        "`",
        "?1",
        ":x",
        "$x",
        "$1",
        "@x",
    ),
    *(
        "CROSS",
        "NATURAL",
        "USING",
        "OVER",
        "FILTER",
        "BETWEEN",
        "EXPLAIN",
        "ANALYZE",
        "PRAGMA",
        "REPLACE",
        "OR REPLACE",
    ),
    *(
        "main.",
        "public.",
        ".",
        "INDEXED BY",
        "GLOB",
        "COLLATE",
        "CAST(",
        "ISNULL",
        "RECURSIVE",
        "x'00'",
        "E'a'",
        "U&'x'",
    ),
    *(
        "$$x$$",
        "ONLY",
        "LATERAL",
        "TABLE",
        "FOR UPDATE",
        "TRUNCATE",
        "COPY",
        "DO",
        "CALL",
        "SHOW",
        "MERGE INTO",
        "::int",
    ),
    *(
        "ARRAY[",
        "INTERVAL",
        "ANY",
        "WINDOW",
        "FETCH",
        "#",
        "{",
        "}",
        "{#",
        "!",
        "~",
        "%",
        "\\",
        "''",
        '""',
        "it's",
        "\n",
        "\t",
    ),
]


@st.composite
def sql_texts(draw: st.DrawFn) -> str:
    """A plain statement with a few words put in, taken out or exchanged."""
    words = draw(st.sampled_from(SEEDS)).split(" ")
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(words)))
        words[at : at + draw(st.integers(0, 1))] = draw(st.lists(st.sampled_from(WORDS), max_size=1))
    return " ".join(words)


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What PostgreSQL's parser sees in a text."""

    kinds: set[str]
    tables: set[str]
    functions: set[str]


def _seen_by_postgres(text: str) -> Seen | None:
    pglast = pytest.importorskip("pglast")
    from pglast.visitors import Visitor

    kinds = {"SelectStmt": "select", "InsertStmt": "insert", "UpdateStmt": "update", "DeleteStmt": "delete"}
    seen = Seen(set(), set(), set())

    class Looking(Visitor):
        def visit(self, ancestors: Any, node: Any) -> None:
            kind = type(node).__name__
            # VALUES in an INSERT is a SELECT to PostgreSQL, and to nobody else.
            values = kind == "SelectStmt" and node.valuesLists and type(ancestors.node).__name__ == "InsertStmt"
            if kind.endswith("Stmt") and kind != "RawStmt" and not values:
                seen.kinds.add(kinds.get(kind, kind))
            elif kind in ("LockingClause", "OnConflictClause"):
                seen.kinds.add("update")
            elif kind == "IntoClause":
                seen.kinds.add("create")
            elif kind == "RangeVar":
                seen.tables.add(node.relname)
            elif kind == "FuncCall":
                seen.functions.add(".".join(part.sval for part in node.funcname))

    try:
        Looking()(pglast.parse_sql(text))
    except pglast.parser.ParseError:
        return None  # the database would refuse it
    return seen


@settings(max_examples=400, deadline=None)
@given(sql_texts())
@example("SELECT a FROM VALUES t")
@example("INSERT INTO VALUES (a) VALUES (1)")
@example("SELECT 1 /* /* */ ; DELETE FROM t -- */ */")
@example("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x")
def test_postgres_sees_no_statement_that_was_said_not_to_be_there(text: str) -> None:
    seen = _seen_by_postgres(text)
    if seen is None:
        return
    reads = condition(dialect="postgres", statements=["select"], functions=["*"]).judge(text)
    if reads is True:
        assert seen.kinds == {"select"}
    if reads is False:
        assert "select" not in seen.kinds
    changes = condition(dialect="postgres", statements=["insert", "update", "delete"], functions=["*"]).judge(text)
    if changes is False:
        assert not seen.kinds & {"insert", "update", "delete"}


@settings(max_examples=400, deadline=None)
@given(sql_texts())
@example("SELECT * FROM (WITH secrets AS (SELECT 1) SELECT * FROM secrets) x, secrets")
@example("WITH secrets AS (SELECT * FROM secrets) SELECT * FROM secrets")
def test_postgres_touches_no_table_that_was_said_not_to_be_there(text: str) -> None:
    seen = _seen_by_postgres(text)
    if seen is None:
        return
    ctes = {"x", "secrets"} if "WITH" in text else set()
    if condition(dialect="postgres", tables=["t", "u"], functions=["*"]).judge(text) is True:
        assert seen.tables - ctes <= {"t", "u"}
    if condition(dialect="postgres", tables=["secrets"], functions=["*"]).judge(text) is False and not ctes:
        assert "secrets" not in seen.tables


@settings(max_examples=400, deadline=None)
@given(sql_texts())
@example("SELECT tablesample(1)")
@example('SELECT "UPPER"(a) FROM t')
@example("SELECT public.upper(a) FROM t")
def test_postgres_calls_no_function_that_is_not_harmless(text: str) -> None:
    if condition(dialect="postgres", statements=["select"]).judge(text) is True:
        seen = _seen_by_postgres(text)
        # Operators are functions of the system's own schema.
        assert seen is None or {name for name in seen.functions if "pg_catalog." not in name} <= HARMLESS["postgres"]


# --- SQLite ----------------------------------------------------------------------------------------------------------

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_TOUCHING = {sqlite3.SQLITE_READ, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}


def _seen_by_sqlite(text: str) -> tuple[set[int], set[str], set[str]] | None:
    """What SQLite asks leave for when it compiles one statement: actions, tables and functions."""
    database = sqlite3.connect(":memory:")
    database.executescript("CREATE TABLE t(a, b); CREATE TABLE u(a, b); CREATE TABLE secrets(a, b);")
    asked: list[tuple[int, str | None, str | None]] = []

    def note(action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None) -> int:
        asked.append((action, first, second))
        return sqlite3.SQLITE_OK

    database.set_authorizer(note)
    try:
        database.execute(f"EXPLAIN {text}")
    except sqlite3.ProgrammingError as error:
        if "binding" not in str(error):  # only values are missing
            return None
    except (sqlite3.Error, sqlite3.Warning):
        return None
    finally:
        database.close()
    return (
        {action for action, _, _ in asked},
        {first or "" for action, first, _ in asked if action in _TOUCHING},
        {second or "" for action, _, second in asked if action == sqlite3.SQLITE_FUNCTION},
    )


@settings(max_examples=300, deadline=None)
@given(sql_texts())
@example("SELECT [a FROM t; DELETE FROM t; --]")
@example("SELECT `a` FROM t -- x")
def test_sqlite_does_nothing_that_was_said_not_to_be_there(text: str) -> None:
    seen = _seen_by_sqlite(text)
    if seen is None:
        return
    actions, tables, functions = seen
    if condition(dialect="sqlite", statements=["select"]).judge(text) is True:
        assert actions <= _READING
        assert {name.lower() for name in functions} <= HARMLESS["sqlite"]
    if condition(dialect="sqlite", tables=["t", "u"], functions=["*"]).judge(text) is True:
        assert tables <= {"t", "u", "sqlite_master"} or "WITH" in text
    if condition(dialect="sqlite", tables=["secrets"], functions=["*"]).judge(text) is False and "WITH" not in text:
        assert "secrets" not in tables


# --- what is promised besides ----------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(sql_texts() | st.text(alphabet=string.printable + "é\0；", max_size=80))
def test_a_text_without_a_dialect_is_never_clearer_than_with_one(text: str) -> None:
    truth = condition(statements=["select"], functions=["*"]).judge(text)
    if truth is not None:
        for dialect in ("postgres", "mysql", "sqlite", "duckdb", "tsql"):
            assert condition(dialect=dialect, statements=["select"], functions=["*"]).judge(text) in (truth, None)


def test_a_function_may_be_vouched_for_by_the_policy() -> None:
    test = condition(dialect="postgres", statements=["select"], functions=["st_*", "app.safe", "count"])
    assert test.judge("SELECT ST_Area(shape), count(*), app.safe(1) FROM t") is True
    assert test.judge("SELECT upper(a) FROM t") is None
    assert test.judge("SELECT safe(1)") is None
    assert test.judge("SELECT a FROM t") is True


def test_functions_never_make_a_condition_false() -> None:
    test = condition(dialect="postgres", statements=["drop"])
    assert test.judge("SELECT upper(a) FROM t") is False
    assert test.judge("SELECT my_function(a) FROM t") is None


def test_tables_are_compared_part_by_part_from_the_right() -> None:
    test = condition(dialect="postgres", tables=["orders", "sales.*"])
    assert test.judge("SELECT * FROM sales.items") is True
    assert test.judge("SELECT * FROM db.sales.items") is None
    assert test.judge("SELECT * FROM public.orders") is None
    assert test.judge("SELECT * FROM public.items") is False
    assert condition(dialect="postgres", tables="*").judge("SELECT * FROM a.b, c") is True


def test_each_database_compares_names_its_own_way() -> None:
    text = "SELECT * FROM Orders"
    truths = {
        dialect: condition(dialect=dialect, tables="orders").judge(text) for dialect in ("postgres", "sqlite", "mysql")
    }
    assert truths == {"postgres": True, "sqlite": True, "mysql": None}
    assert condition(dialect="postgres", tables="orders").judge('SELECT * FROM "Orders"') is None


def test_nested_statements_need_to_be_listed_too() -> None:
    insert = condition(dialect="postgres", statements=["insert"])
    assert insert.judge("INSERT INTO t (a) VALUES (1)") is True
    assert insert.judge("INSERT INTO t (a) SELECT a FROM u") is None
    assert insert.judge("INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2") is None
    assert (
        condition(dialect="postgres", statements=["merge"]).judge(
            "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE"
        )
        is None
    )


def test_what_the_parser_cannot_parse_is_not_written_to_a_log(caplog: pytest.LogCaptureFixture) -> None:
    for text in (
        "CREATE ROLE app PASSWORD 'hunter2'",
        "SET x TO hunter2 hunter2",
        "EXPLAIN SELECT 'hunter2'",
        "DO 'hunter2'",
    ):
        assert condition(dialect="postgres", statements=["select"]).judge(text) is not True
    assert "hunter2" not in caplog.text


def test_why_says_what_was_seen() -> None:
    test = condition(dialect="postgres", statements=["select"], tables=["orders"])
    assert (
        test.why("SELECT pg_sleep(1) FROM orders") == "it calls a function that is not known to be harmless (pg_sleep)"
    )
    assert test.why("DROP TABLE t") == "none of its kinds of statement are listed (drop)"
    assert test.why("SELECT * FROM orders, secrets").endswith("another spelling or schema (secrets)")
    assert test.why("SELECT 'a\\'' FROM orders").startswith("it has a backslash before a quote")
