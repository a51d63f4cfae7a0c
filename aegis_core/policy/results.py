"""Rules about what tools return: mask secrets, cut what is too long, mark what is not to be trusted, or withhold it.

What a policy file may say about them, which of them apply to a result, and in which order. What they do to it is in
`screening`.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Literal

from aegis_core.policy.conditions.regex import compile_regex
from aegis_core.policy.readers import listed, one_of, text, the, whole
from aegis_core.policy.reading import Document, Reader, given, key
from aegis_core.policy.screening import Contents, cut, marked, redacted, withheld
from aegis_core.policy.trust import EVERY_TOOL, ToolMatch, ToolPattern
from aegis_core.policy.wording import shown
from aegis_core.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aegis_core.action import Action

__all__ = ["RedactDocument", "ResultConditions", "ResultRule", "ResultRuleDocument", "screen", "withheld"]


# --- what a policy file may say --------------------------------------------------------------------------------------


def _pattern(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be an RE2 pattern (text), got {shown(value)}")
    compile_regex(value)
    return value


_TEXTS = listed(text(empty=True))


class RedactDocument(Document):
    """Secrets of your own, masked besides those every policy masks (passwords, tokens, keys, card numbers)."""

    keys: tuple[str, ...] = key(_TEXTS, "Names whose values are secret, in any case style.", default=())
    patterns: tuple[str, ...] = key(_TEXTS, "RE2 patterns whose matches are secret.", default=())

    def check_whole(self) -> None:
        """Patterns must be patterns."""
        if self.keys or self.patterns:
            Redactor(self.keys, self.patterns)  # raises ValueError, naming the culprit


class ResultRedactDocument(RedactDocument):
    """What is masked in a result."""

    secrets: Literal[True] = key(
        one_of(True),  # noqa: FBT003 - the value itself
        "Known secrets are always masked; write it where nothing else is said.",
        default=True,
    )


class ResultConditions(Document):
    """What must hold of a result for a result rule to apply. All of them must."""

    result_matches: str | None = key(
        Reader(_pattern, {"type": "string"}), "RE2 finds this pattern in a text of the result.", default=None
    )
    result_contains: str | None = key(text(), "A text of the result contains this text.", default=None)
    result_larger_than: int | None = key(
        whole(least=0), "The result's texts are more bytes than this (UTF-8).", default=None
    )

    def check_whole(self) -> None:
        """There must be a condition."""
        if not given(self):
            raise ValueError("conditions is empty; leave it out or name one")


class ResultRuleDocument(Document):
    """A rule about results: which ones, and the one thing that happens to them."""

    name: str = key(text(longest=200), "Names the rule on the trail; unique in the file.")
    match: ToolMatch = key(the(ToolMatch), "Which tools' results; absent: every tool's.", default=EVERY_TOOL)
    conditions: ResultConditions | None = key(the(ResultConditions), "What must hold of the result.", default=None)
    redact: ResultRedactDocument | None = key(
        the(ResultRedactDocument), "Mask secrets, and what these keys and patterns name.", default=None
    )
    max_bytes: int | None = key(
        whole(least=0), "Keep this many bytes of text (UTF-8); a mark stands at the cut.", default=None
    )
    mark: Literal["untrusted"] | None = key(
        one_of("untrusted"), "Put the text between marks that say it is data and no instruction.", default=None
    )
    block: Literal[True] | None = key(
        one_of(True),  # noqa: FBT003 - the value itself
        "Withhold the result; the caller gets a sentence instead.",
        default=None,
    )

    def check_whole(self) -> None:
        """One thing happens to a result."""
        effects = [name for name in ("redact", "max_bytes", "mark", "block") if getattr(self, name) is not None]
        if len(effects) != 1:
            got = ", ".join(effects) or "none"
            raise ValueError(
                f"result rule {self.name!r} must have exactly one of redact, max_bytes, mark and block, got {got}"
            )


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
