"""The tools that servers have: read from files in the shape of MCP's ``tools/list``, and asked about arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003 - a NamedTuple's annotations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aegis.errors import AegisError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Argument", "Server", "Tool", "ToolsError", "read_tools", "server_of"]

_DEPTH = 20
_LARGEST = 32 * 1024 * 1024


class ToolsError(AegisError):
    """A list of tools cannot be read."""


class Argument(NamedTuple):
    """What a schema says about an argument.

    Attributes:
        types: The JSON types its values, or the elements of its lists, may have; None where that is not said.
        choices: The values it may have, or None.
        text: Its name and description, for people.
    """

    types: frozenset[str] | None
    choices: tuple[Any, ...] | None
    text: str


class Tool(NamedTuple):
    """One tool.

    Attributes:
        name: Its name.
        schema: The JSON Schema of its arguments; None where it does not say.
    """

    name: str
    schema: Mapping[str, Any] | None

    def arguments(self) -> tuple[str, ...]:
        """The names of its arguments."""
        return tuple(_properties(self.schema or {}))

    def argument(self, path: str) -> Argument | bool | None:
        """What is known of the argument a policy's path names: an `Argument`; False, it has none; None, no saying."""
        if self.schema is None:
            return None
        return _find(self.schema, self.schema, path.split("."))


class Server(NamedTuple):
    """A server and its tools.

    Attributes:
        name: What policies call it, as far as is known.
        certain: Whether somebody said so; else a policy may call it otherwise.
        tools: Its tools.
        source: Where that came from.
    """

    name: str
    certain: bool
    tools: tuple[Tool, ...]
    source: str


def read_tools(given: str) -> Server:
    """A server's tools from ``FILE`` or ``NAME=FILE``.

    The file is what ``tools/list`` answers: ``{"tools": [...]}``, with or without a JSON-RPC envelope around it, or the
    bare list.

    Raises:
        ToolsError: If it cannot be read or is no list of tools.
    """
    name, equals, rest = given.partition("=")
    if not equals or "/" in name or Path(given).is_file():
        name, rest = "", given
    try:
        with Path(rest).open("rb") as file:
            text = file.read(_LARGEST + 1)
        data = json.loads(text)
    except OSError as error:
        raise ToolsError(f"{rest}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ToolsError(f"{rest}: is not JSON: {str(error)[:200]}") from None
    while isinstance(data, dict) and "tools" not in data and isinstance(data.get("result"), dict):
        data = data["result"]
    said = data.get("server") if isinstance(data, dict) else None
    listed = data.get("tools") if isinstance(data, dict) else data
    if not isinstance(listed, list):
        raise ToolsError(f'{rest}: holds no list of tools; it should look like {{"tools": [{{"name": ...}}]}}')
    return server_of(listed, source=rest, name=name, guess=said if isinstance(said, str) else Path(rest).stem)


def server_of(listed: Iterable[Any], *, source: str, name: str = "", guess: str = "") -> Server:
    """A server from the definitions of its tools.

    Args:
        listed: The definitions, as ``tools/list`` gives them.
        source: Where they came from, for messages.
        name: What policies call the server, where that is known.
        guess: What they may call it.

    Raises:
        ToolsError: If a definition is none.
    """
    tools: dict[str, Tool] = {}
    for number, entry in enumerate(listed):
        called = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(called, str) or not called:
            raise ToolsError(f"{source}: tool number {number + 1} has no name")
        schema = entry.get("inputSchema", entry.get("input_schema"))
        tools[called] = Tool(called, schema if isinstance(schema, dict) else None)
    return Server(name or guess or source, bool(name), tuple(tools.values()), source)


def _properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _find(root: Mapping[str, Any], schema: Any, steps: list[str], depth: int = 0) -> Argument | bool | None:
    if not isinstance(schema, dict) or depth > _DEPTH:
        return None
    options = list(_options(root, schema))
    if options != [schema]:
        answers = [_find(root, option, steps, depth + 1) for option in options]
        return _united(answers)
    if not steps:
        return _described(root, schema, depth)
    key, every = steps[0].removesuffix("[]"), steps[0].endswith("[]")
    known = _properties(schema)
    if key not in known:
        dotted = ".".join(steps)
        return _find(root, known[dotted], [], depth + 1) if dotted in known else _absent(schema, top=schema is root)
    below = known[key]
    if every:
        lists = [option for option in _options(root, below) if isinstance(option, dict)]
        items = [option.get("items") for option in lists if option.get("type") in ("array", None)]
        return _united([_find(root, item, steps[1:], depth + 1) for item in items]) if items else False
    return _find(root, below, steps[1:], depth + 1)


def _absent(schema: Mapping[str, Any], *, top: bool) -> bool | None:
    """What a schema says about a property it does not name: there is none, as people write schemas, or no saying."""
    more = schema.get("additionalProperties")
    if isinstance(more, dict) or more is True or "patternProperties" in schema:
        return None
    if not top and schema.get("type") in ("object", None) and not _properties(schema) and more is not False:
        return None  # any object at all
    return False


def _options(root: Mapping[str, Any], schema: Any, depth: int = 0) -> Iterator[Any]:
    """A schema without references and alternatives: the schemas of which one holds."""
    if not isinstance(schema, dict) or depth > _DEPTH:
        yield None
        return
    reference = schema.get("$ref")
    if isinstance(reference, str):
        yield from _options(root, _referred(root, reference), depth + 1)
        return
    for word in ("anyOf", "oneOf"):
        choices = schema.get(word)
        if isinstance(choices, list):
            for choice in choices:
                yield from _options(root, choice, depth + 1)
            return
    yield None if "allOf" in schema else schema


def _referred(root: Mapping[str, Any], reference: str) -> Any:
    found: Any = root
    for part in reference.removeprefix("#/").split("/") if reference.startswith("#/") else ["?"]:
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


def _united(answers: list[Argument | bool | None]) -> Argument | bool | None:
    """What one of several schemas says."""
    known = [answer for answer in answers if isinstance(answer, Argument)]
    if not known:
        return None if None in answers or not answers else False
    if None in answers:
        return Argument(None, None, known[0].text)
    types = [answer.types for answer in known]
    choices = [answer.choices for answer in known]
    return Argument(
        None if None in types else frozenset(kind for some in types if some is not None for kind in some),
        None if None in choices else tuple(value for some in choices if some is not None for value in some),
        known[0].text,
    )


def _described(root: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> Argument:
    """What a schema says about a value; of a list, about its elements, for most conditions ask about every one."""
    said = schema.get("type")
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    types = frozenset([said] if isinstance(said, str) else said if isinstance(said, list) else [])
    if "array" in types and depth <= _DEPTH:
        inner = _find(root, schema.get("items"), [], depth + 1)
        inside = inner.types if isinstance(inner, Argument) else None
        types = frozenset() if inside is None else (types | inside)
        choices = None
    if choices is not None and not types:
        types = frozenset(_type_of(choice) for choice in choices)
    text = f"{schema.get('title', '')} {schema.get('description', '')} {schema.get('format', '')}"
    return Argument(types or None, tuple(choices) if isinstance(choices, list) else None, text)


def _type_of(value: Any) -> str:
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    return kinds.get(type(value), "null")
