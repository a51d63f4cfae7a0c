"""What a policy file may say: the grammar, checked strictly, every problem found and placed.

The pydantic models below *are* the grammar (and the JSON Schema editors use). They hold data only; `conditions` and `layer` give
it meaning.
"""

from __future__ import annotations

import difflib
import typing
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from aegis_core.decision import Approval, RiskLevel
from aegis_core.errors import PolicyError, Problem
from aegis_core.policy.conditions.grammar import Conditions
from aegis_core.policy.globs import glob_problem
from aegis_core.policy.results import RedactDocument, ResultRuleDocument
from aegis_core.policy.trust import TrustDocument
from aegis_core.policy.yamltext import parse_yaml

__all__ = ["Defaults", "Match", "PolicyDocument", "RuleDocument", "document_from_dict", "document_from_text"]

Path = tuple[str | int, ...]


def _enum_member(kind: type[Approval] | type[RiskLevel]) -> BeforeValidator:
    members = {member.name.lower(): member for member in kind}

    def convert(value: object) -> Approval | RiskLevel:
        member = members.get(value.lower()) if isinstance(value, str) else None
        if member is None and isinstance(value, kind):
            member = value
        if member is None:
            raise ValueError(f"must be one of {', '.join(members)}, got {value!r}{_did_you_mean(value, members)}")
        return member

    return BeforeValidator(convert, json_schema_input_type=Literal[tuple(members)])  # type: ignore[valid-type]


def _globs(value: object) -> object:
    patterns: list[object] = [value] if isinstance(value, str) else value  # type: ignore[assignment]
    if not isinstance(patterns, list | tuple) or not all(isinstance(pattern, str) for pattern in patterns):
        raise ValueError(f"must be a glob or a list of globs (text), got {value!r}")
    if not patterns:
        raise ValueError("is an empty list and would match nothing; leave the key out to match everything")
    for pattern in patterns:
        problem = glob_problem(typing.cast("str", pattern))
        if problem:
            raise ValueError(f"pattern {pattern!r} {problem}")
    return tuple(patterns)


def _version(value: object) -> object:
    if value == "1" or (value == 1 and isinstance(value, int) and not isinstance(value, bool)):
        return "1"
    raise ValueError(f'must be "1", got {value!r}')


Globs = Annotated[tuple[str, ...], BeforeValidator(_globs, json_schema_input_type=str | list[str])]
AnyApproval = Annotated[Approval, _enum_member(Approval)]
AnyRisk = Annotated[RiskLevel, _enum_member(RiskLevel)]
_ANY = ("*",)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Match(_Strict):
    """Which calls a rule is about. All given keys must match; each is a glob or a list of globs."""

    type: Globs = Field(_ANY, description="The tool's name, e.g. 'read_*'.")
    target: Globs = Field(_ANY, description="The server or program the tool lives in, e.g. 'filesystem'.")
    agent: Globs = Field(_ANY, description="The agent that calls.")
    user: Globs = Field(_ANY, description="The user on whose behalf it calls.")


class Defaults(_Strict):
    """What happens to a call that no rule decides."""

    risk_level: AnyRisk = Field(RiskLevel.MEDIUM, description="Risk of a call that no rule decides (medium).")
    approval: AnyApproval = Field(Approval.BLOCK, description="What happens to a call that no rule decides (block).")


class RuleDocument(_Strict):
    """One rule: if the match and every condition hold, its approval is the answer."""

    name: str = Field(min_length=1, max_length=200, description="Names the rule on the trail and in messages; unique in the file.")
    match: Match = Field(default_factory=Match, description="Which calls the rule is about; absent: every call.")
    conditions: Conditions | None = Field(None, description="What must also hold of the arguments, the time or the session.")
    risk_level: AnyRisk = Field(RiskLevel.MEDIUM, description="How bad the call could be: low, medium, high or critical.")
    approval: AnyApproval = Field(description="auto (run), approve (ask a person first) or block.")

    @model_validator(mode="after")
    def _budget_opens(self) -> RuleDocument:
        if self.conditions is not None and self.conditions.calls is not None and self.approval is not Approval.AUTO:
            raise ValueError(
                f"calls stands on rules with approval: auto only, not {self.approval.value}: past the limit a rule no longer "
                "applies, and a rule that asks or blocks would open"
            )
        return self

    @model_validator(mode="after")
    def _reserved(self) -> RuleDocument:
        if self.name.startswith("<") or not self.name.isprintable():
            raise ValueError(f"rule name {self.name!r} must be printable and must not begin with '<'")
        return self


class PolicyDocument(_Strict):
    """A policy file."""

    version: Annotated[
        str, BeforeValidator(_version, json_schema_input_type=Literal["1", 1]), Field(description="Always '1'.")
    ]
    defaults: Defaults | None = Field(None, description="What happens to calls no rule decides; absent: medium, block.")
    rules: tuple[RuleDocument, ...] = Field((), description="Walked in order; the first that holds decides.", strict=False)
    trust: tuple[TrustDocument, ...] = Field(
        (), description="Which tools' results count as trusted for param_from; the first entry that matches decides.", strict=False
    )
    results: tuple[ResultRuleDocument, ...] = Field(
        (), description="What happens to what tools return; all that apply do, in order, block last.", strict=False
    )
    redact: RedactDocument | None = Field(None, description="More secrets to keep off the trail.")


def _did_you_mean(word: object, known: typing.Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word).lower(), list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _model_at(path: Path) -> type[BaseModel] | None:
    """The model whose fields are the keys allowed at ``path``."""
    kind: Any = PolicyDocument
    for step in path:
        while typing.get_origin(kind) is not None and not isinstance(kind, type(BaseModel)):
            arguments = [argument for argument in typing.get_args(kind) if argument is not type(None) and argument is not ...]
            if typing.get_origin(kind) is dict:
                arguments = arguments[1:]
            if not arguments:
                return None
            kind = arguments[0]
            if isinstance(step, int) or typing.get_origin(kind) is None:
                break
        if isinstance(step, str) and isinstance(kind, type) and issubclass(kind, BaseModel):
            if step not in kind.model_fields:
                return None
            kind = _unwrap(kind.model_fields[step].annotation, step)
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            continue
        else:
            kind = _unwrap(kind, step)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _unwrap(kind: Any, _step: str | int) -> Any:
    """Strip ``X | None``, ``tuple[X, ...]`` and ``dict[str, X]`` down to X where X is a model."""
    while typing.get_origin(kind) is not None:
        arguments = [argument for argument in typing.get_args(kind) if argument is not type(None) and argument is not ...]
        kind = arguments[-1] if arguments else None
    return kind


_MESSAGES = {
    "missing": "missing required key {key!r}",
    "string_type": "{key!r} must be text, got {input!r}",
    "bool_type": "{key!r} must be true or false, got {input!r}",
    "int_type": "{key!r} must be a whole number, got {input!r}",
    "float_type": "{key!r} must be a number, got {input!r}",
    "dict_type": "{key!r} must be a mapping, got {input!r}",
    "model_type": "{key!r} must be a mapping, got {input!r}",
    "model_attributes_type": "{key!r} must be a mapping, got {input!r}",
    "tuple_type": "{key!r} must be a list, got {input!r}",
    "list_type": "{key!r} must be a list, got {input!r}",
    "string_too_short": "{key!r} must not be empty",
}


def _sentence(kind: str, error: dict[str, Any], path: Path) -> str:
    key = next((step for step in reversed(path) if isinstance(step, str)), "the file")
    shown = error.get("input")
    if isinstance(shown, dict | list | tuple):
        shown = type(shown).__name__
    if kind == "extra_forbidden":
        model = _model_at(path[:-1])
        known = list(model.model_fields) if model is not None else []
        hint = _did_you_mean(key, known) or (f"; known keys are {', '.join(sorted(known))}" if known else "")
        return f"unknown key {key!r}{hint}"
    if kind in _MESSAGES:
        return _MESSAGES[kind].format(key=key, input=shown)
    message = error["msg"]
    return f"{key}: {message.removeprefix('Value error, ')}"


class _Placing:
    """Turns paths within the data into problems with line and column, where there is text."""

    def __init__(self, data: Any, source: str, text: str | None) -> None:
        self.data = data
        self.source = source
        self.positions: dict[Path, tuple[int, int]] = {}
        if text is not None:
            parse_yaml(text, source, positions=self.positions)

    def problem(self, path: Path, message: str) -> Problem:
        line, column = None, None
        for end in range(len(path), -1, -1):
            if path[:end] in self.positions:
                line, column = self.positions[path[:end]]
                break
        rule = None
        if len(path) >= 2 and path[0] == "rules" and isinstance(path[1], int):
            rules = self.data.get("rules") if isinstance(self.data, dict) else None
            entry = rules[path[1]] if isinstance(rules, list | tuple) and path[1] < len(rules) else None
            name = entry.get("name") if isinstance(entry, dict) else None
            rule = name if isinstance(name, str) else f"#{path[1] + 1}"
            message = f"rule {rule!r}: {message}"
        if line is None and path and not self.positions:
            message = f"{_dotted(path)}: {message}"
        return Problem(message, self.source, line, column, rule, _dotted(path))


def _dotted(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def _validate(data: Any, source: str, text: str | None, earlier: list[Problem]) -> PolicyDocument:
    problems = list(earlier)
    document: PolicyDocument | None = None
    placing: _Placing | None = None
    if not isinstance(data, dict):
        if not problems:
            what = "is empty" if data is None else f"holds {type(data).__name__}, not a mapping"
            problems.append(Problem(f'the policy {what}; it must begin with version: "1"', source, 1, 1))
        raise PolicyError(problems)
    try:
        document = PolicyDocument.model_validate(data)
    except ValidationError as failure:
        placing = _Placing(data, source, text)
        for error in failure.errors(include_url=False):
            path = tuple(step for step in error["loc"] if step != "[key]")
            problems.append(placing.problem(path, _sentence(error["type"], dict(error), path)))
    seen: dict[str, int] = {}
    for number, entry in enumerate(data.get("rules") or () if isinstance(data.get("rules"), list | tuple) else ()):
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str) and seen.setdefault(name, number) != number:
            placing = placing or _Placing(data, source, text)
            problems.append(
                placing.problem(
                    ("rules", number, "name"), f"duplicate rule name: rule number {seen[name] + 1} has it too; rename one"
                )
            )
    if problems or document is None:
        problems.sort(key=lambda problem: (problem.line or 0, problem.column or 0))
        raise PolicyError(problems)
    return document


def document_from_text(text: str, source: str) -> PolicyDocument:
    """Read a policy's text.

    Raises:
        PolicyError: Listing everything that is wrong with it.
    """
    data, problems = parse_yaml(text, source)
    return _validate(data, source, text, problems)


def document_from_dict(data: object, source: str = "<dict>") -> PolicyDocument:
    """Read a policy given as plain data, e.g. from JSON.

    Raises:
        PolicyError: Listing everything that is wrong with it.
    """
    return _validate(data, source, None, [])
