"""What a rule may say about an argument, given every value that it had: as narrow as the values allow."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aegis.core.action import Action
from aegis.core.policy import Policy
from aegis.errors import PolicyError
from aegis.workbench.arguments import parsing_condition
from aegis_core.policy.conditions.lookup import plainly_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Scope", "scope_of"]

_FEW = 5
"""Different values that a rule lists."""
_OFTEN = 4
"""Calls per different value from which on a list of values is no accident."""
_MOST = 20
"""Hosts or addresses that a rule lists."""

Scope = dict[str, Any]
"""Conditions and what they expect: ``{"param_path": {"under": ["/data"]}}``."""


def scope_of(name: str, values: Sequence[Any]) -> Scope | None:
    """The narrowest conditions of those known that all values satisfy; None if they have nothing in common.

    Args:
        name: The argument's name.
        values: What it was in each call, as the trail has it: nothing masked or cut.
    """
    if not plainly_named({name: None}):
        return None  # a dotted name in a policy is a path into nested values
    return next((scope for scope in _candidates(name, values) if _holds_for_all(scope, name, values)), None)


def _candidates(name: str, values: Sequence[Any]) -> Iterator[Scope]:
    distinct = list({(type(value), repr(value)): value for value in values}.values())
    if len(distinct) == 1:
        yield {"param_eq": distinct[0]}
    if all(type(value) is str for value in distinct):
        yield from _of_texts(name, distinct)
    if all(type(value) in (int, float) for value in distinct):
        yield {"param_gte": min(distinct), "param_lte": max(distinct)}
    if len(distinct) <= _FEW and len(values) >= _OFTEN * len(distinct):
        yield {"param_in": distinct}


def _of_texts(name: str, texts: list[str]) -> Iterator[Scope]:
    known = parsing_condition(name)
    kind = known[0] if known is not None else None
    if all(text.startswith("/") for text in texts):
        folder = posixpath.commonpath([posixpath.dirname(posixpath.normpath(text)) for text in texts])
        if folder.strip("/"):
            yield {"param_path": {"under": [folder]}}
    if all("://" in text for text in texts):
        parts = [urlsplit(text) for text in texts]
        hosts = sorted({part.hostname for part in parts if part.hostname})
        if 0 < len(hosts) <= _MOST:
            yield {"param_url": {"schemes": sorted({part.scheme for part in parts}), "hosts": hosts}}
    if kind == "param_sql" or name.lower() == "query":
        yield from _of_sql(texts)
    if all("@" in text for text in texts) and len(texts) <= _MOST:
        yield {"param_email": {"addresses": sorted({text.strip() for text in texts})}}


def _of_sql(texts: list[str]) -> Iterator[Scope]:
    try:
        from aegis_core.policy.arguments.sql_reader import Reader  # noqa: PLC0415 - of an extra, and heavy
    except ModuleNotFoundError:
        return
    readings = [Reader(None).read(text) for text in texts]
    if any(reading.doubt is not None for reading in readings):
        return
    scope: dict[str, Any] = {"statements": sorted({kind for reading in readings for kind in reading.kinds})}
    if tables := sorted({".".join(part for part, *_ in table) for reading in readings for table in reading.tables}):
        scope["tables"] = tables
    if any(reading.filtered for reading in readings):
        scope["where_required"] = True
    yield {"param_sql": scope}


def _holds_for_all(scope: Scope, name: str, values: Sequence[Any]) -> bool:
    conditions = {condition: {name: expected} for condition, expected in scope.items()}
    rule = {"name": "scope", "conditions": conditions, "approval": "auto"}
    try:
        policy = Policy.from_dict({"version": "1", "rules": [rule]})
    except PolicyError:  # the extra that parses it is not installed, or a value is nothing that a policy can name
        return False
    decisions = (policy.evaluate(Action("call", "server", {name: value})) for value in values)
    return all(decision.approval == "auto" and not decision.floors for decision in decisions)
