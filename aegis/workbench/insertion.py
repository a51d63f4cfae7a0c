"""Putting rules into the text of a policy file: comments and layout of everything else stay as they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from aegis.errors import AegisError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["DEFAULT", "NoPlace", "insert_rule", "literal_glob", "rule_word", "set_approval"]

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]{3,}")

DEFAULT = "<default>"
"""What stands for the place after all rules."""


class NoPlace(AegisError):  # noqa: N818 - it says what is missing
    """A rule does not stand in the text itself."""


def literal_glob(name: str) -> str:
    """A glob that matches this name alone."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def rule_word(name: str) -> str:
    """A tool's name as part of a rule's: at most 60 plain characters."""
    return "".join(char if char.isascii() and (char.isalnum() or char in "_-.") else "_" for char in name)[:60]


def insert_rule(text: str, rule: Mapping[str, Any], before: str, comments: Sequence[str] = ()) -> str:
    """The text with a rule directly before another, so that every rule in front of that one still comes first.

    Args:
        text: A policy file's text that loads.
        rule: The rule, as plain data.
        before: The name of the other; `DEFAULT` for the end.
        comments: Lines to stand above it, without their ``#``; left out where rules are written in one line.

    Raises:
        NoPlace: The other rule does not stand in this text itself, or the end of all rules does not.
    """
    items = _part(text, "rules")
    rules = items.value if isinstance(items, yaml.SequenceNode) else []
    place = next((item for item in rules if _value(item, "name") == before), None)
    if place is None and before != DEFAULT:
        raise NoPlace(f"the rule {before!r} does not stand in this file itself; add a rule by hand")
    if place is None and _part(text, "include") is not None:
        raise NoPlace("the rules of the files it includes come after this file's own; add a rule by hand")
    newline = "\r\n" if "\r\n" in text else "\n"
    if not isinstance(items, yaml.SequenceNode):
        own = newline.join(["rules:", *_block(rule, "  ", comments)])
        return text.rstrip() + newline + newline + own + newline
    if items.flow_style:
        return _inserted_in_flow(text, rule, items, place)
    return _inserted_in_block(text, _block(rule, " " * items.start_mark.column, comments), items, place, newline)


def set_approval(text: str, name: str, approval: str) -> str:
    """The text with another ``approval`` for a rule.

    Raises:
        NoPlace: The rule does not stand in this text itself.
    """
    items = _part(text, "rules")
    for item in items.value if isinstance(items, yaml.SequenceNode) else ():
        if _value(item, "name") == name:
            node = next(value for key, value in _pairs(item) if key.value == "approval")
            return text[: node.start_mark.index] + approval + text[node.end_mark.index :]
    raise NoPlace(f"the rule {name!r} does not stand in this file itself; change it by hand")


def _part(text: str, name: str) -> Any:
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    return next((value for key, value in _pairs(root) if key.value == name), None)


def _inserted_in_flow(text: str, rule: Mapping[str, Any], items: Any, place: Any) -> str:
    own = _dumped(dict(rule), flow=True).strip()
    if place is not None:
        at = place.start_mark.index
        return f"{text[:at]}{own}, {text[at:]}"
    at = items.value[-1].end_mark.index if items.value else items.start_mark.index + 1
    comma = ", " if items.value else ""
    return f"{text[:at]}{comma}{own}{text[at:]}"


def _inserted_in_block(text: str, block: list[str], items: Any, place: Any, newline: str) -> str:
    lines = text.splitlines()
    if place is not None:
        at = place.start_mark.line
        while not lines[at].lstrip().startswith("-"):  # the dash may stand on a line of its own
            at -= 1
        while at > 0 and lines[at - 1].lstrip().startswith("#"):  # what is said about a rule stays with it
            at -= 1
    else:
        at = items.end_mark.line
        while not lines[at - 1].strip() or lines[at - 1].lstrip().startswith("#"):
            at -= 1
    done = [*lines[:at], *block, *([""] if place is not None and at < len(lines) else []), *lines[at:]]
    return newline.join(done) + newline


def _block(rule: Mapping[str, Any], indent: str, comments: Sequence[str]) -> list[str]:
    own = _dumped([dict(rule)], flow=None)
    return [indent + line for line in (*(f"# {comment}" for comment in comments), *own.splitlines())]


class _Quoting(yaml.SafeDumper):
    """Leaves no word plain that somebody may read as something else: ``n``, ``no``, ``12e3``, ``18:00``."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - pyyaml's signature
        """Write everything out: a policy has no anchors."""
        return True


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = _PLAIN.fullmatch(text) and text.lower() not in ("true", "false", "null")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Quoting.add_representer(str, _quoted)


def _dumped(value: Any, *, flow: bool | None) -> str:
    return yaml.dump(value, Dumper=_Quoting, sort_keys=False, default_flow_style=flow, width=1 << 20)


def _pairs(node: Any) -> list[tuple[Any, Any]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _value(item: Any, name: str) -> str | None:
    return next((value.value for key, value in _pairs(item) if key.value == name), None)
