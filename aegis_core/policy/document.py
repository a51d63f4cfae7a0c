"""What a policy file may say.

The pydantic models below *are* the grammar (and the JSON Schema editors use). They hold data only: `checking` makes
them of a text and says what is wrong with it, `conditions` and `layer` give them meaning.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from aegis_core.decision import Approval, RiskLevel
from aegis_core.policy.conditions.grammar import Conditions
from aegis_core.policy.globs import glob_problem, literal_parts
from aegis_core.policy.include import Includes
from aegis_core.policy.names import refusal
from aegis_core.policy.results import RedactDocument, ResultRuleDocument
from aegis_core.policy.trust import TrustDocument
from aegis_core.policy.wording import close_to, shown

__all__ = ["Defaults", "Match", "PolicyDocument", "RuleDocument"]


def _member_of(kind: type[Approval | RiskLevel]) -> BeforeValidator:
    """Names of an enum's members, in any case."""
    members: dict[str, Approval | RiskLevel] = {member.name.lower(): member for member in kind}

    def convert(value: object) -> Approval | RiskLevel:
        if isinstance(value, kind):
            return value
        member = members.get(value.lower()) if isinstance(value, str) else None
        if member is None:
            guess = close_to(value, members)
            hint = f"; did you mean {guess!r}?" if guess else ""
            raise ValueError(f"must be one of {', '.join(members)}, got {shown(value)}{hint}")
        return member

    return BeforeValidator(convert, json_schema_input_type=Literal[tuple(members)])


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _one_or_more(value: object) -> object:
    """A list, or one thing that stands for a list of it."""
    if isinstance(value, list) and not value:
        raise ValueError("is an empty list and would match nothing; leave the key out to match everything")
    return _listed(value) if isinstance(value, (list, tuple)) else (value,)


def _name_pattern(pattern: str) -> str:
    problem = glob_problem(pattern)
    if problem is not None:
        raise ValueError(f"{shown(pattern)} {problem}")
    literal = literal_parts(pattern)
    refused = refusal(literal) if literal else None
    if refused is not None:
        raise ValueError(f"{shown(pattern)} {refused}; such names are refused before any rule is asked")
    if pattern.strip() != pattern:
        raise ValueError(f"{shown(pattern)} begins or ends with white space; remove it")
    return pattern


def _rule_name(name: str) -> str:
    if name.startswith("<"):
        raise ValueError(f"must not begin with '<', got {shown(name)}: such names stand for what is not a rule")
    if not name.isprintable():
        raise ValueError(f"must be printable, got {shown(name)}")
    return name


def _version(value: object) -> str:
    if (isinstance(value, str) and value == "1") or (type(value) is int and value == 1):
        return "1"
    raise ValueError(f'must be "1", got {shown(value)}')


def _given(value: object) -> object:
    if value is None:
        raise ValueError("is empty; give it a value or leave it out")
    return value


Given = BeforeValidator(_given)
"""A key that may be left out, but not left empty."""
Globs = Annotated[
    tuple[Annotated[str, AfterValidator(_name_pattern)], ...],
    BeforeValidator(_one_or_more, json_schema_input_type=str | list[str]),
]
RuleName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_rule_name)]
AnyApproval = Annotated[Approval, _member_of(Approval)]
AnyRisk = Annotated[RiskLevel, _member_of(RiskLevel)]
_ANY = ("*",)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Match(_Strict):
    """Which calls a rule is about. All given keys must match; each is a glob or a list of globs."""

    type: Globs = Field(default=_ANY, description="The tool's name, e.g. 'read_*'.")
    target: Globs = Field(default=_ANY, description="The server or program the tool lives in, e.g. 'filesystem'.")
    agent: Globs = Field(default=_ANY, description="The agent that calls.")
    user: Globs = Field(default=_ANY, description="The user on whose behalf it calls.")


EVERY_CALL = Match()


class Defaults(_Strict):
    """What happens to a call that no rule decides."""

    risk_level: AnyRisk = Field(default=RiskLevel.MEDIUM, description="Risk of a call that no rule decides (medium).")
    approval: AnyApproval = Field(
        default=Approval.BLOCK, description="What happens to a call that no rule decides (block)."
    )


class RuleDocument(_Strict):
    """One rule: if the match and every condition hold, its approval is the answer."""

    name: RuleName = Field(description="Names the rule on the trail and in messages; unique in the file.")
    match: Match = Field(default=EVERY_CALL, description="Which calls the rule is about; absent: every call.")
    conditions: Annotated[Conditions | None, Given] = Field(
        default=None, description="What must also hold of the arguments, the time or the session."
    )
    risk_level: AnyRisk = Field(
        RiskLevel.MEDIUM, description="How bad the call could be: low, medium, high or critical."
    )
    approval: AnyApproval = Field(description="auto (run), approve (ask a person first) or block.")

    @model_validator(mode="after")
    def _budget_opens(self) -> RuleDocument:
        if self.conditions is not None and self.conditions.calls is not None and self.approval is not Approval.AUTO:
            raise ValueError(
                f"calls stands on rules with approval: auto only, not {self.approval.value}: past the limit a rule no "
                "longer applies, and a rule that asks or blocks would open"
            )
        return self


class PolicyDocument(_Strict):
    """A policy file."""

    version: Annotated[
        str, BeforeValidator(_version, json_schema_input_type=Literal["1", 1]), Field(description="Always '1'.")
    ]
    defaults: Annotated[Defaults | None, Given] = Field(
        default=None, description="What happens to calls no rule decides; absent: medium, block."
    )
    rules: Annotated[tuple[RuleDocument, ...], BeforeValidator(_listed)] = Field(
        default=(), description="Walked in order; the first that holds decides."
    )
    trust: Annotated[tuple[TrustDocument, ...], BeforeValidator(_listed)] = Field(
        default=(),
        description="Which tools' results count as trusted for param_from; the first entry that matches decides.",
    )
    results: Annotated[tuple[ResultRuleDocument, ...], BeforeValidator(_listed)] = Field(
        default=(), description="What happens to what tools return; all that apply do, in order, block last."
    )
    redact: Annotated[RedactDocument | None, Given] = Field(
        default=None, description="More secrets to keep off the trail."
    )
    include: Includes = Field(
        default=(),
        description=(
            "Packs by name and files beside this one. Their rules, trust, results and redact come after this file's "
            "own, in this order; their defaults do not count."
        ),
    )
