"""Where every rule of a policy stands: file and line. Found when somebody asks; calls never do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aegis_core.policy.origin import FromFile
from aegis_core.policy.yamltext import parse_yaml

if TYPE_CHECKING:
    from aegis_core.policy.policy import Policy
    from aegis_core.policy.yamltext import Path, Place

__all__ = ["RulePlace", "rule_places"]


class RulePlace(NamedTuple):
    """Where a rule stands.

    Attributes:
        source: The file, or what the program called the text.
        line: The line it begins on; None for what came from no file.
    """

    source: str
    line: int | None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


def rule_places(policy: Policy) -> dict[str, RulePlace]:
    """Per rule and result rule of a policy, by its name as decisions have it, where it stands.

    Of two rules of one name (merged policies may have such) it is the first, which is walked first.
    """
    places: dict[str, RulePlace] = {}
    parts = iter(policy.origin.parts)
    for layer in policy.layers:
        prefix = "" if layer.name is None else f"{layer.name}/"
        for document in layer.documents:
            part = next(parts)
            known: dict[Path, Place] = {}
            if isinstance(part, FromFile):
                parse_yaml(part.text, part.sources[0], places=known)
            for kind in ("rules", "results"):
                for number, rule in enumerate(getattr(document, kind)):
                    place = known.get((kind, number))
                    line = None if place is None else place.value[0]
                    places.setdefault(f"{prefix}{rule.name}", RulePlace(part.sources[0], line))
    return places
