"""Rules about what tools return: mask secrets, cut what is too long, mark what is not to be trusted, or withhold it.

What a policy file may say about them, which of them apply to a result, and in which order. What they do to it is in
`screening`.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from aegis_core.policy.conditions.regex import compile_regex
from aegis_core.policy.screening import Contents, cut, marked, redacted, withheld
from aegis_core.policy.trust import EVERY_TOOL, ToolMatch, ToolPattern
from aegis_core.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_core.action import Action

__all__ = ["RedactDocument", "ResultConditions", "ResultRule", "ResultRuleDocument", "screen", "withheld"]

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)


# --- what a policy file may say --------------------------------------------------------------------------------------


def _pattern(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"must be an RE2 pattern (text), got {value!r}")
    compile_regex(value)
    return value


class RedactDocument(BaseModel):
    """Secrets of your own, masked besides those every policy masks (passwords, tokens, keys, card numbers)."""

    model_config = _STRICT

    keys: tuple[str, ...] = Field((), strict=False, description="Names whose values are secret, in any case style.")
    patterns: tuple[str, ...] = Field((), strict=False, description="RE2 patterns whose matches are secret.")

    @model_validator(mode="after")
    def _usable(self) -> RedactDocument:
        if self.keys or self.patterns:
            Redactor(self.keys, self.patterns)  # raises ValueError, naming the culprit
        return self


class ResultRedactDocument(RedactDocument):
    """What is masked in a result."""

    secrets: Literal[True] = Field(
        default=True, description="Known secrets are always masked; write it where nothing else is said."
    )


class ResultConditions(BaseModel):
    """What must hold of a result for a result rule to apply. All of them must."""

    model_config = _STRICT

    result_matches: Annotated[str, BeforeValidator(_pattern)] | None = Field(
        None, description="RE2 finds this pattern in a text of the result."
    )
    result_contains: str | None = Field(None, min_length=1, description="A text of the result contains this text.")
    result_larger_than: int | None = Field(
        None, ge=0, description="The result's texts are more bytes than this (UTF-8)."
    )

    @model_validator(mode="after")
    def _something(self) -> ResultConditions:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError("conditions is empty; leave it out or name one")
        return self


class ResultRuleDocument(BaseModel):
    """A rule about results: which ones, and the one thing that happens to them."""

    model_config = _STRICT

    name: str = Field(min_length=1, max_length=200, description="Names the rule on the trail; unique in the file.")
    match: ToolMatch = Field(EVERY_TOOL, description="Which tools' results; absent: every tool's.")
    conditions: ResultConditions | None = Field(None, description="What must hold of the result.")
    redact: ResultRedactDocument | None = Field(
        None, description="Mask secrets, and what these keys and patterns name."
    )
    max_bytes: int | None = Field(
        None, ge=0, description="Keep this many bytes of text (UTF-8); a mark stands at the cut."
    )
    mark: Literal["untrusted"] | None = Field(
        None, description="Put the text between marks that say it is data and no instruction."
    )
    block: Literal[True] | None = Field(None, description="Withhold the result; the caller gets a sentence instead.")

    @model_validator(mode="after")
    def _one_effect(self) -> ResultRuleDocument:
        effects = [name for name in ("redact", "max_bytes", "mark", "block") if getattr(self, name) is not None]
        if len(effects) != 1:
            got = ", ".join(effects) or "none"
            raise ValueError(
                f"result rule {self.name!r} must have exactly one of redact, max_bytes, mark and block, got {got}"
            )
        return self


# --- what it means ---------------------------------------------------------------------------------------------------


class ResultRule:
    """A result rule, ready to be applied.

    Attributes:
        name: Its name, with its layer's name in front under a hierarchy.
    """

    __slots__ = ("_conditions", "_pattern", "document", "name", "redactor", "tools")

    def __init__(self, document: ResultRuleDocument, layer: str | None = None) -> None:
        self.name = document.name if layer is None else f"{layer}/{document.name}"
        self.document = document
        self.tools = ToolPattern.of(document.match)
        self._conditions = document.conditions
        pattern = document.conditions.result_matches if document.conditions else None
        self._pattern = compile_regex(pattern).search if pattern is not None else None
        self.redactor = Redactor(document.redact.keys, document.redact.patterns) if document.redact else None

    def applies(self, action: Action, result: Contents) -> bool:
        """Whether the rule holds for a result or cannot be decided."""
        if self.tools.match(action.type, action.target) is False:
            return False
        if self._conditions is None or result.opaque:
            return True
        wanted = self._conditions
        if wanted.result_larger_than is not None and result.size <= wanted.result_larger_than:
            return False
        if wanted.result_contains is not None and not any(wanted.result_contains in text for text in result.texts):
            return False
        return self._pattern is None or any(_found(self._pattern, text) for text in result.texts)


def _found(search: Callable[[str], Any], text: str) -> bool:
    try:
        return search(text) is not None
    except UnicodeEncodeError:  # a lone surrogate: undecided
        return True


def screen(rules: Sequence[ResultRule], action: Action, value: Any) -> tuple[Any, tuple[str, ...]]:
    """Apply result rules to what a tool returned.

    All that hold or cannot be decided apply, in order; a mark is put around what the others left, and a block replaces
    it all.

    Returns:
        What the caller is to get, and the names of the rules that applied. The value itself is never changed.
    """
    concerned = [rule for rule in rules if rule.tools.match(action.type, action.target) is not False]
    if not concerned or value is None or isinstance(value, bool):
        return value, ()
    try:
        read = Contents(value)
    except RecursionError:
        names = tuple(rule.name for rule in concerned)
        return withheld(action, value, "it nests too deep, or contains itself"), names
    applying = [rule for rule in concerned if rule.applies(action, read)]
    if not applying:
        return value, ()
    names = tuple(rule.name for rule in applying)
    for rule in applying:
        if rule.document.block:
            return withheld(action, value, f"rule {rule.name!r} withholds it"), names
    if read.opaque is not None:
        return withheld(action, value, f"rule {names[0]!r} cannot look into a {read.opaque}"), names
    for rule in applying:
        if rule.redactor is not None:
            value = redacted(rule.redactor, value)
        elif rule.document.max_bytes is not None:
            value = cut(value, rule.document.max_bytes, rule.name)
    if any(rule.document.mark for rule in applying):
        value = marked(value, secrets.token_hex(8))
    return value, names
