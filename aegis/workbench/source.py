"""A policy file as its author sees it: where everything stands, and which comments tell lint to look away."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aegis.core.policy import Policy
from aegis.workbench.findings import CODES, Finding, Level
from aegis_core.policy.loading import read_policy_text
from aegis_core.policy.yamltext import parse_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_core.policy.rule import Rule
    from aegis_core.policy.yamltext import Path as DataPath
    from aegis_core.policy.yamltext import Place

__all__ = ["Source", "comments", "read_source"]

_COMMENT = re.compile(r"(?:^|\s)#\s*aegis:\s*ignore\b(?P<rest>.*)$", re.IGNORECASE)
_CODES = re.compile(r"\s*(?P<codes>AEG\d{3}(?:\s*,\s*AEG\d{3})*)\s*(?:[-:\u2013]\s*(?P<reason>\S.*))?$")


@dataclass(frozen=True)
class Source:
    """A policy and the text it stands in.

    Attributes:
        file: The file, as it was named.
        text: Its text.
        policy: What it says, with what it includes.
        places: Where everything in it stands.
    """

    file: str
    text: str
    policy: Policy
    places: dict[DataPath, Place] = field(repr=False)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The file's own rules, without what it includes."""
        layer = self.policy.layers[0]
        return layer.rules[: len(layer.documents[0].rules)]

    def finding(
        self,
        code: str,
        message: str,
        *path: str | int,
        fix: str = "",
        at_key: bool = False,
        level: Level | None = None,
    ) -> Finding:
        """A finding about what stands at a path, or the nearest thing above it."""
        known = next((path[:end] for end in range(len(path), -1, -1) if path[:end] in self.places), ())
        place = self.places.get(known)
        line, column = (1, 1) if place is None else place.key if at_key and known == path else place.value
        rule = None
        if path[:1] == ("rules",) and len(path) > 1 and isinstance(path[1], int):
            rule = self.rules[path[1]].document.name
        dotted = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
        return Finding(code, self.file, line, column, message, rule, dotted or None, fix, level or CODES[code].level)


def read_source(path: Path) -> Source:
    """Read a policy file.

    Raises:
        PolicyError: If it is not a valid policy; lists every problem.
    """
    text = read_policy_text(path)
    policy = Policy.from_yaml(path)
    places: dict[DataPath, Place] = {}
    parse_yaml(text, str(path), places=places)
    return Source(str(path), text, policy, places)


@dataclass(frozen=True)
class Comment:
    """A comment that tells lint to look away.

    Attributes:
        line: Where it stands.
        codes: What it ignores.
        reason: Why; empty where it does not say.
        first: The first line it is about.
        last: The last.
    """

    line: int
    column: int
    codes: frozenset[str]
    reason: str
    first: int
    last: int


def comments(text: str, rules: list[tuple[int, int]]) -> list[Comment]:
    """The ignore comments of a file.

    Args:
        text: The file.
        rules: The first and last line of every entry (rules, results, trust).

    A comment is about its own line or, where it stands alone, the next one with anything on it; if an entry begins
    there it is about all of it, and if that is the line with ``version``, about the whole file.
    """
    lines = text.splitlines()
    found: list[Comment] = []
    for number, line in enumerate(lines, 1):
        match = _COMMENT.search(line)
        if match is None:
            continue
        about = number
        if not line[: match.start()].strip():
            below = (n for n in range(number + 1, len(lines) + 1) if not _is_blank(lines[n - 1]))
            about = next(below, number)
        last = next((end for begin, end in rules if begin == about), about)
        first = about
        if lines[about - 1].startswith(("version:", '"version":')):
            first, last = 1, len(lines)
        said = _CODES.match(match["rest"])
        codes = re.findall(r"AEG\d{3}", said["codes"]) if said else []
        reason = (said["reason"] or "") if said else ""
        column = line.index("#", match.start()) + 1
        found.append(Comment(number, column, frozenset(codes), reason, first, last))
    return found


def _is_blank(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")
