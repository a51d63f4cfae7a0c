# wrapt ships no types. This says what Aegis uses of it; extend it when more is used.
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

# wrapper(wrapped, instance, args, kwargs)
_Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]

class ObjectProxy:
    __wrapped__: Any
    def __init__(self, wrapped: Any) -> None: ...
    def __getattr__(self, name: str) -> Any: ...

class CallableObjectProxy(ObjectProxy):
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

class FunctionWrapper(CallableObjectProxy):
    def __init__(self, wrapped: Callable[..., Any], wrapper: _Wrapper) -> None: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any: ...

class BoundFunctionWrapper(CallableObjectProxy): ...

def decorator(wrapper: _Wrapper) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...
