"""Findings that compare the layers of a hierarchy: rules that another layer is stricter about, call by call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis.workbench.atoms import atoms_of
from aegis.workbench.cells import follows
from aegis.workbench.reach import ReachIndex, covers, reach_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis.workbench.findings import Finding
    from aegis.workbench.source import Source
    from aegis_core.policy.rule import Rule

__all__ = ["check_layers"]


class _Layer:
    """The rules of a layer, to be found by what they meet."""

    def __init__(self, source: Source) -> None:
        self.source = source
        layer = source.policy.layers[0]
        self.rules = layer.rules
        self.trust = layer.trust
        self.defaults = layer.documents[0].defaults
        self._reaches = [reach_of(rule.document.match) for rule in layer.rules]
        self._index = ReachIndex(self._reaches)

    def stricter(self, rule: Rule, other: _Layer) -> str | None:
        """What makes this layer stricter about every call that a rule of another decides; None if nothing is known."""
        reach = reach_of(rule.document.match)
        meeting = self._index.meeting(reach)
        if meeting is None:
            return None
        atoms = atoms_of(rule, other.trust)
        for number in meeting:
            mine = self.rules[number]
            if mine.approval.strictness <= rule.approval.strictness:
                return None  # it may decide, and is no stricter
            if follows(atoms, atoms_of(mine, self.trust)) and covers(self._reaches[number], reach):
                return f"rule {mine.document.name!r} of {self.source.file} says {mine.approval.value}"
        if self.defaults is not None and self.defaults.approval.strictness > rule.approval.strictness:
            return f"{self.source.file} says {self.defaults.approval.value} by default"
        return None


def check_layers(sources: Sequence[Source]) -> Iterator[Finding]:
    """Look for rules whose answer another layer always overrules: the strictest layer wins."""
    layers = [_Layer(source) for source in sources]
    for layer in layers:
        for number, rule in enumerate(layer.source.rules):
            for other in layers:
                stricter = None if other is layer else other.stricter(rule, layer)
                if stricter is not None:
                    message = (
                        f"rule {rule.document.name!r} says {rule.approval.value}, and for all of its calls {stricter}"
                    )
                    yield layer.source.finding("AEG017", message, "rules", number)
                    break
