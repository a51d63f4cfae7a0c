"""The schema for editors: it takes what the loader takes, and refuses what a schema can refuse."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given

from aegis import Policy
from aegis.workbench.schema import SCHEMA_FILE, policy_schema, schema_text
from tests.core.policy.strategies import examples
from tests.workbench.universe import rules

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
WRONG = ROOT / "tests" / "core" / "policy"
SHIPPED = sorted(
    file
    for folder in ("examples/policies", "aegis/packs", "aegis/demo", "benchmarks/agentdojo/policies")
    for file in (ROOT / folder).glob("*.yaml")
    if not file.name.endswith(".aegis-test.yaml")
)
SCHEMA = jsonschema.Draft202012Validator(policy_schema())

# What no schema can say: RE2's syntax, closed brackets, mixed scripts, equal times, known zones, 1.0 that is not 1.
BEYOND = (
    'match: {type: "a[b"}',
    "match: {user: [b, рaul]}",
    'conditions: {param_matches: {a: "(b"}}',
    'conditions: {time_after: "18:00", time_before: "18:00"}',
    "conditions: {weekdays: mon, timezone: Mars/Base}",
    "conditions: {weekdays: mon, timezone: ../etc}",
    "version: 1.0",
)


def wrong(what: str) -> list[str]:
    entries = (WRONG / f"wrong_{what}.txt").read_text(encoding="utf-8").split("\n\n")
    texts = [entry.strip("\n").split("=> ")[0].removesuffix("\n") for entry in entries]
    if what == "files":
        return texts
    bodies = ["".join(f"    {line}\n" for line in text.splitlines()) for text in texts]
    return [f'version: "1"\nrules:\n  - name: r\n    approval: auto\n{body}' for body in bodies]


def test_the_schema_in_the_package_is_the_one_the_models_make():
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), "run: aegis/workbench/schema.py's schema_text()"
    jsonschema.Draft202012Validator.check_schema(policy_schema())


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_every_policy_we_ship_fits_and_names_the_schema_in_its_first_line(file: Path):
    text = file.read_text(encoding="utf-8")
    SCHEMA.validate(yaml.safe_load(text))
    first = text.splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (file.parent / first.partition("$schema=")[2]).resolve() == SCHEMA_FILE.resolve()


@pytest.mark.parametrize("text", [*wrong("rules"), *wrong("files")])
def test_what_the_loader_refuses_the_schema_refuses_where_it_can(text: str):
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError:
        return  # no editor gets as far as a schema
    beyond = any(text.strip().endswith(known) for known in BEYOND)
    assert SCHEMA.is_valid(data) == beyond


@examples(100)
@given(rules(most=4))
def test_what_the_loader_takes_the_schema_takes(found: list[dict[str, Any]]):
    data = {"version": "1", "rules": found, "defaults": {"approval": "APPROVE", "risk_level": "Low"}}
    Policy.from_dict(copy.deepcopy(data))
    SCHEMA.validate(data)


@pytest.mark.parametrize(
    "data",
    [
        {"rules": [{"name": "a", "approval": "auto", "conditions": {"weekdays": 3}}]},
        {"rules": [{"name": "a", "approval": "auto", "conditions": {"weekdays": ["Mon", 7, "sunday"]}}]},
        {"rules": [{"name": "a", "approval": "Auto", "conditions": {"calls": {"max": 1, "per": "1h"}}}]},
        {
            "rules": [
                {"name": "a", "approval": "auto", "conditions": {"param_gt": {"a[].b": 1.5}, "param_in": {"a": [1]}}}
            ]
        },
        {"results": [{"name": "a", "block": True}], "trust": [{"match": {}, "results": "trusted"}]},
        {"results": [{"name": "a", "redact": {"secrets": True}}], "redact": {"keys": ["a"]}},
        {"include": "filesystem"},
        {"include": ["filesystem", {"pack": "fetch", "host": "example.com"}]},
    ],
)
def test_every_way_of_writing_is_known(data: dict[str, Any]):
    SCHEMA.validate({"version": 1, **data})
    if "include" not in data:
        Policy.from_dict({"version": 1, **data})


def test_every_key_is_described():
    for name, model in policy_schema()["$defs"].items():
        for key, field in model.get("properties", {}).items():
            assert field.get("description"), f"{name}.{key}"
