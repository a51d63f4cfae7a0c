"""`@governed`: a function whose every call is governed."""

from __future__ import annotations

import copy
import functools
import inspect
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, TypeVar, overload

import wrapt

from aegis_core.action import Action, action_of, plain_text, text_or_none
from aegis_core.decision import Approval, Decision, RiskLevel
from aegis_core.errors import ActionRefused
from aegis_core.result import Result, ResultStatus
from aegis_core.runtime import Runtime, active_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["governed"]

F = TypeVar("F", bound="Callable[..., Any] | classmethod[Any, Any, Any] | staticmethod[Any, Any]")


@overload
def governed(runtime: F, /) -> F: ...
@overload
def governed(
    runtime: Runtime | None = None,
    *,
    type: str | None = None,
    target: str = "python",
    params: Callable[..., Mapping[str, Any]] | None = None,
) -> Callable[[F], F]: ...


def governed(
    runtime: Any = None,
    *,
    type: str | None = None,  # noqa: A002 - the documented name
    target: str = "python",
    params: Callable[..., Mapping[str, Any]] | None = None,
) -> Any:
    """Govern every call of a function: sync or async, plain, method, classmethod or staticmethod. Its types stay.

    A method that an object has already is governed for who calls what this returns: ``governed(runtime)(client.read)``.

    What is judged are the call's arguments by name, defaults applied, without ``self`` and ``cls``. A ``**kwargs``
    parameter contributes its entries by their own names, a ``*args`` parameter a list under its name. The function gets
    a copy of exactly what was judged, so it cannot change a list or dict of the caller's. Put ``@governed`` innermost,
    right above ``def``.

    Args:
        runtime: The runtime; default the active one (see `Runtime.activate`, `set_runtime`) at the time of the call.
        type: The tool's name for the policy; default the function's name.
        target: Where it lives, for the policy.
        params: Called with the call's arguments, returns what to judge and record instead of them. The function still
            gets its own arguments, which an approval then does not bind by themselves, and which no approver can edit.

    Returns:
        The decorated function. It returns what the function returns and raises what it raises.

    Raises:
        TypeError: At decoration, if it is not a function, is a lambda without a ``type``, or is a generator function
            (its body would run after the call's outcome was recorded); or if an argument has the wrong type.
        ActionRefused: At the call, if it is not run; also where no runtime is active.
        AuditError: At the call, if it could not be written down.
    """
    type, target = text_or_none("type", type), plain_text("target", target)  # noqa: A001 - as above
    if params is not None and not callable(params):
        raise TypeError(f"params must be a function of the call's arguments, got {params!r}")
    if runtime is not None and not isinstance(runtime, Runtime):
        return _decorate(runtime, None, type, target, params)

    def decorate(function: Any) -> Any:
        return _decorate(function, runtime, type, target, params)

    return decorate


def _decorate(
    decorated: Any,
    runtime: Runtime | None,
    name: str | None,
    target: str,
    view: Callable[..., Mapping[str, Any]] | None,
) -> Any:
    if type(decorated) is MethodType:
        on: Any = decorated.__self__
        return _decorate(decorated.__func__, runtime, name, target, view).__get__(on, type(on))
    function: Any = decorated
    plain: Any = decorated.__func__ if isinstance(decorated, classmethod | staticmethod) else decorated
    _refuse_unfit(plain, name)
    tool = name if name is not None else plain.__name__
    whole, bound = _Arguments(plain, bound=False), _Arguments(plain, bound=True)
    is_method = _takes_self(plain)

    def act(
        wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Runtime, Action, _Body]:
        if instance is None and is_method and args:  # bound by hand, as property does it
            wrapped, instance, args = functools.partial(wrapped, args[0]), args[0], args[1:]
        arguments = whole if instance is None else bound
        if view is None:
            judged: Mapping[str, Any] = arguments.by_name(instance, args, kwargs)
            body = _Body(plain, wrapped, arguments)
        else:
            judged = view(*args, **kwargs)
            body = _Body(plain, functools.partial(wrapped, *args, **kwargs), None)
        chosen = runtime if runtime is not None else active_runtime()
        if chosen is None:
            raise ActionRefused(_no_runtime(Action(tool, target, judged)))
        return chosen, action_of(tool, target, judged, *chosen.principal()), body

    if inspect.iscoroutinefunction(plain):

        async def awrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            chosen, action, body = act(wrapped, instance, args, kwargs)
            return (await chosen.arun(action, body, can_edit=view is None)).unwrap()

        return _Governed(function, awrapper)

    def wrapper(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        chosen, action, body = act(wrapped, instance, args, kwargs)
        return chosen.run(action, body, can_edit=view is None).unwrap()

    return _Governed(function, wrapper)


def _refuse_unfit(function: Any, name: str | None) -> None:
    # By its true type: an object may claim to be a function when isinstance() asks, and tool objects do.
    if not issubclass(type(function), (FunctionType, wrapt.FunctionWrapper)):
        raise TypeError(
            f"@governed goes on a function, right above its def, got {function!r}; tool objects have govern_tool"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"@governed cannot govern the generator function {function.__name__!r}: its body runs after the call "
            "returned; govern a function that returns the finished value"
        )
    if name is None and function.__name__ == "<lambda>":
        raise TypeError("a lambda has no name that a policy could know: @governed(type=...) gives it one")


class _GovernedMethod(wrapt.BoundFunctionWrapper):
    """A governed function found on an object or a class. Copied and pickled with it, as methods are."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        of: Any = self._self_owner if self._self_instance is None else self._self_instance
        if getattr(getattr(of, self.__name__, None), "_self_parent", None) is not self._self_parent:
            import pickle  # noqa: PLC0415 - whoever pickles has loaded it

            raise pickle.PicklingError(f"{self!r} is not found on {type(of).__name__} under its name")
        return getattr, (of, self.__name__)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if self._self_instance is None:
            return self
        of: Any = copy.deepcopy(self._self_instance, memo)
        return self._self_parent.__get__(of, type(of))


class _Governed(wrapt.FunctionWrapper):
    """A governed function. Copied and pickled as functions are, by its name, so that workers can be sent one."""

    __bound_function_wrapper__ = _GovernedMethod

    def __reduce_ex__(self, protocol: Any) -> str:
        return str(self.__qualname__)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


class _Body:
    """Calls the function with judged arguments, or with its own where the author chose what is judged instead."""

    __slots__ = ("aegis_function", "arguments", "wrapped")

    def __init__(self, function: Any, wrapped: Any, arguments: _Arguments | None) -> None:
        self.aegis_function = function
        self.wrapped = wrapped
        self.arguments = arguments

    def __call__(self, judged: dict[str, Any]) -> Any:
        arguments = self.arguments
        if arguments is None:
            return self.wrapped()
        return self.wrapped(**judged) if arguments.by_key else arguments.call(self.wrapped, judged)


def _takes_self(function: Any) -> bool:
    """Whether it was defined in a class and takes ``self`` or ``cls`` first."""
    where = function.__qualname__.rpartition(".")[0]
    first = next(iter(inspect.signature(function).parameters), None)
    return first in ("self", "cls") and where != "" and not where.endswith("<locals>")


class _Arguments:
    """Turns a call's arguments into params by name, and judged params back into a call.

    Args:
        function: The function.
        bound: Whether it is called with an object, or a class, before its arguments.

    Attributes:
        by_key: Whether judged arguments are simply keyword arguments; else it takes `call`.
    """

    def __init__(self, function: Any, *, bound: bool) -> None:
        kinds = inspect.Parameter
        parameters = list(inspect.signature(function).parameters.values())
        self._with_instance = bound and bool(parameters) and parameters[0].kind in _POSITIONAL
        judged = parameters[1:] if self._with_instance else parameters
        self._bind = _binder(function.__qualname__, parameters, judged)
        self._parameters = tuple(judged)
        self.by_key = all(p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY) for p in judged)
        self._stars = next((p.name for p in judged if p.kind is kinds.VAR_KEYWORD), None)
        self._known = frozenset(p.name for p in judged)

    def by_name(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name, defaults applied.

        Raises:
            TypeError: As the function itself would, if they do not fit its signature.
        """
        judged: Any = self._bind(instance, *args, **kwargs) if self._with_instance else self._bind(*args, **kwargs)
        if self._stars is None:
            return judged  # type: ignore[no-any-return]
        judged, extra = judged
        # An extra argument may share a positional-only parameter's name; then the extras stay together under theirs.
        judged.update(extra if self._known.isdisjoint(extra) else {self._stars: extra})
        return judged  # type: ignore[no-any-return]

    def call(self, wrapped: Any, judged: dict[str, Any]) -> Any:
        """Call the function with judged arguments (which an approver may have edited)."""
        positional: list[Any] = []
        by_key: dict[str, Any] = {}
        for parameter in self._parameters:
            name, kind = parameter.name, parameter.kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                positional.extend(judged.pop(name))
            elif kind is inspect.Parameter.VAR_KEYWORD:
                by_key.update(judged.pop(name) if isinstance(judged.get(name), dict) and len(judged) == 1 else judged)
            elif kind is inspect.Parameter.KEYWORD_ONLY:
                by_key[name] = judged.pop(name)
            else:
                positional.append(judged.pop(name))
        return wrapped(*positional, **by_key)


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _binder(name: str, parameters: list[inspect.Parameter], judged: list[inspect.Parameter]) -> Any:
    """A function of the given parameters that returns the judged ones by name, and the extra ones apart.

    It is compiled, as dataclasses compile their ``__init__``: the interpreter then binds the arguments, ten times as
    fast as `inspect.Signature.bind`, and complains in the function's own words where they do not fit.
    """
    kinds = inspect.Parameter
    defaults = [parameter.default for parameter in parameters]
    plain = [
        parameter.replace(
            annotation=kinds.empty, default=kinds.empty if parameter.default is kinds.empty else _Default(n)
        )
        for n, parameter in enumerate(parameters)
    ]
    items = ", ".join(
        f"{p.name!r}: [*{p.name}]" if p.kind is kinds.VAR_POSITIONAL else f"{p.name!r}: {p.name}"
        for p in judged
        if p.kind is not kinds.VAR_KEYWORD
    )
    extra = next((p.name for p in judged if p.kind is kinds.VAR_KEYWORD), None)
    body = f"{{{items}}}" if extra is None else f"({{{items}}}, {extra})"
    namespace: dict[str, Any] = {"__defaults": defaults}
    exec(f"def bind{inspect.Signature(plain)}: return {body}", namespace)  # noqa: S102 - made of identifiers alone
    bind = namespace["bind"]
    bind.__name__ = bind.__qualname__ = name
    return bind


class _Default:
    """Stands for a default in the text of a signature."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __repr__(self) -> str:
        return f"__defaults[{self._number}]"


def _no_runtime(action: Action) -> Result:
    decision = Decision(Approval.BLOCK, RiskLevel.HIGH, "<none>", "no runtime is active")
    message = (
        f"{action.type}: refused: no Aegis runtime is active. Give one (@governed(runtime)), or enter "
        "runtime.activate(), or call aegis.set_runtime(runtime) at start-up. The call did not run."
    )
    return Result(action, ResultStatus.BLOCKED, error=message, decision=decision)
