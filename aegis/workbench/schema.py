"""The JSON Schema of policy files, for editors: the documents of `aegis_core.policy.document`, key by key."""

from __future__ import annotations

import enum
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_core.policy.document import PolicyDocument
from aegis_core.policy.reading import Document, keys_of

if TYPE_CHECKING:
    from aegis_core.policy.reading import Key, Schema

__all__ = ["SCHEMA_FILE", "policy_schema", "schema_text"]

SCHEMA_FILE = Path(__file__).parents[1] / "schema" / "policy.schema.json"
"""The schema as it comes with the package; a test holds it to `schema_text`."""
_HEAD = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:aegis-agents:policy",
    "title": "Aegis policy",
    "description": "What an AI agent's tool calls may do: each runs (auto), asks a person (approve) or is blocked.",
}


def _one_of(*keys: str) -> dict[str, Any]:
    return {"oneOf": [{"required": [key]} for key in keys]}


def _any_of(*keys: str) -> dict[str, Any]:
    return {"anyOf": [{"required": [key]} for key in keys]}


# What documents check of several keys together, as far as a schema can say it.
_TOGETHER: dict[str, dict[str, Any]] = {
    "Conditions": {
        "minProperties": 1,
        "dependentSchemas": {"timezone": _any_of("time_after", "time_before", "weekdays")},
    },
    "RuleDocument": {
        "if": {"required": ["conditions"], "properties": {"conditions": {"required": ["calls"]}}},
        "then": {"properties": {"approval": {"pattern": "^[Aa][Uu][Tt][Oo]$"}}},
    },
    "ResultRuleDocument": _one_of("redact", "max_bytes", "mark", "block"),
    "ResultConditions": {"minProperties": 1},
    "IncludeDocument": _one_of("pack", "file"),
    "PathSpec": _any_of("under", "name"),
    "SqlSpec": _any_of("statements", "tables", "where_required"),
    "UrlSpec": {"minProperties": 1},
    "EmailSpec": _any_of("domains", "addresses"),
}


def policy_schema() -> dict[str, Any]:
    """The schema (2020-12), made of the documents."""
    definitions: dict[str, Any] = {}
    top = _object(PolicyDocument, definitions)
    del top["description"]
    return {**_HEAD, "$defs": dict(sorted(definitions.items())), **top}


def schema_text() -> str:
    """The schema as the file has it."""
    return json.dumps(policy_schema(), indent=2, ensure_ascii=False) + "\n"


def _object(model: type[Document], definitions: dict[str, Any]) -> dict[str, Any]:
    """A document's schema; those of the documents within it are added to the definitions."""
    keys = keys_of(model)
    required = [name for name, key in keys.items() if key.required]
    return {
        "description": inspect.getdoc(model),
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(key, definitions) for name, key in keys.items()},
        **({"required": required} if required else {}),
        **_TOGETHER.get(model.__name__, {}),
    }


def _property(key: Key, definitions: dict[str, Any]) -> dict[str, Any]:
    default = key.default.name.lower() if isinstance(key.default, enum.Enum) else key.default
    shown = {"default": default} if isinstance(default, str | bool) else {}
    return {"description": key.doc, **shown, **_resolved(key.reader.schema, definitions)}


def _resolved(schema: Schema | Any, definitions: dict[str, Any]) -> Any:
    """A schema with references in the place of documents."""
    if isinstance(schema, type):
        if schema.__name__ not in definitions:
            definitions[schema.__name__] = {}  # its place, should it contain itself
            definitions[schema.__name__] = _object(schema, definitions)
        return {"$ref": f"#/$defs/{schema.__name__}"}
    if isinstance(schema, Mapping):
        return {name: _resolved(inner, definitions) for name, inner in schema.items()}
    return [_resolved(inner, definitions) for inner in schema] if isinstance(schema, list) else schema
