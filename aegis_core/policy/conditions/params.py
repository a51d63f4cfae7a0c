"""Conditions about parameters: a test, put to the value or values a path names; and which parameters there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis_core.policy.conditions.lookup import Missing, ParamPath, Several, plainly_named
from aegis_core.policy.conditions.truth import Finding, all_of
from aegis_core.policy.names import fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_core.action import Action
    from aegis_core.policy.conditions.comparisons import ValueTest
    from aegis_core.policy.conditions.truth import Context, Truth

__all__ = ["ParamCondition", "ParamNames"]

_SHOWN = 5
"""Elements of a list whose reasons are given."""


class ParamCondition:
    """Asks a `ValueTest` about what a `ParamPath` names.

    Absent or null is false; a key that is there only under another spelling (``SQL`` for ``sql``) is undecided; several
    values, and the elements of a list, must agree.

    Args:
        kind: The condition's name in a policy.
        path: The path.
        test: The test.
        whole: Whether the test is about a list as such, and not about its elements.
    """

    __slots__ = ("_ask", "_path", "_plain", "_test", "_whole", "kind")

    def __init__(self, kind: str, path: str, test: ValueTest, *, whole: bool = False) -> None:
        self.kind = kind
        self._path = ParamPath(path)
        self._plain = self._path.plain
        self._test = test
        self._ask = test.judge
        self._whole = whole

    def testing(self, test: ValueTest) -> ParamCondition:
        """The same parameter, put to another test."""
        other = object.__new__(ParamCondition)
        other.kind, other._path, other._plain, other._whole = self.kind, self._path, self._plain, self._whole
        other._test, other._ask = test, test.judge
        return other

    def judge(self, action: Action, context: Context) -> Truth:
        """Whether the value, or every one of the values, satisfies the test."""
        params = action.params
        if self._plain is not None:
            if context.plain is None:
                context.plain = plainly_named(params)
            if context.plain:
                value = params.get(self._plain)
                if value.__class__ is str:
                    return self._ask(value)
                return False if value is None else self._judge(value)
        return self._judge(self._path.find(params))

    def _judge(self, value: Any) -> Truth:
        if value.__class__ is Several:
            return all_of([False if item is None else self._judge(item) for item in value.values])
        if value.__class__ is Missing:
            truth: Truth = value.truth
            return truth
        if not self._whole and isinstance(value, (list, tuple)):
            return all_of([False if item is None else self._ask(item) for item in value])
        return self._ask(value)

    def explain(self, action: Action, context: Context) -> Finding:
        """The same with the value and the reason."""
        found = self._path.find(action.params)
        shown = None if isinstance(found, Missing) else found.values if isinstance(found, Several) else found
        label = f"{self.kind} {self._path.text}"
        return Finding(label, shown, self.judge(action, context), self._why(found))

    def _why(self, value: Any) -> str:
        if isinstance(value, Missing):
            return value.why
        if value is None:
            return "null"
        if isinstance(value, Several) or (not self._whole and isinstance(value, (list, tuple))):
            items = value.values if isinstance(value, Several) else value
            parts = [f"[{number}] {self._why(item)}" for number, item in enumerate(items[:_SHOWN])]
            return "; ".join(parts) + ("; …" if len(items) > _SHOWN else "") or "the list is empty"
        return self._test.why(value)


class ParamNames:
    """Holds for calls that have no parameters but the ones named. Whether they have all of them does not matter.

    A parameter that is another spelling of one named (``Path`` for ``path``) is doubt.
    """

    __slots__ = ("_folded", "_names")

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._folded = frozenset(map(fold, names))

    def judge(self, action: Action, context: Context) -> Truth:  # noqa: ARG002 - every condition is asked alike
        """Whether every parameter is one of those named."""
        truth: Truth = True
        for name in action.params:
            if name not in self._names:
                if name.__class__ is str and fold(name) not in self._folded:
                    return False
                truth = None
        return truth

    def explain(self, action: Action, context: Context) -> Finding:
        """The same with the parameters that are not named."""
        others = sorted(str(name) for name in action.params if name not in self._names)
        why = "the call has no other parameters" if not others else "the call has parameters that are not named"
        label = f"param_names {', '.join(sorted(self._names))}".rstrip()
        return Finding(label, others or None, self.judge(action, context), why)
