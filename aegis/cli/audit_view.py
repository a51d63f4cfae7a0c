"""The audit trail as people and programs want to see it: tables, lines, JSON, CSV. Nothing reaches a terminal raw."""

from __future__ import annotations

import csv
import sys
from typing import IO, TYPE_CHECKING, Any

import orjson

from aegis_core.audit.logs import escaped
from aegis_core.audit.render import timestamp
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from aegis_core.approval.fatigue import Asked

__all__ = [
    "FORMATS",
    "asked",
    "console",
    "follow_line",
    "stats",
    "timeline",
    "totals",
    "write_entries",
    "write_entry",
    "write_json",
    "write_table",
]

FORMATS = ("table", "json", "jsonl", "csv")

_COLOURS = {
    "success": "green",
    "failed": "red",
    "blocked": "bold red",
    "denied": "red",
    "pending_approval": "yellow",
    "cancelled": "dim",
    "running": "cyan",
    "unknown": "magenta",
    "LOW": "green",
    "MEDIUM": "yellow",
    "HIGH": "red",
    "CRITICAL": "bold red",
}
_BLOCKS = " ▏▎▍▌▋▊▉█"


def console(file: IO[str] | None = None) -> Console:
    """A rich console that takes text as it is; wide where it is no terminal."""
    from rich.console import Console  # noqa: PLC0415 - heavy, and JSON needs none of it

    made = Console(file=file or sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not made.is_terminal:
        made.width = 160
    return made


def _text(value: object, limit: int = 0) -> Text:
    from rich.text import Text  # noqa: PLC0415 - as above

    shown = "" if value is None else visible(str(value))
    if limit and len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    return Text(shown, style=_COLOURS.get(shown, ""))


def _table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="ellipsis", no_wrap=True)
    return table


def write_json(value: Any, file: IO[str]) -> None:
    """One JSON value, indented."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    file.write("\n".join(map(escaped, text.split("\n"))) + "\n")


def write_entries(chunks: Iterable[list[dict[str, Any]]], kind: str, file: IO[str]) -> int:
    """Write entries in one of `FORMATS`, a chunk at a time; return how many."""
    writers = {"table": _as_table, "json": _as_json, "jsonl": _as_jsonl, "csv": _as_csv}
    return writers[kind](chunks, file)


def _as_json(chunks: Iterable[list[dict[str, Any]]], file: IO[str]) -> int:
    total = 0
    for entry in _each(chunks):
        file.write(",\n" if total else "[\n")
        file.write(escaped(orjson.dumps(entry).decode()))
        total += 1
    file.write("\n]\n" if total else "[]\n")
    return total


def _as_jsonl(chunks: Iterable[list[dict[str, Any]]], file: IO[str]) -> int:
    total = 0
    for entry in _each(chunks):
        file.write(escaped(orjson.dumps(entry).decode()) + "\n")
        total += 1
    return total


def _as_csv(chunks: Iterable[list[dict[str, Any]]], file: IO[str]) -> int:
    total = 0
    writer = csv.writer(file)
    for entry in _each(chunks):
        if not total:
            writer.writerow(entry)
        writer.writerow([_cell(value) for value in entry.values()])
        total += 1
    return total


def _cell(value: object) -> object:
    if value is None or isinstance(value, (int, float)):
        return value
    text = visible(value if isinstance(value, str) else orjson.dumps(value).decode())
    # A spreadsheet runs what begins like a formula, and tool names come from strangers.
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _each(chunks: Iterable[list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    for chunk in chunks:
        yield from chunk


def _as_table(chunks: Iterable[list[dict[str, Any]]], file: IO[str]) -> int:
    table = _table("time", "call", "risk", "tool", "params", "decision", "rule", "status", "ms", right=("ms",))
    total = 0
    for entry in _each(chunks):
        table.add_row(
            _text(entry["timestamp"][:19].replace("T", " ")),
            _text(entry["call_id"][-8:]),
            _text(entry["risk_level"]),
            _text(f"{entry['action_type']}@{entry['action_target']}", 40),
            _text(orjson.dumps(entry["action_params"]).decode(), 44),
            _text(_decision(entry)),
            _text(entry["matched_rule"], 28),
            _text(entry["result_status"]),
            _text("" if entry["duration_ms"] is None else f"{entry['duration_ms']:.1f}"),
        )
        total += 1
    out = console(file)
    if total:
        out.print(table)
    else:
        out.print("no calls on record" if file is sys.stdout else "")
    return total


def _decision(entry: dict[str, Any]) -> str:
    human = entry["human_decision"]
    who = f" by {entry['approver']}" if human and entry["approver"] else ""
    seen = "" if entry["enforced"] else " (observed)"
    return f"{entry['approval']}{f': {human}{who}' if human else ''}{seen}"


def write_entry(entry: dict[str, Any]) -> None:
    """Everything about one call, a field a line."""
    out = console()
    for name, value in entry.items():
        if value in (None, "", [], {}):
            continue
        text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
        first, *rest = text.split("\n") if not isinstance(value, str) else [text]
        out.print(_label(name), _text(first), sep="")
        for more in rest:
            out.print(" " * 17, _text(more), sep="")


def _label(name: str) -> Text:
    from rich.text import Text  # noqa: PLC0415 - as above

    return Text(f"{name:<17}", style="bold")


def follow_line(entry: dict[str, Any]) -> Text:
    """One call on one line, for watching."""
    from rich.text import Text  # noqa: PLC0415 - as above

    tool = f"{entry['action_type']}@{entry['action_target']}"
    return Text(" ").join((
        _text(entry["timestamp"][11:23]),
        _text(f"{entry['call_id'][-8:]}"),
        _text(f"{entry['result_status']:<16}".rstrip()),
        _text(tool, 60),
        _text(orjson.dumps(entry["action_params"]).decode(), 80),
        _text(entry["error"] or entry["matched_rule"], 60),
    ))  # fmt: skip


def write_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A plain table; the first column is text, the others are numbers, of which 0 is left out."""
    table = _table(*columns, right=tuple(columns[1:]))
    for first, *numbers in rows:
        table.add_row(_text(first, 60), *(_text(number or "") for number in numbers))
    console().print(table)


def totals(groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Groups of calls (`Reader.groups`) added up: by how they ended, risk, tool and rule."""
    for group in groups:
        group["tool"] = f"{group['action_type']}@{group['action_target']}"
    by = {"status": "result_status", "risk": "risk_level", "tool": "tool", "rule": "matched_rule"}
    return {
        "calls": sum(group["count"] for group in groups),
        "by": {title: _total(groups, key) for title, key in by.items()},
    }


def asked(rows: Iterable[Asked], title: str) -> list[dict[str, Any]]:
    """How often people were asked, as plain data; ``title`` names what is counted by."""
    return [
        {
            title: row.name,
            "asked": row.asked,
            "approved": row.approved,
            "denied": row.denied,
            "unanswered": row.unanswered,
            "approve_rate": row.approve_rate,
            **({"hint": row.hint} if title == "rule" else {}),
        }
        for row in rows
    ]


def _total(groups: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for group in groups:
        found.setdefault(group[key], []).append(group)
    rows: list[dict[str, Any]] = []
    for name, members in found.items():
        ended = [group for group in members if group["longest_us"] is not None]
        calls = sum(group["count"] for group in ended)
        rows.append({
            "name": name,
            "calls": sum(group["count"] for group in members),
            "mean_ms": sum(group["duration_us"] for group in ended) / calls / 1000 if calls else None,
            "max_ms": max(group["longest_us"] for group in ended) / 1000 if calls else None,
        })  # fmt: skip
    return sorted(rows, key=lambda row: -int(row["calls"]))[:20]


def stats(found: dict[str, Any]) -> None:
    """Totals as tables."""
    out = console()
    out.print(f"{found['calls']} calls" + (f", {found['first']} to {found['last']}" if found["calls"] else ""))
    for title, rows in found["by"].items():
        table = _table(title, "calls", "", "mean ms", "max ms", right=("calls", "mean ms", "max ms"))
        most = max((row["calls"] for row in rows), default=1)
        for row in rows:
            table.add_row(
                _text(row["name"], 60),
                _text(row["calls"]),
                _text(_bar(row["calls"] / most, 20)),
                _text("" if row["mean_ms"] is None else f"{row['mean_ms']:.1f}"),
                _text("" if row["max_ms"] is None else f"{row['max_ms']:.1f}"),
            )
        out.print()
        out.print(table)
    for title, rows in (("rule", found["approvals"]), ("session", found["approvals_by_session"])):
        if not rows:
            continue
        counts = ("asked", "approved", "denied", "unanswered")
        table = _table(f"people asked, by {title}", *counts, "yes", "", right=(*counts, "yes"))
        for row in rows:
            rate = "" if row["approve_rate"] is None else f"{row['approve_rate']:.0%}"
            cells = [_text(row[count]) for count in counts]
            table.add_row(_text(row[title] or "(none)", 60), *cells, _text(rate), _text(row.get("hint") or ""))
        out.print()
        out.print(table)


def timeline(buckets: list[dict[str, Any]]) -> None:
    """Calls over time: a bar for each stretch of it, coloured by how they ended."""
    from rich.text import Text  # noqa: PLC0415 - as above

    out = console()
    if not buckets:
        out.print("no calls on record")
        return
    most = max(bucket["calls"] for bucket in buckets)
    width = max(10, min(80, out.width - 50))
    for bucket in buckets:
        text = Text(f"{timestamp(bucket['at'])[:19].replace('T', ' ')} {bucket['calls']:>7} ")
        for status, count in bucket["statuses"].items():
            text.append("█" * max(1, round(count / most * width)), style=_COLOURS.get(status, ""))
        notable = {name: count for name, count in bucket["statuses"].items() if name != "success"}
        text.append(" " + ", ".join(f"{count} {name}" for name, count in notable.items()))
        out.print(text, no_wrap=True, overflow="ellipsis")


def _bar(share: float, width: int) -> str:
    eighths = max(1, round(share * width * 8)) if share > 0 else 0
    return "█" * (eighths // 8) + (_BLOCKS[eighths % 8] if eighths % 8 else "")
