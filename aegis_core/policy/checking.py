"""Plain data to a `PolicyDocument`, or to a list of everything that is wrong with it, in words and in its place.

Other documents of ours (test files) are read by the same rules: `check_document`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from aegis_core.errors import PolicyError, Problem
from aegis_core.policy.document import PolicyDocument, RuleDocument
from aegis_core.policy.reading import Document, Found, Unfit, dotted, keys_of, read
from aegis_core.policy.wording import close_to, shown
from aegis_core.policy.yamltext import UNREADABLE, parse_yaml
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis_core.policy.reading import Path, Schema
    from aegis_core.policy.yamltext import Place

__all__ = ["check_data", "check_document", "check_text"]

_Model = TypeVar("_Model", bound=Document)
_LONGEST = 600
"""Characters of a message. Whatever a policy holds, its problems stay readable."""
_NAMED = {"rules": "rule", "results": "result rule", "tests": "test", "sessions": "session"}
"""Lists whose entries have a name of their own, and what messages call an entry."""

_VERBS = ("must ", "is ", "has ", "means ", "cannot ")


def check_text(text: str, source: str) -> PolicyDocument:
    """Read a policy's text.

    Raises:
        PolicyError: Listing everything that is wrong with it.
    """
    return check_document(PolicyDocument, text, source)


def check_document(model: type[_Model], text: str, source: str) -> _Model:
    """Read the text of a document that a model describes, as strictly as a policy.

    Raises:
        PolicyError: Listing everything that is wrong with it.
    """
    parsed = parse_yaml(text, source)
    if not parsed.whole:
        raise PolicyError(parsed.problems)
    return _check(model, parsed.data, source, text, parsed.problems)


def check_data(data: object, source: str) -> PolicyDocument:
    """Read a policy given as plain data, e.g. from JSON.

    Raises:
        PolicyError: Listing everything that is wrong with it.
    """
    return _check(PolicyDocument, data, source, None, [])


def _check(model: type[_Model], data: Any, source: str, text: str | None, problems: list[Problem]) -> _Model:
    if not isinstance(data, dict):
        if not problems:
            kind, hint = ("policy", '; it begins with version: "1"') if model is PolicyDocument else ("file", "")
            what = f"the {kind} is empty" if data is None else f"a {kind} must be a mapping, got {shown(data)}"
            place = (None, None) if text is None else (1, 1)
            problems = [Problem(f"{what}{hint}", source, *place)]
        raise PolicyError(problems)
    document: _Model | None = None
    found: list[Found] = []
    try:
        document = read(model, data)
    except Unfit as unfit:
        # What was a problem when it was read is not one again.
        found += _in_words(model, [one for one in unfit.found if not problems or not _is_reported(one)])
    found += _duplicate_names(data)
    if document is not None and not found and not problems:
        return document
    places: dict[Path, Place] = {}
    if text is not None:
        parse_yaml(text, source, places=places)
    problems += [_placed(problem, data, source, places) for problem in found]
    raise PolicyError(sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0)))


def _in_words(model: type[Document], found: Sequence[Found]) -> Iterator[Found]:
    """What is wrong, with hints for keys that are unknown or missing."""
    unknown = [one.path for one in found if one.about == "unknown"]
    guesses = {(*path[:-1], close_to(path[-1], _keys_at(model, path[:-1]))) for path in unknown}
    for one in found:
        if one.about == "unknown":
            yield one._replace(message=_unknown_key(model, one.path))
        elif one.about != "missing":
            yield one
        elif one.path not in guesses:  # else the misspelt key is a problem of its own
            hint = '; a policy begins with version: "1"' if one.path == ("version",) else ""
            yield one._replace(message=f"{one.message}{hint}")


def _is_reported(found: Found) -> bool:
    return found.about in ("value", "key") and _is_unreadable(found.value)


def _is_unreadable(value: Any) -> bool:
    """Whether a problem has been reported for a value, or a part of it, when it was read."""
    if isinstance(value, dict):
        return any(map(_is_unreadable, value.values()))
    return value is UNREADABLE or (isinstance(value, (list, tuple)) and any(map(_is_unreadable, value)))


def _unknown_key(model: type[Document], path: Path) -> str:
    name, known = path[-1], _keys_at(model, path[:-1])
    homes = [home for home, key in keys_of(RuleDocument).items() if name in _keys_of(key.reader.schema)]
    if path[0] == "rules" and len(path) > 2 and homes and path[-2] not in homes:
        hint = f"; it belongs under {homes[0]!r}"
    elif guess := close_to(name, known):
        hint = f"; did you mean {guess!r}?"
    else:
        hint = f"; known here: {', '.join(known)}" if known else ""
    return f"unknown key {shown(name)}{hint}"


def _keys_of(schema: Schema) -> list[str]:
    return list(keys_of(schema)) if isinstance(schema, type) else []


def _keys_at(schema: Schema, path: Path) -> list[str]:
    """The keys that are known at a path into what a schema describes."""
    if isinstance(schema, type):
        if not path:
            return list(keys_of(schema))
        key = keys_of(schema).get(str(path[0]))
        return [] if key is None else _keys_at(key.reader.schema, path[1:])
    if "anyOf" in schema:
        return next((keys for inner in schema["anyOf"] if (keys := _keys_at(inner, path))), [])
    inner = schema.get("items", schema.get("additionalProperties"))
    return _keys_at(inner, path[1:]) if inner is not None and path else []


def _duplicate_names(data: dict[Any, Any]) -> Iterator[Found]:
    for key in _NAMED:
        seen: dict[str, int] = {}
        entries: Any = data.get(key)
        for number in range(len(entries) if isinstance(entries, (list, tuple)) else 0):
            name = _entry_name((key, number), data)
            if name is not None and seen.setdefault(name, number) != number:
                message = f"is a duplicate: entry number {seen[name] + 1} of {key} has it too; rename one"
                yield Found((key, number, "name"), message)


def _placed(found: Found, data: dict[Any, Any], source: str, places: dict[Path, Place]) -> Problem:
    """A problem with its position, its rule and the key it is about."""
    path, message = found.path, found.message
    on_key = found.about in ("key", "unknown")
    known = next(path[:end] for end in range(len(path), -1, -1) if path[:end] in places or not end)
    line, column = None, None
    if known in places:
        line, column = places[known].key if on_key and known == path else places[known].value
    rule = _entry_name(path, data)
    inner = path[2:] if len(path) > 1 and path[0] in _NAMED else path
    if message.startswith(_VERBS):
        message = f"{dotted(inner)} {message}" if inner else message
    elif len(inner) > 1:
        message = f"{dotted(inner[:-1])}: {message}"
    match path:
        case (str(entries), int(number), *_) if entries in _NAMED:
            label = shown(rule) if rule is not None else f"number {number + 1}"
            message = f"{_NAMED[entries]} {label}: {message}"
        case _:
            pass
    message = visible(message[:_LONGEST]) + ("…" if len(message) > _LONGEST else "")
    return Problem(message, source, line, column, rule, dotted(path))


def _entry_name(path: Path, data: dict[Any, Any]) -> str | None:
    """The name of the rule that a path leads to or into."""
    match path:
        case (str(entries), int(number), *_) if entries in _NAMED:
            entry: Any = data[entries][number]
            name: Any = entry.get("name") if isinstance(entry, dict) else None
            return name if isinstance(name, str) and name else None
        case _:
            return None
