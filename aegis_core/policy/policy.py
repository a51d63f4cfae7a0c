"""The Policy: immutable, compiled, one or more layers; load it, ask it, merge it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from aegis_core.decision import Approval, Decision, RiskLevel, strictest
from aegis_core.errors import PolicyError, Problem
from aegis_core.policy.conditions.truth import Context
from aegis_core.policy.layer import ABSENT_DEFAULT, NO_OPINION, Layer, Plan
from aegis_core.policy.loading import load_dict, load_file, load_text
from aegis_core.policy.names import refusal
from aegis_core.policy.origin import Layered, Merged, Origin

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from aegis_core.action import Action
    from aegis_core.policy.explain import Explanation
    from aegis_core.policy.rule import Names, Rule

__all__ = ["Policy"]

_MEMO_SIZE = 8192
"""Tool names whose plans are remembered. A server that invents names costs a new plan each, never memory without end."""
_set = object.__setattr__


class Policy:
    """What may run, what needs a person, what is blocked. Immutable; make one with `from_yaml`, `from_string` or `from_dict`."""

    __slots__ = ("_digest", "_memo", "_vetted", "layers", "origin")

    layers: tuple[Layer, ...]
    origin: Origin

    def __init__(self, layers: tuple[Layer, ...], origin: Origin) -> None:
        _set(self, "layers", layers)
        _set(self, "origin", origin)
        _set(self, "_memo", {})
        _set(self, "_vetted", set())
        _set(self, "_digest", [])

    # --- loading ---

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Policy:
        """Load a policy file.

        Raises:
            PolicyError: If it cannot be read or is not a valid policy; lists every problem with file:line:column.
        """
        document, origin = load_file(Path(path))
        return cls((Layer((document,)),), origin)

    @classmethod
    def from_string(cls, text: str, *, source: str = "<string>") -> Policy:
        """Load a policy from YAML (or JSON) text; ``source`` names it in messages.

        Raises:
            PolicyError: If it is not a valid policy.
        """
        document, origin = load_text(text, source)
        return cls((Layer((document,)),), origin)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, source: str = "<dict>") -> Policy:
        """Load a policy from plain data.

        Raises:
            PolicyError: If it is not a valid policy.
        """
        document, origin = load_dict(data, source)
        return cls((Layer((document,)),), origin)

    def merge(self, other: Policy) -> Policy:
        """This policy's rules first, then the other's; this policy's defaults.

        Raises:
            PolicyError: If either is layered; merge the layers before putting them into a hierarchy.
        """
        if len(self.layers) > 1 or len(other.layers) > 1:
            raise PolicyError(Problem("a layered policy cannot be merged: merge its layers first", "<merge>"))
        documents = self.layers[0].documents + other.layers[0].documents
        return Policy((Layer(documents),), Merged(self.origin, other.origin))

    @classmethod
    def layered(cls, layers: Mapping[str, Policy]) -> Policy:
        """Several policies as layers, each judged on its own; the strictest answer wins. See `PolicyHierarchy`."""
        for name, policy in layers.items():
            if len(policy.layers) > 1:
                raise PolicyError(Problem(f"layer {name!r} is itself layered; give its layers separately", "<layers>"))
        compiled = tuple(policy.layers[0].under(name) for name, policy in layers.items())
        return cls(compiled, Layered({name: policy.origin for name, policy in layers.items()}))

    # --- asking ---

    def evaluate(self, action: Action, *, session: Any = None, now: datetime | None = None) -> Decision:
        """The decision for one call. Pure: the same call, session and time give the same answer.

        Args:
            action: The call.
            session: Its session's state; without one, conditions about the session are undecided.
            now: The time to judge at, timezone-aware; default the present.
        """
        plan = self._memo.get(action.names)
        if plan is None:
            plan = self._plan(action.names)
        if plan.__class__ is Decision:
            return plan
        context = Context(session, now)
        return _strictest([_decide(part, action, context) for part in plan])

    def explain(self, action: Action, *, session: Any = None, now: datetime | None = None) -> Explanation:
        """Why the decision is what it is: every rule looked at, every condition, its value, truth and reason."""
        from aegis_core.policy.explain import explain  # Only people ask why; calls need not load it.

        return explain(self, action, Context(session, now))

    def verdicts(self, action: Action, context: Context) -> list[tuple[Layer, Decision | None]]:
        """Each layer's own answer (None where it abstains)."""
        return [(layer, _decide(layer.plan(action.names), action, context)) for layer in self.layers]

    def _plan(self, names: Names) -> Decision | tuple[Plan | Decision | None, ...]:
        """A constant decision where the names settle it, else what is left to ask per layer. Remembered."""
        plan: Decision | tuple[Plan | Decision | None, ...]
        type_name = names[0]
        if type_name and type_name.isascii() and type_name.isprintable() and names[1:] in self._vetted:
            refused = None
        else:
            refused = _refused_name(names)
        if refused is not None:
            plan = refused
        else:
            if len(self._vetted) >= _MEMO_SIZE:
                self._vetted.clear()
            self._vetted.add(names[1:])
            if len(self.layers) == 1:
                part = self.layers[0].plan(names)
                plan = part if part.__class__ is Decision else (part,)  # type: ignore[assignment]
            else:
                parts = tuple([layer.plan(names) for layer in self.layers])
                plan = parts if any(part.__class__ is Plan for part in parts) else _strictest(parts)  # type: ignore[arg-type]
        memo = self._memo
        if len(memo) >= _MEMO_SIZE:
            memo.clear()
        memo[names] = plan
        return plan

    # --- knowing ---

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, layer by layer, in the order they are walked."""
        return tuple(rule for layer in self.layers for rule in layer.rules)

    @property
    def sources(self) -> tuple[str, ...]:
        """The files (absolute paths) or other sources the policy came from."""
        return self.origin.sources

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what the policy means: the same for two files that differ in comments and layout only."""
        if not self._digest:
            meaning = [
                [layer.name, layer.abstains, [document.model_dump(mode="json") for document in layer.documents]]
                for layer in self.layers
            ]
            self._digest.append(hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest())
        return self._digest[0]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Policy cannot be changed: cannot set {name!r}; load a new one and call update_policy")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Policy cannot be changed")

    def __repr__(self) -> str:
        return f"Policy({len(self.rules)} rules from {', '.join(self.sources)})"


def _refused_name(names: Names) -> Decision | None:
    for kind, name in zip(("tool name", "target", "agent", "user"), names, strict=True):
        problem = None if name is None else refusal(name)
        if problem is not None:
            reason = f"the {kind} {ascii(name)[:80]} {problem} and is refused before any rule is asked"
            return Decision(Approval.BLOCK, RiskLevel.HIGH, "<name>", reason, deciders=(ABSENT_DEFAULT,))
    return None


def _decide(part: Plan | Decision | None, action: Action, context: Context) -> Decision | None:
    return part.decide(action, context) if part.__class__ is Plan else part  # type: ignore[union-attr, return-value]


def _strictest(verdicts: Sequence[Decision | None]) -> Decision:
    """The layers' answers as one: the strictest approval, the highest risk, all floors and budgets."""
    if len(verdicts) == 1 and verdicts[0] is not None:
        return verdicts[0]
    spoken = [verdict for verdict in verdicts if verdict is not None]
    opinions = [verdict for verdict in spoken if verdict.matched_rule != NO_OPINION.matched_rule]
    if not opinions:  # every layer is silent, whatever floors were set
        opinions = [ABSENT_DEFAULT.decision]
        spoken.append(ABSENT_DEFAULT.decision)
    if len(spoken) == 1:
        return spoken[0]
    approval = strictest(*(verdict.approval for verdict in spoken))
    deciding = max(opinions, key=lambda verdict: verdict.approval.strictness)
    reason = next(verdict.reason for verdict in (*opinions, *spoken) if verdict.approval is approval)
    return Decision(
        approval,
        max(verdict.risk_level for verdict in spoken),
        deciding.matched_rule,
        reason,
        floors=tuple(floor for verdict in spoken for floor in verdict.floors),
        reserves=tuple(reserve for verdict in spoken for reserve in verdict.reserves),
        deciders=tuple(decider for verdict in spoken for decider in verdict.deciders),
    )
