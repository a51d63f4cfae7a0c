"""The Policy: immutable, compiled, one or more layers; load it, ask it, merge it."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from aegis_core.decision import Approval, Decision, RiskLevel
from aegis_core.errors import PolicyError, Problem
from aegis_core.policy.conditions.truth import Context
from aegis_core.policy.layer import Layer, Plan, combine
from aegis_core.policy.loading import gc_paused, load_again, load_dict, load_file, load_text
from aegis_core.policy.names import LONGEST, refusal
from aegis_core.policy.needs import Needs
from aegis_core.policy.origin import FromFile, FromMemory, Including, Layered, Merged
from aegis_core.policy.reading import meaning
from aegis_core.policy.rule import ABSENT_DEFAULT, Rule

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from aegis_core.action import Action
    from aegis_core.policy.document import PolicyDocument
    from aegis_core.policy.explain import Explanation
    from aegis_core.policy.origin import Origin
    from aegis_core.policy.rule import Names

__all__ = ["Policy"]

_MEMO_SIZE = 8192
"""Names of calls whose plans are remembered. A server that invents names costs a plan each, not endless memory."""
_Plans = Decision | Plan | tuple[Decision | Plan, ...]


class Policy:
    """What may run, what needs a person, what is blocked. Immutable.

    Make one with `from_yaml`, `from_string` or `from_dict`.
    """

    __slots__ = ("_ask", "_digest", "_memo", "_vetted", "layers", "needs", "origin")

    layers: tuple[Layer, ...]
    needs: Needs
    origin: Origin
    _digest: str
    _memo: dict[Names, _Plans]
    _ask: Callable[[Names, str | None], _Plans]
    _vetted: set[str | None]

    def __init__(self, layers: tuple[Layer, ...], origin: Origin) -> None:
        put = super().__setattr__
        put("layers", layers)
        put("origin", origin)
        put("_memo", {})
        put("_vetted", set())
        put("_ask", layers[0].plan if len(layers) == 1 else partial(_layered_plan, layers))
        put("_digest", "")
        put("needs", Needs(layers))

    # --- loading ---

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Policy:
        """Load a policy file.

        Raises:
            PolicyError: If it cannot be read or is not a valid policy; lists every problem with file:line:column.
        """
        with gc_paused():
            return cls._loaded(*load_file(Path(path)))

    @classmethod
    def from_string(cls, text: str, *, source: str = "<string>") -> Policy:
        """Load a policy from YAML (or JSON) text; ``source`` names it in messages.

        Raises:
            PolicyError: If it is not a valid policy.
        """
        with gc_paused():
            return cls._loaded(*load_text(text, source))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, source: str = "<dict>") -> Policy:
        """Load a policy from plain data.

        Raises:
            PolicyError: If it is not a valid policy.
        """
        with gc_paused():
            return cls._loaded(*load_dict(data, source))

    @classmethod
    def _loaded(cls, documents: tuple[PolicyDocument, ...], origin: Origin) -> Policy:
        return cls((Layer(documents),), origin)

    def merge(self, other: Policy) -> Policy:
        """This policy's rules first, then the other's; this policy's defaults.

        Raises:
            PolicyError: If either is layered; merge the layers before putting them into a hierarchy.
        """
        if self.layered or other.layered:
            raise PolicyError(Problem("a layered policy cannot be merged: merge its layers first", "<merge>"))
        documents = self.layers[0].documents + other.layers[0].documents
        return Policy((Layer(documents),), Merged(self.origin, other.origin))

    @classmethod
    def of_layers(cls, policies: Mapping[str, Policy]) -> Policy:
        """Several policies as layers, each judged on its own; the strictest answer wins. See `PolicyHierarchy`."""
        for name, policy in policies.items():
            if policy.layered:
                raise PolicyError(Problem(f"layer {name!r} is itself layered; give its layers separately", "<layers>"))
        layers = tuple(policy.layers[0].under(name) for name, policy in policies.items())
        return cls(layers, Layered({name: policy.origin for name, policy in policies.items()}))

    def rebuilt(self, texts: Mapping[Path, str]) -> Policy:
        """The same policy from new contents of its files; what came from no file stays as it is.

        Args:
            texts: Per file, its text; a file that is wanted and not among them is read.

        Raises:
            PolicyError: If a file cannot be read or is not a valid policy.
        """
        return _built(self.origin, texts)

    # --- asking ---

    def evaluate(self, action: Action, *, session: Any = None, now: datetime | None = None) -> Decision:
        """The decision for one call. Pure: the same call, session and time give the same answer.

        Args:
            action: The call.
            session: Its session's state; without one, conditions about the session are undecided.
            now: The time to judge at, timezone-aware; default the present.

        Raises:
            ValueError: If ``now`` has no time zone.
        """
        plan = self._memo.get(action.names)
        if plan is None:
            plan = self._plan(action.names)
        if type(plan) is Decision:
            return plan
        return self._judged(plan, action, Context(session, now))

    def _judged(self, plan: Plan | tuple[Decision | Plan, ...], action: Action, context: Context) -> Decision:
        """The decision where names alone do not settle it."""
        if isinstance(plan, Plan):
            decision = plan.judge(action, context)
            parts = [decision]
        else:
            parts = [part.judge(action, context) if isinstance(part, Plan) else part for part in plan]
            decision = combine(parts)
        return _reserving(decision, parts, action) if self.needs.budgets else decision

    def explain(self, action: Action, *, session: Any = None, now: datetime | None = None) -> Explanation:
        """Why the decision is what it is: every rule looked at, every condition, its value, truth and reason."""
        from aegis_core.policy.explain import explain  # noqa: PLC0415 - only people ask why; calls need not load it

        return explain(self, action, Context(session, now))

    def alone(self, action: Action, context: Context) -> Iterator[tuple[Layer, Decision]]:
        """What each layer that has an opinion would have decided alone; nothing where a name was refused."""
        if _refused(action.names) is None:
            for layer in self.layers:
                part = layer.plan(action.names)
                decision = part.judge(action, context) if isinstance(part, Plan) else part
                if decision.deciders[0] is not ABSENT_DEFAULT:
                    yield layer, decision

    def _plan(self, names: Names) -> _Plans:
        """A constant decision where the names settle it, else what is left to ask per layer. Remembered."""
        type_name, target, agent, user = names
        # Most tools' names are lower-case ASCII words: never refused, and the only folded form they have.
        plain = (
            type_name
            if type_name.isascii()
            and type_name.isidentifier()
            and type_name == type_name.lower()
            and "__" not in type_name
            and len(type_name) <= LONGEST
            else None
        )
        if (
            plain is None
            or target not in self._vetted
            or (agent is not None and agent not in self._vetted)
            or (user is not None and user not in self._vetted)
        ):
            refused = _refused(names)
            if refused is not None:
                return refused
            if any(name is not None and len(name) > LONGEST for name in names):
                return self._ask(names, None)
            if len(self._vetted) >= _MEMO_SIZE:
                self._vetted.clear()
            self._vetted.update(names[1:])
        plan = self._ask(names, plain)
        memo = self._memo
        if len(memo) >= _MEMO_SIZE:
            memo.clear()
        memo[names] = plan
        return plan

    # --- knowing ---

    @property
    def layered(self) -> bool:
        """Whether it is a hierarchy's."""
        return self.layers[0].name is not None

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
            said = hashlib.sha256()
            for layer in self.layers:
                said.update(f"\nlayer {layer.name!r}".encode())
                for document in layer.documents:
                    said.update(b"\n" + meaning(document))
            super().__setattr__("_digest", said.hexdigest())
        return self._digest

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Policy cannot be changed: cannot set {name!r}; load a new one and call update_policy")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Policy cannot be changed")

    def __copy__(self) -> Policy:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Policy:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # For pickling: compiled matchers stay behind and are made again on the other side.
        return (_unpickled, (tuple((layer.documents, layer.name) for layer in self.layers), self.origin))

    def __repr__(self) -> str:
        return f"Policy({len(self.rules)} rules from {', '.join(self.sources)})"


def _refused(names: Names) -> Decision | None:
    """The decision where a name is refused before any rule is asked."""
    for kind, name in zip(("tool name", "target", "agent", "user"), names, strict=True):
        problem = None if name is None else refusal(name)
        if problem is not None:
            reason = f"the {kind} {ascii(name)[:80]} {problem} and is refused before any rule is asked"
            return Decision(Approval.BLOCK, RiskLevel.HIGH, "<name>", reason, deciders=(ABSENT_DEFAULT,))
    return None


def _layered_plan(layers: tuple[Layer, ...], names: Names, plain: str | None) -> _Plans:
    """What is left to ask of several layers; or their decision, where the names settle what each of them says."""
    parts = tuple([layer.plan(names, plain) for layer in layers])
    decisions = [part for part in parts if isinstance(part, Decision)]
    return combine(decisions) if len(decisions) == len(parts) else parts


def _reserving(decision: Decision, parts: list[Decision], action: Action) -> Decision:
    """The decision with the budgets to take: of every rule that decided for its layer."""
    budgets = [decider.budget for part in parts if isinstance(decider := part.deciders[0], Rule)]
    taken = [budget.reservation(action) for budget in budgets if budget is not None]
    reserves = tuple(reservation for reservation in taken if reservation is not None)
    return decision._replace(reserves=reserves) if reserves else decision


def _built(origin: Origin, texts: Mapping[Path, str]) -> Policy:
    match origin:
        case FromFile(path=path) | Including(own=FromFile(path=path)):
            documents, again = load_file(path, texts)
            return Policy((Layer(documents),), again)
        case FromMemory() | Including(own=FromMemory()):
            own = origin.own if isinstance(origin, Including) else origin
            documents, again = load_again(cast("FromMemory", own), texts)
            return Policy((Layer(documents),), again)
        case Merged(base=base, other=other):
            return _built(base, texts).merge(_built(other, texts))
        case Layered(layers=layers):
            return Policy.of_layers({name: _built(layer, texts) for name, layer in layers.items()})
        case _:
            raise TypeError(f"cannot build a policy from {origin!r}")


def _unpickled(layers: tuple[tuple[tuple[PolicyDocument, ...], str | None], ...], origin: Origin) -> Policy:
    return Policy(tuple(Layer(documents, name=name) for documents, name in layers), origin)
