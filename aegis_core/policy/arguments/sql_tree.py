"""What an SQL text does, read off the parser's tree: the kinds of statement in it, the tables, the functions.

Every node is looked at, nested ones like the others. A kind of node that is not known here is a doubt about the text.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Name", "Reading", "read"]

_KINDS: dict[type, str] = {
    exp.Alter: "alter",
    exp.Analyze: "analyze",
    exp.Attach: "attach",
    exp.Comment: "comment",
    exp.Commit: "commit",
    exp.Copy: "copy",
    exp.Create: "create",
    exp.Delete: "delete",
    exp.Describe: "describe",
    exp.Detach: "detach",
    exp.Drop: "drop",
    exp.Except: "select",
    exp.Grant: "grant",
    exp.Insert: "insert",
    exp.Intersect: "select",
    exp.Merge: "merge",
    exp.Pragma: "pragma",
    exp.Revoke: "revoke",
    exp.Rollback: "rollback",
    exp.Select: "select",
    exp.Set: "set",
    exp.Show: "show",
    exp.Transaction: "begin",
    exp.TruncateTable: "truncate",
    exp.Union: "select",
    exp.Update: "update",
    exp.Use: "use",
}
# Statements whose tables are all named in them. The others reach some by other names: a schema, a file, a cascade.
_TABLES_NAMED = frozenset(("select", "insert", "update", "delete", "merge", "truncate"))
_CHANGING = frozenset(("insert", "update", "delete", "merge"))
# Expressions are ordinary unless they call a function; of what else a tree is made of, this much.
_ORDINARY = (
    *(exp.Condition, exp.Alias, exp.AtTimeZone, exp.CTE, exp.Check, exp.ColumnConstraint, exp.ColumnConstraintKind),
    *(exp.ColumnDef, exp.Constraint, exp.Cube, exp.DataType, exp.DataTypeParam, exp.Distinct, exp.Fetch, exp.Filter),
    *(exp.ForeignKey, exp.From, exp.Group, exp.GroupingSets, exp.Having, exp.Identifier, exp.IgnoreNulls),
    *(
        exp.Index,
        exp.IndexParameters,
        exp.Interval,
        exp.Join,
        exp.JSONKeyValue,
        exp.JSONPath,
        exp.JSONPathPart,
        exp.Lambda,
    ),
    *(exp.Lateral, exp.Limit, exp.LimitOptions, exp.ObjectIdentifier, exp.Offset, exp.Order, exp.Ordered),
    *(exp.PrimaryKey, exp.Qualify, exp.Reference, exp.RespectNulls, exp.Returning, exp.Rollup, exp.Schema),
    *(exp.Semicolon, exp.SetItem, exp.Slice, exp.Star, exp.Subquery, exp.TableColumn),
    *(exp.TableSample, exp.TimeUnit, exp.Tuple, exp.Values, exp.Var, exp.Where, exp.Whens, exp.WindowSpec, exp.With),
    *(exp.WithinGroup, exp.AddConstraint, exp.AlterColumn, exp.AlterRename, exp.RenameColumn, exp.GrantPrincipal),
    *(exp.GrantPrivilege, exp.CopyParameter, exp.Credentials),
)
# Syntax that the parser represents as functions. An operator (a || b, a -> b) is one too, and calls nothing of a
# user's.
_SYNTAX = (exp.And, exp.Array, exp.Binary, exp.Case, exp.Cast, exp.Exists, exp.Extract, exp.If, exp.Or, exp.Xor)
_FILE_LIKE = frozenset("./\\:*?")
# SQLite's functions that can be read without brackets, their arguments given in WHERE: files, archives, raw pages.
_TABLE_FUNCTIONS = frozenset(("fsdir", "zipfile", "sqlite_dbpage", "sqlite_dbdata", "sqlite_dbptr"))

Name = tuple[str, bool]
"""A part of a table's name, and whether it was quoted."""


class Reading:
    """What the statements of one text do.

    Attributes:
        kinds: How often each kind of statement occurs, at any depth.
        lists: Names that stand before a list of columns, in lower case.
        tables: The tables named, each as its parts from the outermost (catalog, schema, table).
        functions: The functions called where the parser says where, as written.
        filtered: Per UPDATE and DELETE, whether it is limited to some rows; None where that is in doubt.
        doubt: Why the text may do something else besides, or None.
        tables_doubt: Why it may touch other tables besides, or None.
    """

    __slots__ = (
        "doubt",
        "filtered",
        "functions",
        "has_ctes",
        "kinds",
        "lists",
        "lowers",
        "tables",
        "tables_doubt",
        "text",
    )

    def __init__(self, text: str, *, lowers: bool) -> None:
        self.text = text
        self.lowers = lowers
        self.has_ctes = False
        self.kinds: Counter[str] = Counter()
        self.lists: set[str] = set()
        self.tables: list[tuple[Name, ...]] = []
        self.functions: list[str] = []
        self.filtered: list[bool | None] = []
        self.doubt: str | None = None
        self.tables_doubt: str | None = None

    @classmethod
    def of_doubt(cls, doubt: str) -> Reading:
        """The reading of a text that was not read."""
        reading = cls("", lowers=False)
        reading.doubt = doubt
        return reading


def read(text: str, statements: Sequence[exp.Expr | None], *, lowers: bool) -> Reading:
    """Read the statements of a text.

    Args:
        text: The text itself.
        statements: What the parser made of it.
        lowers: Whether the database turns names without quotes into lower case.
    """
    reading = Reading(text, lowers=lowers)
    for statement in statements:
        if statement is None or isinstance(statement, exp.Semicolon):
            continue
        if isinstance(statement, exp.Values):
            reading.kinds["select"] += 1
        elif statement.__class__ not in _KINDS and not isinstance(statement, exp.Subquery):
            reading.doubt = f"a statement of it is not one that is judged ({type(statement).__name__})"
        for node in statement.walk():
            kind = node.__class__
            reader = _READERS.get(kind) or _reader(kind)
            if reader is not _nothing:
                reader(reading, node)
    if not reading.kinds.keys() <= _TABLES_NAMED:
        reading.tables_doubt = "it has a statement that does not name all it touches"
    return reading


# --- one kind of node each -------------------------------------------------------------------------------------------


def _nothing(_reading: Reading, _node: Any) -> None:
    """An ordinary node says nothing by itself."""


def _unknown(reading: Reading, node: Any) -> None:
    reading.doubt = f"it has a construct that is not judged ({type(node).__name__})"


def _statement(reading: Reading, node: Any) -> None:
    kind = _KINDS[node.__class__]
    reading.kinds[kind] += 1
    in_merge = isinstance(node.parent, exp.When)  # the actions of a MERGE are about its table, and its conditions
    if kind in _CHANGING and not in_merge:
        target = node.this.this if isinstance(node.this, exp.Schema) else node.this
        if not isinstance(target, exp.Table):
            reading.tables_doubt = "what it changes is not named as a table"
    if kind in ("update", "delete") and not in_merge:
        where = node.args.get("where")
        reading.filtered.append(False if where is None else (_limits(where.this) or None))
    elif kind == "truncate":
        reading.filtered.append(False)
        if node.args.get("option") == "CASCADE":
            reading.tables_doubt = "it truncates what refers to a table, too"
    elif kind == "merge":
        reading.filtered.append(None)
    elif kind == "insert" and (node.args.get("alternative") or node.args.get("overwrite")):
        reading.kinds["delete"] += 1  # INSERT OR REPLACE


def _into(reading: Reading, node: Any) -> None:
    # SELECT INTO makes a table in some databases, and writes a file or a variable in others.
    reading.kinds["create"] += 1
    if not isinstance(node.this, exp.Table) or not isinstance(node.this.this, exp.Identifier):
        reading.doubt = "it writes its result somewhere (INTO)"


def _lock(reading: Reading, _node: Any) -> None:
    reading.kinds["update"] += 1  # FOR UPDATE, FOR SHARE: needs the right to update, and keeps others from it


def _conflict(reading: Reading, node: Any) -> None:
    action = node.args.get("action")
    if action is None or action.name.upper() != "DO NOTHING":
        reading.kinds["update"] += 1


def _when(reading: Reading, node: Any) -> None:
    then = node.args.get("then")
    if isinstance(then, exp.Var):
        if then.name.upper() == "DELETE":
            reading.kinds["delete"] += 1
        elif then.name.upper() != "DO NOTHING":
            reading.doubt = "it has a MERGE action that is not known"


def _with(reading: Reading, _node: Any) -> None:
    reading.has_ctes = True  # the walk is breadth first, so it comes here before any table in its scope


def _function(reading: Reading, node: Any) -> None:
    parent = node.parent
    start, end = node.meta.get("start"), node.meta.get("end")
    if (isinstance(parent, exp.Dot) and parent.expression is node) or (
        isinstance(parent, exp.Table) and parent.args.get("db") is not None
    ):
        reading.functions.append(parent.sql().partition("(")[0].lower())
    elif start is not None and end is not None:
        # As written, quotes included: "UPPER" is not upper.
        reading.functions.append(reading.text[start : end + 1].lower())
    # Without a position it has a grammar of its own, or the parser made it up; the text is searched for such calls.


def _alias(reading: Reading, node: Any) -> None:
    if node.args.get("columns"):
        reading.lists.add(node.name.lower())


def _table(reading: Reading, node: Any) -> None:
    if isinstance(node.this, exp.Func):
        return  # a function that returns a table, which is read as a function
    parts = node.parts
    if not parts or not all(isinstance(part, exp.Identifier) and part.name for part in parts):
        reading.tables_doubt = "a table is not named literally"
        return
    names = tuple((_folded(reading, part), bool(part.args.get("quoted"))) for part in parts)
    last = parts[-1].name.lower()
    if len(names) > 3 or any(quoted and not _FILE_LIKE.isdisjoint(name) for name, quoted in names):
        reading.doubt = "a table may be a file or on another server"
    if last in _TABLE_FUNCTIONS:
        reading.functions.append(last)
    if not (
        reading.has_ctes
        and len(names) == 1
        and isinstance(node.parent, (exp.From, exp.Join))
        and _is_cte(reading, node)
    ):
        reading.tables.append(names)


_READERS: dict[type, Callable[[Reading, Any], None]] = {
    **dict.fromkeys(_KINDS, _statement),
    exp.Into: _into,
    exp.NextValueFor: _unknown,  # written without brackets, and draws from a sequence
    exp.Lock: _lock,
    exp.OnConflict: _conflict,
    exp.When: _when,
    exp.With: _with,
    exp.Table: _table,
    exp.TableAlias: _alias,
}


def _reader(kind: type) -> Callable[[Reading, Any], None]:
    """How a kind of node is read; found once."""
    reader: Callable[[Reading, Any], None]
    if issubclass(kind, exp.Func) and not issubclass(kind, _SYNTAX):
        reader = _function
    else:
        reader = _nothing if issubclass(kind, _ORDINARY) else _unknown
    _READERS[kind] = reader
    return reader


# --- names and conditions --------------------------------------------------------------------------------------------


def _folded(reading: Reading, identifier: Any) -> str:
    name: str = identifier.name
    return name.lower() if reading.lowers and not identifier.args.get("quoted") else name


def _is_cte(reading: Reading, table: Any) -> bool:
    """Whether a FROM names a common table expression in scope, rather than a table."""
    name = _folded(reading, table.this)
    inside, node = table, table.parent
    while node is not None:
        if isinstance(node, exp.With):
            for cte in node.expressions:
                # An expression sees those before it; itself and those after it only if the list is recursive.
                if cte is inside and not node.args.get("recursive"):
                    break
                if _folded(reading, cte.args["alias"].this) == name:
                    return True
            owner: Any = node.parent
            inside, node = owner, owner.parent
            continue
        scope = node.args.get("with_")
        if scope is not None and any(_folded(reading, cte.args["alias"].this) == name for cte in scope.expressions):
            return True
        inside, node = node, node.parent
    return False


def _limits(condition: Any) -> bool:
    """Whether a WHERE plainly limits the rows: it compares columns, and no side of an OR does without one."""
    if isinstance(condition, exp.Paren):
        return _limits(condition.this)
    if isinstance(condition, exp.And):
        return _limits(condition.this) or _limits(condition.expression)
    if isinstance(condition, exp.Or):
        return _limits(condition.this) and _limits(condition.expression)
    if isinstance(condition, exp.Binary) and condition.this == condition.expression:
        return False
    return not isinstance(condition, exp.Column) and condition.find(exp.Column) is not None
