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


def rule_places(policy: Policy) -> dict[int, RulePlace]:
    """Where each rule and result rule of a policy's layers stands, by the rule's `id`: names may be there twice."""
    places: dict[int, RulePlace] = {}
    parts = iter(policy.origin.parts)
    for layer in policy.layers:
        compiled = {"rules": iter(layer.rules), "results": iter(layer.results)}
        for document in layer.documents:
            part = next(parts)
            known: dict[Path, Place] = {}
            if isinstance(part, FromFile):
                parse_yaml(part.text, part.sources[0], places=known)
            for kind, rules in compiled.items():
                for number in range(len(getattr(document, kind))):
                    place = known.get((kind, number))
                    line = None if place is None else place.value[0]
                    places[id(next(rules))] = RulePlace(part.sources[0], line)
    return places
