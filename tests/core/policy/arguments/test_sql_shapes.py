"""Shapes of SQL that would keep the parser busy for hours or overflow its stack are turned away before it sees them."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("sqlglot")

DIALECTS = ("postgres", "mysql", "duckdb", "tsql")
# Beginning, what is repeated, middle, what closes each repetition. Many of these hung or crashed sqlglot 30.30.
SHAPES = [
    ("SELECT ", "(", "1", ")"),
    ("SELECT * FROM ", "(", "a", ")"),
    ("SELECT * FROM ", "(SELECT * FROM ", "a", ") x"),
    ("SELECT * FROM a", " JOIN a", "", ""),
    ("SELECT * FROM a", " LEFT JOIN a", "", ""),
    ("SELECT * FROM a", " CROSS JOIN a", "", ""),
    ("SELECT a ", "OUTER APPLY NATURAL JOIN a ", "", ""),
    ("SELECT ", "ARRAY[", "1", "]"),
    ("SELECT ", "DECIMAL(", "1", ")"),
    ("SELECT ", "STRUCT(", "1", ")"),
    ("SELECT ", "CHAR(STRUCT(", "1", "))"),
    ("SELECT ", "CONVERT(", "1", ")"),
    ("SELECT ", "f(DIV LIMIT ", "1", ")"),
    ("SELECT ", "UNION (", "1", ")"),
    ("SELECT ", "IF(END COLLATE ", "1", ")"),
    ("SELECT ", "CASE WHEN ", "1", " THEN 1 END"),
    ("SELECT ", "EXISTS(", "SELECT 1", ")"),
    ("SELECT ", "1 IN (", "1", ")"),
    ("SELECT ", "NOT ", "1", ""),
    ("SELECT ", "a SIMILAR TO NOT ", "1", ""),
    ("SELECT ", "- ", "1", ""),
    ("SELECT ", "~", "1", ""),
    ("SELECT ", "INTERVAL ", "1", ""),
    ("SELECT ", "ANY ", "1", ""),
    ("SELECT ", "IF ", "1", ""),
    ("SELECT ", "+ IF ", "1", ""),
    ("SELECT ", "PRIOR ", "1", ""),
    ("SELECT ", "@a - ", "1", ""),
    ("SELECT f(", "FROM ", "1", ")"),
    ("SELECT ", "ANY NEXT VALUE FOR ", "a", ""),
    ("SELECT CAST(1 AS ", "ARRAY<", "int", ">"),
    ("SELECT a", "[1]", "", ""),
    ("DELETE FROM a WHERE ", "(x) -> ONLY ", "1", ""),
    ("SELECT ", "x -> ", "1", ""),
    ("SELECT 1", " AND 1", "", ""),
    ("SELECT 1", "+1", "", ""),
    ("SELECT a", ".a", "", ""),
    ("SELECT 1", "::int", "", ""),
    ("SELECT 1", ", 1", "", ""),
    ("SELECT 1", "; SELECT 1", "", ""),
    ("SELECT 1", " UNION SELECT 1", "", ""),
    ("WITH a AS (", "WITH a AS (", "SELECT 1", ") SELECT 1"),
    ("DESCRIBE ", "DESCRIBE ", "SELECT 1", ""),
    ("UPDATE a SET b = ", "a", "", ""),
    ("SELECT ", "'' ", "", ""),
    ("SELECT ", "\\\\", "'", ""),
    ("SELECT 1 ", "/*", "", ""),
    ("SELECT 1 ", "/**/", "", ""),
    ("SELECT ", "a.", "b(", ""),
    ("SELECT ", "{", "", "}"),
]

PROGRAM = """
import sys, threading
from aegis_core.policy.arguments import SqlCondition, SqlSpec
from tests.core.policy.arguments.test_sql_shapes import DIALECTS, SHAPES

def judge_all():
    conditions = [SqlCondition(SqlSpec(dialect=dialect, statements=("select",))) for dialect in DIALECTS]
    for begin, again, middle, close in SHAPES:
        room = 16_000 - len(begin) - len(middle)
        for times in (12, 16, 40, 200, room // len(again + close)):
            text = begin + again * times + middle + close * times
            for condition in conditions:
                condition.judge(text[:16_384])
    print("done")

threading.stack_size(256 * 1024)
thread = threading.Thread(target=judge_all)
thread.start()
thread.join()
"""


def test_hostile_shapes_neither_hang_the_parser_nor_overflow_a_quarter_of_a_megabyte_of_stack() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "done\n", done.stderr
