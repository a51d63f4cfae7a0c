"""`@governed`: a function whose every call is governed."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

import wrapt

from aegis_core.action import Action
from aegis_core.decision import Approval, Decision, RiskLevel
from aegis_core.errors import ActionRefused
from aegis_core.result import Result, ResultStatus
from aegis_core.runtime import Runtime, active_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["governed"]

P = ParamSpec("P")
R = TypeVar("R")


@overload
def governed(runtime: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def governed(
    runtime: Runtime | None = None,
    *,
    type: str | None = None,
    target: str = "python",
    params: Callable[..., Mapping[str, Any]] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def governed(
    runtime: Any = None,
    *,
    type: str | None = None,  # noqa: A002 - the documented name
    target: str = "python",
    params: Callable[..., Mapping[str, Any]] | None = None,
) -> Any:
    """Govern every call of a function (sync or async) or of a method of any kind. Its signature is kept.

    What is judged are the call's arguments by name, defaults applied, without ``self`` and ``cls``. A ``**kwargs``
    parameter contributes its entries by their own names, a ``*args`` parameter a list under its name. Put ``@governed``
    innermost, right above ``def``.

    Args:
        runtime: The runtime; default the active one (see `Runtime.activate`, `set_runtime`) at the time of the call.
        type: The tool's name for the policy; default the function's name.
        target: Where it lives, for the policy.
        params: Called with the call's arguments, returns what to judge and record instead of them. The function still
            gets its own arguments, which an approval then does not bind by themselves.

    Returns:
        The decorated function. It returns what the function returns and raises what it raises.

    Raises:
        TypeError: At decoration, if it is not a function, or is a generator function (its body would run after the
            decision's outcome).
        ActionRefused: At the call, if it is not run; also where no runtime is active.
        AuditError: At the call, if it could not be written down.
    """
    if runtime is not None and not isinstance(runtime, Runtime):
        return _decorate(runtime, None, type, target, params)
    return functools.partial(_decorate, runtime=runtime, name=type, target=target, view=params)


def _decorate(
    function: Any, runtime: Runtime | None, name: str | None, target: str, view: Callable[..., Mapping[str, Any]] | None
) -> Any:
    plain: Any = function.__func__ if isinstance(function, classmethod | staticmethod) else function
    if not inspect.isfunction(plain) and not isinstance(plain, wrapt.FunctionWrapper):
        raise TypeError(
            f"@governed goes on a function, innermost (right above def), got {function!r}; "
            "tool objects have govern_tool"
        )
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise TypeError(
            f"@governed cannot govern the generator function {plain.__name__!r}: its body runs after the call "
            "returned; govern a function that returns the finished value"
        )
    tool = name if name is not None else plain.__name__
    whole = _Arguments(inspect.signature(plain))
    bound = _Arguments(_without_first(inspect.signature(plain)))

    def act(
        wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Runtime, Action, Callable[[dict[str, Any]], Any]]:
        arguments = whole if instance is None else bound
        judged: Mapping[str, Any] = arguments.by_name(args, kwargs)
        if view is None:
            call = functools.partial(arguments.call, wrapped)
        else:
            judged = view(*args, **kwargs)
            call = functools.partial(_as_given, wrapped, args, kwargs)
        action = Action(tool, target, judged)
        chosen = runtime or active_runtime()
        if chosen is None:
            raise ActionRefused(_no_runtime(action))
        return chosen, action, call

    decorate: Any = wrapt.decorator  # its types know plain functions only
    if inspect.iscoroutinefunction(plain):

        async def awrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            chosen, action, call = act(wrapped, instance, args, kwargs)
            return (await chosen.arun(action, call)).unwrap()

        return decorate(awrapper)(function)

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        chosen, action, call = act(wrapped, instance, args, kwargs)
        return chosen.run(action, call).unwrap()

    return decorate(wrapper)(function)


def _as_given(wrapped: Any, args: tuple[Any, ...], kwargs: dict[str, Any], _judged: dict[str, Any]) -> Any:
    """Call the function with what the caller gave: the author chose what is judged instead."""
    return wrapped(*args, **kwargs)


def _without_first(signature: inspect.Signature) -> inspect.Signature:
    parameters = list(signature.parameters.values())
    if not parameters or parameters[0].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY):
        return signature
    return signature.replace(parameters=parameters[1:])


class _Arguments:
    """Turns a call's arguments into params by name, and judged params back into a call."""

    def __init__(self, signature: inspect.Signature) -> None:
        kinds = inspect.Parameter
        parameters = list(signature.parameters.values())
        names = [parameter.name for parameter in parameters]
        positional = [parameter.name for parameter in parameters if parameter.kind is kinds.POSITIONAL_OR_KEYWORD]
        required = {parameter.name for parameter in parameters if parameter.default is kinds.empty}
        self._signature = signature
        # Binding by hand is several times faster than Signature.bind; all but plain named parameters go the long way.
        self._plain = all(p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY) for p in parameters)
        self._template = {parameter.name: parameter.default for parameter in parameters}
        self._names = tuple(names)
        # Per number of positional arguments: which names they take, and which must then come by keyword.
        counts = range(len(positional) + 1)
        self._taken = tuple(frozenset(positional[:count]) for count in counts)
        self._needed = tuple(frozenset(required - taken) for taken in self._taken)
        self._star = next((p.name for p in parameters if p.kind is kinds.VAR_POSITIONAL), None)
        self._stars = next((p.name for p in parameters if p.kind is kinds.VAR_KEYWORD), None)
        self._known = frozenset(signature.parameters)

    def by_name(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name, defaults applied.

        Raises:
            TypeError: As the function itself would, if they do not fit its signature.
        """
        count, given = len(args), kwargs.keys()
        if (
            self._plain
            and count < len(self._taken)
            and self._needed[count] <= given <= self._known
            and given.isdisjoint(self._taken[count])
        ):
            judged = {**self._template, **kwargs}
            judged.update(zip(self._names, args, strict=False))
            return judged
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        judged = dict(bound.arguments)
        if self._star is not None:
            judged[self._star] = list(judged[self._star])
        if self._stars is not None:
            extra = judged.pop(self._stars)
            # An extra argument may have a positional-only parameter's name; then the extras stay together under theirs.
            judged.update(extra if self._known.isdisjoint(extra) else {self._stars: extra})
        return judged

    def call(self, wrapped: Any, judged: dict[str, Any]) -> Any:
        """Call the function with judged arguments (which an approver may have edited)."""
        if self._plain:
            return wrapped(**judged)
        positional: list[Any] = []
        by_key: dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                positional.extend(judged.pop(name))
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                by_key.update(judged.pop(name) if isinstance(judged.get(name), dict) and len(judged) == 1 else judged)
            elif parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                by_key[name] = judged.pop(name)
            else:
                positional.append(judged.pop(name))
        return wrapped(*positional, **by_key)


def _no_runtime(action: Action) -> Result:
    decision = Decision(Approval.BLOCK, RiskLevel.HIGH, "<none>", "no runtime is active")
    message = (
        f"{action.type}: refused: no Aegis runtime is active. Give one (@governed(runtime)), or enter "
        "runtime.activate(), or call aegis.set_runtime(runtime) at start-up. The call did not run."
    )
    return Result(action, ResultStatus.BLOCKED, error=message, decision=decision)
