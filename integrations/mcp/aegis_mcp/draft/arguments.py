"""What a tool's arguments are, read from its input schema: paths, URLs, SQL, commands, addresses.

Names and descriptions are searched generously: an argument taken for more than it is makes a draft stricter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Argument", "Kind", "arguments_of", "vocabulary", "words"]


class Kind(StrEnum):
    """What the text in an argument is."""

    PATH = "path"
    URL = "url"
    SQL = "sql"
    SHELL = "shell"
    EMAIL = "email"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument that a policy can say something about.

    Attributes:
        path: Where it is, as conditions name it: ``path``, ``message.to``, ``edits[].path``; None if they cannot.
        kind: What it is.
    """

    path: str | None
    kind: Kind


def vocabulary(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


_DEEPEST = 6
_MOST = 1000
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_UNREAD = (
    "$ref",
    "$dynamicRef",
    "allOf",
    "if",
    "not",
    "patternProperties",
    "dependentSchemas",
    "unevaluatedProperties",
)
_FORMATS = {
    "uri": Kind.URL, "url": Kind.URL, "uri-reference": Kind.URL, "iri": Kind.URL, "uri-template": Kind.URL,
    "email": Kind.EMAIL, "idn-email": Kind.EMAIL, "path": Kind.PATH, "file-path": Kind.PATH,
    "directory-path": Kind.PATH,
}  # fmt: skip
_ANYWHERE = {
    Kind.SHELL: vocabulary("command commands cmd shell bash exec"),
    Kind.CODE: vocabulary("code script scripts expression eval program javascript python"),
    Kind.SQL: vocabulary("sql"),
    Kind.URL: vocabulary("url urls uri uris href link links website webhook endpoint hostname"),
    Kind.PATH: vocabulary(
        "path paths file files filename filenames filepath dir dirs directory directories folder folders cwd root "
        "roots workspace"
    ),
    Kind.EMAIL: vocabulary("email emails mail recipient recipients bcc"),
}
_WHOLE = {"to": Kind.EMAIL, "cc": Kind.EMAIL, "host": Kind.URL, "function": Kind.CODE}
_SAID = (
    (Kind.SQL, re.compile(r"\bsql\b", re.IGNORECASE)),
    (Kind.SHELL, re.compile(r"\b(?:shell|command line)\b", re.IGNORECASE)),
    (Kind.CODE, re.compile(r"\b(?:javascript|python code|script)\b", re.IGNORECASE)),
    (Kind.URL, re.compile(r"\b(?:url|uri)s?\b", re.IGNORECASE)),
    (Kind.PATH, re.compile(r"\b(?:paths?|file ?names?|folder|directory)\b", re.IGNORECASE)),
    (Kind.EMAIL, re.compile(r"\be-?mail address", re.IGNORECASE)),
)


def words(name: str) -> list[str]:
    """The words of a name in any style: ``repoPath``, ``repo_path`` and ``repo-path`` are repo and path."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name[:200])]


def arguments_of(tool: Mapping[str, Any]) -> tuple[list[Argument], bool]:
    """The arguments of a tool that a policy can say something about.

    Returns:
        Them; and whether the schema says plainly what all the arguments are.
    """
    schema = tool.get("inputSchema")
    if not isinstance(schema, dict) or not isinstance(schema.get("properties", {}), dict):
        return [], False
    about = tool.get("description")
    found: list[Argument] = []
    for count, argument in enumerate(_within(schema, "", about if isinstance(about, str) else "", 0)):
        if argument is None or count >= _MOST:
            return found, False
        found.append(argument)
    return list(dict.fromkeys(found)), True


def _within(schema: Mapping[str, Any], path: str | None, about: str, depth: int) -> Iterator[Argument | None]:
    """The arguments inside an object; None where it cannot be told what there is."""
    if (
        depth > _DEEPEST
        or any(key in schema for key in _UNREAD)
        or isinstance(schema.get("additionalProperties"), dict)
    ):
        yield None
        return
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        yield None
        return
    for name, inner in properties.items():
        plain = path is not None and _PLAIN.match(name) is not None
        yield from _argument(name, inner, f"{path}{name}" if plain else None, about, depth)


def _argument(name: str, schema: Any, path: str | None, about: str, depth: int) -> Iterator[Argument | None]:
    if not isinstance(schema, dict):
        yield None
        return
    options = [schema.get(key) for key in ("anyOf", "oneOf") if key in schema]
    branches = [branch for option in options for branch in (option if isinstance(option, list) else [None])] or [schema]
    seen = False
    for branch in branches:
        if not isinstance(branch, dict) or any(key in branch for key in _UNREAD):
            yield None
            continue
        items = branch.get("items")
        kind = branch.get("type")
        if "properties" in branch or (kind is not None and _is(kind, "object")):
            yield from _within(branch, None if path is None else f"{path}.", about, depth + 1)
        if _is(kind, "array") and isinstance(items, dict) and ("properties" in items or items.get("type") == "object"):
            yield from _within(items, None if path is None else f"{path}[].", about, depth + 1)
        seen = seen or _is_text(branch) or (_is(kind, "array") and (not isinstance(items, dict) or _is_text(items)))
    if seen and (kind_of := _kind(name, {**schema, **(branches[0] if isinstance(branches[0], dict) else {})}, about)):
        yield Argument(path, kind_of)


def _is(declared: Any, kind: str) -> bool:
    return declared is None or declared == kind or (isinstance(declared, list) and kind in declared)


def _is_text(schema: Mapping[str, Any]) -> bool:
    """Whether it may be any text: not one of a few."""
    return _is(schema.get("type"), "string") and "enum" not in schema and "const" not in schema


def _kind(name: str, schema: Mapping[str, Any], about: str) -> Kind | None:
    items = schema.get("items")
    for described in (schema, items if isinstance(items, dict) else {}):
        form = described.get("format")
        if isinstance(form, str) and form in _FORMATS:
            return _FORMATS[form]
    parts = words(name)
    for kind, marks in _ANYWHERE.items():
        if not marks.isdisjoint(parts):
            return kind
    if len(parts) == 1 and parts[0] in _WHOLE and (parts[0] not in ("to", "cc") or "mail" in about.lower()):
        return _WHOLE[parts[0]]
    said = schema.get("description")
    said = said if isinstance(said, str) else ""
    if parts[-1:] in (["query"], ["statement"]) and _SAID[0][1].search(f"{said} {about}"):
        return Kind.SQL
    return next((kind for kind, pattern in _SAID if pattern.search(said[:10_000])), None)
