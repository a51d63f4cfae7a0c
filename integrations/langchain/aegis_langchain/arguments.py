"""A tool's validated arguments: what of them is judged, and what the tool then gets."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from aegis_core.plain import plain
from aegis_core.snapshot import freeze, has_opaque

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Arguments"]


class Arguments:
    """A call's arguments. JSON-like ones are judged and handed over as the action's own snapshot.

    A tool's schema may turn the model's JSON into objects: nested models, dates, enums. Of such an argument a private
    copy is taken; the data in it is judged, and that very copy goes to the tool. What holds anything but data stays as
    it is, opaque to every condition.

    Args:
        given: By name.

    Attributes:
        judged: By name, for the `Action`.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.judged: dict[str, Any] = dict(given)
        self._copies: dict[str, Any] = {}
        for name, value in given.items():
            if has_opaque(freeze(value)):
                self._take(name, value)

    def _take(self, name: str, value: Any) -> None:
        try:
            private = copy.deepcopy(value)
            data = plain(private)
        except Exception:  # noqa: BLE001 - a stranger's object; what cannot be copied or read goes by reference
            return
        if not has_opaque(freeze(data)):
            self.judged[name], self._copies[name] = data, private

    def to_run(self, approved: Mapping[str, Any]) -> dict[str, Any]:
        """What the tool gets for the judged arguments."""
        return {name: self._copies.get(name, value) for name, value in approved.items()}
