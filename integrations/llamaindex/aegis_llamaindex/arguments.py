"""The arguments of a LlamaIndex tool: what of them is judged, and how the tool is called with what was approved."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from llama_index.core.tools import FunctionTool
from pydantic.fields import FieldInfo

from aegis_core.snapshot import freeze, has_opaque

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Arguments"]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_SURPLUS = "args"
"""The name of what is given by position beyond the names there are."""


class Arguments:
    """The arguments of one execution, by name whichever way they were given.

    The tool's own presets (partial parameters, defaults) are judged where they are data; clients and the like are the
    program's business, as is the workflow's context.

    Args:
        tool: The tool.
        method: The method of it that is called.
        args: By position.
        kwargs: By name.

    Attributes:
        judged: By name, for the `Action`.

    Raises:
        TypeError: As the method itself would, if they do not fit its signature.
    """

    def __init__(self, tool: Any, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        own = _signature(method)
        own.bind(tool, *args, **kwargs)
        is_function = isinstance(tool, FunctionTool)
        signature = _signature(tool.real_fn) if is_function else own
        parameters = list(signature.parameters.items())[0 if is_function else 1 :]  # a method's first is the tool
        context = tool.ctx_param_name if is_function else None
        names = [
            name
            for name, parameter in parameters
            if parameter.kind in _POSITIONAL and name != context and name not in kwargs
        ]
        if not names and args and not is_function:
            names = list(tool.metadata.get_parameters_dict()["properties"])
        self._positional = names[: len(args)]
        self._surplus = args[len(names) :]
        given = {**dict(zip(self._positional, args, strict=False)), **kwargs}
        presets: dict[str, Any] = {**vars(tool).get("_field_defaults", {}), **getattr(tool, "partial_params", {})}
        judgeable = _data(presets)
        hidden = [name for name in given if name == context or (name in presets and name not in judgeable)]
        self._hidden = {name: given.pop(name) for name in hidden}
        given = {**judgeable, **given}
        if self._surplus:
            given[_SURPLUS] = list(self._surplus)
        self._defaults = _data(
            {
                name: parameter.default
                for name, parameter in parameters
                if name not in given and name not in presets and name != context and _has_default(parameter)
            }
        )
        self.judged: dict[str, Any] = {**self._defaults, **given}

    def to_run(self, approved: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """What the tool is called with, by position and by name as it was: its own defaults stay its own."""
        args = [approved.pop(name) for name in self._positional]
        if self._surplus:
            args += approved.pop(_SURPLUS)
        kwargs = {
            name: value
            for name, value in approved.items()
            if name not in self._defaults or value != self._defaults[name]
        }
        return args, {**kwargs, **self._hidden}


_remembered = functools.lru_cache(maxsize=1024)(inspect.signature)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return _remembered(function)
    except TypeError:  # a callable that cannot be hashed
        return inspect.signature(function)


def _has_default(parameter: inspect.Parameter) -> bool:
    # A FieldInfo describes an argument: its default, if it has one, is among the tool's presets.
    return parameter.default is not parameter.empty and not isinstance(parameter.default, FieldInfo)


def _data(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not has_opaque(freeze(value))}
