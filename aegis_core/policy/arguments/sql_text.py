"""What must hold of an SQL text before a parser is asked about it: every database would cut it into the same words.

A text is cut here by a grammar so small that all lexers agree on it; what is left after string literals, quoted names
and comments are taken out (the skeleton) must hold nothing that one database reads as code and another as text:
backslash escapes, dollar quotes, executable or nested comments, templates.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aegis_core.policy.arguments.sql import Dialect

__all__ = ["called_words", "doing_words", "stray_statement", "text_problem"]

_LITERALS = r"""'[^']*+'|"[^"]*+\""""
_PLAIN_COMMENT = r"/\*(?![!+M])(?:[^*/]|\*(?!/)|/(?!\*))*+\*/"
_SPACED_DASHES = r"--(?=[ \t\n]|\Z)[^\n]*+"
_CUTS: dict[Dialect | None, str] = {
    "postgres": rf"{_LITERALS}|--[^\n]*+|{_PLAIN_COMMENT}",
    "duckdb": rf"{_LITERALS}|--[^\n]*+|{_PLAIN_COMMENT}",
    "sqlite": rf"{_LITERALS}|`[^`]*+`|\[[^\]]*+\]|--[^\n]*+|{_PLAIN_COMMENT}",
    "tsql": rf"{_LITERALS}|\[[^\]]*+\]|--[^\n]*+|{_PLAIN_COMMENT}",
    "mysql": rf"{_LITERALS}|`[^`]*+`|\#[^\n]*+|{_SPACED_DASHES}|{_PLAIN_COMMENT}",
    # Any of them: double quotes are strings in one and names in another.
    None: rf"'[^']*+'|{_SPACED_DASHES}|{_PLAIN_COMMENT}",
}
_CUT = {dialect: re.compile(pattern, re.DOTALL) for dialect, pattern in _CUTS.items()}
_CUT_OUT = "\x00"  # stands for what was cut out; a control character, which no accepted text has

# A quote after an odd number of backslashes ends a string in one reading and is part of it in the other.
_ESCAPED_QUOTE = re.compile(r"""(?<!\\)(?:\\\\)*+\\['"`]""")
_AMBIGUOUS = r"""['"`\\]|/\*|\*/|\$(?![0-9])|[\w$]\$|\{[{%#+]|:=|[uU]&\x00"""
_DOUBTS = {
    "postgres": re.compile(rf"{_AMBIGUOUS}|[{{}}]"),
    "duckdb": re.compile(_AMBIGUOUS),
    "sqlite": re.compile(rf"{_AMBIGUOUS}|[{{}}\[\]]"),
    "tsql": re.compile(rf"{_AMBIGUOUS}|[{{}}\[\]]"),
    "mysql": re.compile(rf"{_AMBIGUOUS}|[{{}}]|--"),
    None: re.compile(rf"{_AMBIGUOUS}|[{{}}\[\]\#]|--|[\w&]\x00"),
}
# VALUES without brackets may be the name of a table; IF without them is parsed twice for every level.
_MISREAD = re.compile(r"\b(?:values\b(?![\s\x00]*+(?:\(|row\b))|if\b(?![\s\x00]*+(?:\(|(?:not|exists)\b)))")
# Prefixes by which the parser descends, and which none of these databases knows as such.
_PREFIXES = re.compile(r"\b(?:prior|connect_by_root)\b")


def text_problem(text: str, dialect: Dialect | None) -> tuple[str | None, str]:
    """Why databases may cut the text into different words, or None; and its skeleton, lower-cased."""
    if not text.isprintable():
        if not text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ").isprintable():
            return "it has a control or invisible character", ""
        text = text.replace("\r\n", "\n")
    if "\\" in text and _ESCAPED_QUOTE.search(text):
        return "it has a backslash before a quote, which is an escape in one database and text in another", ""
    skeleton = _CUT[dialect].sub(_CUT_OUT, text)
    if found := _DOUBTS[dialect].search(skeleton):
        shown = found[0].replace(_CUT_OUT, "'")
        return f"databases read {shown!r} differently, or it hides what follows", ""
    if not skeleton.isascii() and unicodedata.normalize("NFKC", skeleton) != skeleton:
        return "it has look-alike letters", ""
    skeleton = skeleton.lower()
    if found := _MISREAD.search(skeleton):
        return f"a parser may misread the word {found[0]!r} where it stands", ""
    if ("prior" in skeleton or "connect" in skeleton) and len(_PREFIXES.findall(skeleton)) > 4:
        return "it has a long row of prefixes", ""
    return None, skeleton


# --- a second look at what the parser says the text does -------------------------------------------------------------

_DOING = re.compile(r"\b(?:select|insert|update|delete|merge|drop|create|alter|grant|revoke|truncate(?!\s*\())\b")
_CALL = re.compile(r"((?:\.\s*+)?+(?<![\w$])[^\W\d][\w$]*+)[\s\x00]*+\(")
# Words before a bracket that call nothing: syntax, and the names of types that take a size.
_NO_CALL = frozenset(
    """
    all and any array as between bigint binary bit bpchar by case cast char character check conflict cube datetime
    datetime2 datetimeoffset dec decimal distinct double else enum except exclude exists extract filter float from
    group having if in index int integer intersect into is join key lateral like limit materialized nchar not
    numeric nvarchar offset on only or over partition precision primary real recursive references replace returning
    rollup row rows select set sets smallint some table text then time timestamp timestamptz timetz tinyint try_cast
    union unique using values varbinary varbit varchar varying view when where window with year
    """.split()  # noqa: SIM905 - a page of words reads better without quotes
)
# T-SQL needs no semicolon between statements, so a parser may take the beginning of the next for a column's alias.
_BEGINNING = re.compile(
    r"\b(?:backup|begin|break|bulk|checkpoint|close|commit|continue|dbcc|deallocate|declare|deny|disable|dump|enable"
    r"|exec|execute|fetch(?!\s+(?:next|first))|go|goto|if(?!\s+(?:not\s+)?exists)|kill|lineno|load|move|open|print"
    r"|raiserror|readtext|receive|reconfigure|restore|return|revert|rollback|save|send|setuser|shutdown|throw"
    r"|updatetext|use|waitfor|while|writetext)\b"
)


def doing_words(skeleton: str) -> Counter[str]:
    """How often each word that reads or changes data stands in a skeleton."""
    return Counter(_DOING.findall(skeleton))


def called_words(skeleton: str) -> set[str]:
    """The words before a bracket that may call something there, with a dot before those that are qualified."""
    words = set(_CALL.findall(skeleton)) - _NO_CALL
    return {"".join(word.split()) for word in words}


def stray_statement(skeleton: str) -> str | None:
    """A word by which T-SQL begins a statement that is not judged here, wherever it stands."""
    found = _BEGINNING.search(skeleton)
    return found[0] if found else None
