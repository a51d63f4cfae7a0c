"""A model's text as a call's arguments: what of it is judged, and how exactly that is given to the tool."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from pydantic import TypeAdapter

from aegis_core.plain import plain
from aegis_openai_agents.sdk import Prepared, preparation

if TYPE_CHECKING:
    from agents import FunctionTool

__all__ = ["Arguments", "Reader", "Unreadable", "parse"]


class Unreadable(ValueError):  # noqa: N818 - says what the text is
    """A text that is no call's arguments. The message says why."""


class Arguments(NamedTuple):
    """What a text means to a tool.

    Attributes:
        text: As the model wrote it.
        judged: By name: validated, with defaults, without what the SDK injects; as plain data.
        prepared: The very objects that a decorated function gets, where the SDK prepares them.
        error: Why the tool will refuse them itself, in which case what is judged is what the model wrote.
    """

    text: str
    judged: dict[str, Any]
    prepared: Prepared | None = None
    error: Exception | None = None


class Reader:
    """Reads the arguments of one tool.

    Args:
        tool: The tool, not yet governed.

    Raises:
        AegisError: It cannot be known what the tool would get.
    """

    def __init__(self, tool: FunctionTool) -> None:
        self._name = tool.name
        self._how = preparation(tool)

    def read(self, text: str) -> Arguments:
        """What a model's text means to the tool.

        Raises:
            Unreadable: It is not an object of JSON.
        """
        given, how = parse(text), self._how
        if how is None:
            return Arguments(text, given)
        try:
            if isinstance(how, TypeAdapter):
                return Arguments(text, _by_name(plain(how.validate_python(given))))
            prepared = how.prepare(text, self._name)
            bound = how.signature.bind(*prepared.args, **prepared.kwargs).arguments
            return Arguments(text, {name: plain(value) for name, value in bound.items()}, prepared)
        except Exception as error:  # noqa: BLE001 - a schema may hold a stranger's validators; the tool fails as it would have
            return Arguments(text, given, error=error)

    def rewrite(self, judged: dict[str, Any]) -> Arguments:
        """The text for arguments that an approver changed.

        Raises:
            Unreadable: The tool would make something else of them than what was judged.
        """
        try:
            arguments = self.read(json.dumps(judged))
        except (TypeError, ValueError) as error:
            raise Unreadable(f"the changed arguments cannot be written as JSON ({error})") from None
        if arguments.error is not None or _lists(arguments.judged) != _lists(judged):
            raise Unreadable("the tool's schema makes something else of the changed arguments")
        return arguments


def parse(text: str) -> dict[str, Any]:
    """An object of JSON.

    Raises:
        Unreadable: The text is something else, or may mean different things to different readers.
    """
    try:
        # The SDK takes no text at all for no arguments.
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number) if text else {}
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"its arguments are not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Unreadable(f"its arguments are a JSON {type(value).__name__}, not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")


def _by_name(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"parameters are an object, got {type(value).__name__}")
    return value


def _lists(value: Any) -> Any:
    """A value as it comes back from JSON, which knows no tuples."""
    return json.loads(json.dumps(value))
