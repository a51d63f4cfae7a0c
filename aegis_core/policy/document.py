"""What a policy file may say.

The documents below *are* the grammar (and the JSON Schema editors use). They hold data only: `checking` makes them of a
text and says what is wrong with it, `conditions` and `layer` give them meaning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_core.decision import Approval, RiskLevel
from aegis_core.policy.conditions.grammar import Conditions
from aegis_core.policy.globs import glob_problem, literal_parts
from aegis_core.policy.include import INCLUDES
from aegis_core.policy.names import refusal
from aegis_core.policy.readers import any_case, listed, one_or_more, text, the
from aegis_core.policy.reading import Document, Reader, key
from aegis_core.policy.results import RedactDocument, ResultRuleDocument
from aegis_core.policy.trust import TrustDocument
from aegis_core.policy.wording import close_to, shown

if TYPE_CHECKING:
    from aegis_core.policy.include import IncludeDocument

__all__ = ["APPROVAL", "RISK", "Defaults", "Match", "PolicyDocument", "RuleDocument"]

_PRINTABLE = r"^[^<\u0000-\u001f\u007f][^\u0000-\u001f\u007f]*$"
_GLOB = {"type": "string", "pattern": r"^[^\s\u0000-\u001f](.*[^\s\u0000-\u001f])?$"}


def _member_of(kind: type[Approval | RiskLevel]) -> Reader:
    """Names of an enum's members, in any case."""
    members: dict[str, Approval | RiskLevel] = {member.name.lower(): member for member in kind}

    def reads(value: object) -> Approval | RiskLevel:
        if isinstance(value, kind):
            return value
        member = members.get(value.lower()) if isinstance(value, str) else None
        if member is None:
            guess = close_to(value, members)
            hint = f"; did you mean {guess!r}?" if guess else ""
            raise ValueError(f"must be one of {', '.join(members)}, got {shown(value)}{hint}")
        return member

    words = list(members)
    pattern = f"^({'|'.join(map(any_case, words))})$"
    return Reader(reads, {"anyOf": [{"enum": words}, {"type": "string", "pattern": pattern}]})


def _globs(value: object) -> tuple[str, ...]:
    """One or more patterns for names."""
    if isinstance(value, list | tuple) and not value:
        raise ValueError("is an empty list and would match nothing; leave the key out to match everything")
    return _PATTERNS.read(value if isinstance(value, list | tuple) else (value,))  # type: ignore[no-any-return]


def _name_pattern(value: object) -> str:
    pattern: str = _TEXT.read(value)
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


def _rule_name(value: object) -> str:
    name: str = _NAME.read(value)
    if name.startswith("<"):
        raise ValueError(f"must not begin with '<', got {shown(name)}: such names stand for what is not a rule")
    if not name.isprintable():
        raise ValueError(f"must be printable, got {shown(name)}")
    return name


def _version(value: object) -> str:
    if (isinstance(value, str) and value == "1") or (type(value) is int and value == 1):
        return "1"
    raise ValueError(f'must be "1", got {shown(value)}')


_TEXT = text(empty=True)
_NAME = text(longest=200)
_PATTERNS = listed(Reader(_name_pattern, _GLOB))
GLOBS = one_or_more(_globs, _GLOB)
APPROVAL = _member_of(Approval)
RISK = _member_of(RiskLevel)
_ANY = ("*",)


class Match(Document):
    """Which calls a rule is about. All given keys must match; each is a glob or a list of globs."""

    type: tuple[str, ...] = key(GLOBS, "The tool's name, e.g. 'read_*'.", default=_ANY)
    target: tuple[str, ...] = key(GLOBS, "The server or program the tool lives in, e.g. 'filesystem'.", default=_ANY)
    agent: tuple[str, ...] = key(GLOBS, "The agent that calls.", default=_ANY)
    user: tuple[str, ...] = key(GLOBS, "The user on whose behalf it calls.", default=_ANY)


EVERY_CALL = Match()


class Defaults(Document):
    """What happens to a call that no rule decides."""

    risk_level: RiskLevel = key(RISK, "Risk of a call that no rule decides (medium).", default=RiskLevel.MEDIUM)
    approval: Approval = key(APPROVAL, "What happens to a call that no rule decides (block).", default=Approval.BLOCK)


class RuleDocument(Document):
    """One rule: if the match and every condition hold, its approval is the answer."""

    name: str = key(
        Reader(_rule_name, {"type": "string", "minLength": 1, "maxLength": 200, "pattern": _PRINTABLE}),
        "Names the rule on the trail and in messages; unique in the file.",
    )
    match: Match = key(the(Match), "Which calls the rule is about; absent: every call.", default=EVERY_CALL)
    conditions: Conditions | None = key(
        the(Conditions), "What must also hold of the arguments, the time or the session.", default=None
    )
    risk_level: RiskLevel = key(
        RISK, "How bad the call could be: low, medium, high or critical.", default=RiskLevel.MEDIUM
    )
    approval: Approval = key(APPROVAL, "auto (run), approve (ask a person first) or block.")

    def check_whole(self) -> None:
        """A budget stands on a rule that lets calls run."""
        if self.conditions is not None and self.conditions.calls is not None and self.approval is not Approval.AUTO:
            raise ValueError(
                f"calls stands on rules with approval: auto only, not {self.approval.value}: past the limit a rule no "
                "longer applies, and a rule that asks or blocks would open"
            )


class PolicyDocument(Document):
    """A policy file."""

    version: str = key(Reader(_version, {"enum": ["1", 1]}), "Always '1'.")
    defaults: Defaults | None = key(
        the(Defaults), "What happens to calls no rule decides; absent: medium, block.", default=None
    )
    rules: tuple[RuleDocument, ...] = key(
        listed(the(RuleDocument)), "Walked in order; the first that holds decides.", default=()
    )
    trust: tuple[TrustDocument, ...] = key(
        listed(the(TrustDocument)),
        "Which tools' results count as trusted for param_from; the first entry that matches decides.",
        default=(),
    )
    results: tuple[ResultRuleDocument, ...] = key(
        listed(the(ResultRuleDocument)),
        "What happens to what tools return; all that apply do, in order, block last.",
        default=(),
    )
    redact: RedactDocument | None = key(the(RedactDocument), "More secrets to keep off the trail.", default=None)
    include: tuple[IncludeDocument, ...] = key(
        INCLUDES,
        "Packs by name and files beside this one. Their rules, trust, results and redact come after this file's own, "
        "in this order; their defaults do not count.",
        default=(),
    )
