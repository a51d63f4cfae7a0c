"""The JSON Schema of policy files, for editors: the models of `document`, and what of their checks a schema can say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aegis_core.policy.document import PolicyDocument

__all__ = ["SCHEMA_FILE", "policy_schema", "schema_text"]

SCHEMA_FILE = Path(__file__).parents[1] / "schema" / "policy.schema.json"
"""The schema as it comes with the package; a test holds it to `schema_text`."""
_ID = "urn:aegis-agents:policy"

_CLOCK = {"pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_PATH = r"^(?!.*\[[0-9]+\](\.|$))[^.]*[^.\[\]][^.]*(\.[^.]*[^.\[\]][^.]*)*$"
_PARAMS = {"minProperties": 1, "propertyNames": {"pattern": _PATH}}
_PRINTABLE = {"pattern": r"^[^<\u0000-\u001f\u007f][^\u0000-\u001f\u007f]*$"}
_GLOB = {"type": "string", "pattern": r"^[^\s\u0000-\u001f](.*[^\s\u0000-\u001f])?$"}
_GLOBS = {"anyOf": [_GLOB, {"type": "array", "minItems": 1, "items": _GLOB}]}
_SOMETHING = {"not": {"type": "null"}}


def _one_of(*keys: str) -> dict[str, Any]:
    return {"oneOf": [{"required": [key]} for key in keys]}


def _any_of(*keys: str) -> dict[str, Any]:
    return {"anyOf": [{"required": [key]} for key in keys]}


# What the models check in code, as far as a schema can say it: by model, then by key, "" for the model itself.
_SHARPER: dict[str, dict[str, dict[str, Any]]] = {
    "Conditions": {
        "": {"minProperties": 1, "dependentSchemas": {"timezone": _any_of("time_after", "time_before", "weekdays")}},
        "time_after": _CLOCK,
        "time_before": _CLOCK,
        "until": {"pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T.*(Z|[+-][0-9]{2}:?[0-9]{2})$"},
        "weekdays": {
            "anyOf": [
                {"$ref": "#/$defs/Weekday"},
                {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Weekday"}},
            ],
        },
    },
    "Match": dict.fromkeys(("type", "target", "agent", "user"), _GLOBS),
    "CallsDocument": {"per": {"pattern": "^[1-9][0-9]{0,8}[smhd]$"}},
    "RuleDocument": {
        "": {
            "if": {"required": ["conditions"], "properties": {"conditions": {"required": ["calls"]}}},
            "then": {"properties": {"approval": {"pattern": "^[Aa][Uu][Tt][Oo]$"}}},
        },
        "name": _PRINTABLE,
    },
    "ResultRuleDocument": {"": _one_of("redact", "max_bytes", "mark", "block")},
    "ResultConditions": {"": {"minProperties": 1}},
    "IncludeDocument": {"": _one_of("pack", "file")},
    "PathSpec": {"": _any_of("under", "name")},
    "SqlSpec": {"": _any_of("statements", "tables", "where_required")},
    "EmailSpec": {"": _any_of("domains", "addresses")},
}


def policy_schema() -> dict[str, Any]:
    """The schema (2020-12), made from the document models."""
    schema: dict[str, Any] = _cleaned(PolicyDocument.model_json_schema())
    definitions = schema["$defs"]
    definitions["Weekday"] = {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 7},
            {"enum": [*_DAYS, *_LONG_DAYS]},
            {"type": "string", "pattern": f"^({'|'.join(map(_any_case, (*_DAYS, *_LONG_DAYS)))})$"},
        ]
    }
    for name, keys in _SHARPER.items():
        for key, more in keys.items():
            _add(definitions[name] if not key else definitions[name]["properties"][key], more)
    for name, field in definitions["Conditions"]["properties"].items():
        if name.startswith("param_") and name != "param_names":
            _add(field, _PARAMS)
            if name in ("param_eq", "param_contains"):
                field["additionalProperties"] = _SOMETHING
            elif name == "param_in":
                field["additionalProperties"] |= {"minItems": 1, "items": _SOMETHING}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": _ID,
        "title": "Aegis policy",
        "description": "What an AI agent's tool calls may do: each runs (auto), asks a person (approve) or is blocked.",
    }
    return {**head, **{key: value for key, value in schema.items() if key not in ("title", "description")}}


def schema_text() -> str:
    """The schema as the file has it."""
    return json.dumps(policy_schema(), indent=2, ensure_ascii=False) + "\n"


def _add(schema: dict[str, Any], more: dict[str, Any]) -> None:
    """Say more in a schema; alternatives replace what it says of a value's type, for they say it better."""
    if "anyOf" in more and "properties" not in schema:
        for key in ("type", "items", "anyOf", "minItems"):
            schema.pop(key, None)
    schema.update(more)


def _any_case(word: str) -> str:
    return "".join(f"[{letter.upper()}{letter}]" if letter.isalpha() else letter for letter in word)


def _cleaned(schema: Any) -> Any:
    """Without what is true in Python only: titles made of names, nulls for keys left out, enums in one case alone."""
    if isinstance(schema, list):
        return [_cleaned(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            found[key] = {name: _cleaned(inner) for name, inner in value.items()}
        elif key != "title" and (key != "default" or isinstance(value, str | bool)):
            found[key] = _cleaned(value)
    choices = [choice for choice in found.get("anyOf", ()) if choice != {"type": "null"}]
    if "anyOf" in found:
        if len(choices) == 1:
            del found["anyOf"]
            found = {**choices[0], **found}
        else:
            found["anyOf"] = choices
    for choice in [found, *found.get("anyOf", ())]:
        if choice.get("type") == "array" and "items" in choice and "prefixItems" not in choice and "anyOf" in found:
            choice["minItems"] = 1  # a list that stands where one thing could
    if found.get("type") == "string" and "enum" in found and all(word.islower() for word in found["enum"]):
        words = found.pop("enum")
        if words in (["auto", "approve", "block"], ["low", "medium", "high", "critical"]):
            del found["type"]
            pattern = f"^({'|'.join(map(_any_case, words))})$"
            found["anyOf"] = [{"enum": words}, {"type": "string", "pattern": pattern}]
        else:
            found["enum"] = words
    return found
