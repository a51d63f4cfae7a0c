"""Plain data to a `PolicyDocument`, or to a list of everything that is wrong with it, in words and in its place.

Other documents of ours (test files) are read by the same rules: `check_document`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from aegis_core.errors import PolicyError, Problem
from aegis_core.policy.document import PolicyDocument, RuleDocument
from aegis_core.policy.wording import close_to, shown
from aegis_core.policy.yamltext import UNREADABLE, parse_yaml
from aegis_core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic_core import ErrorDetails

    from aegis_core.policy.yamltext import Path, Place

__all__ = ["check_data", "check_document", "check_text"]

_Model = TypeVar("_Model", bound=BaseModel)
_LONGEST = 600
"""Characters of a message. Whatever a policy holds, its problems stay readable."""
_NAMED = {"rules": "rule", "results": "result rule", "tests": "test", "sessions": "session"}
"""Lists whose entries have a name of their own, and what messages call an entry."""

_PHRASES = {
    "bool_type": "must be true or false, got {got}",
    "dict_type": "must be a mapping, got {got}",
    "float_type": "must be a number, got {got}",
    "greater_than": "must be greater than {gt}, got {got}",
    "greater_than_equal": "must be at least {ge}, got {got}",
    "int_from_float": "must be a whole number, got {got}",
    "int_type": "must be a whole number, got {got}",
    "invalid_key": "must have text as keys",
    "less_than": "must be less than {lt}, got {got}",
    "less_than_equal": "must be at most {le}, got {got}",
    "list_type": "must be a list, got {got}",
    "literal_error": "must be {expected}, got {got}",
    "model_attributes_type": "must be a mapping, got {got}",
    "model_type": "must be a mapping, got {got}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be text, got {got}",
    "too_short": "must not be empty",
    "tuple_type": "must be a list, got {got}",
}
_ABOUT_KEYS = ("extra_forbidden", "missing")
_VERBS = ("must ", "is ", "has ", "means ", "cannot ")


class _Found(NamedTuple):
    """A problem before it has its place.

    Attributes:
        path: Where in the data it is.
        message: What is wrong.
        on_key: Whether it is about the key there, and not its value.
    """

    path: Path
    message: str
    on_key: bool = False


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
    found: list[_Found] = []
    try:
        document = model.model_validate(data)
    except ValidationError as failure:
        errors = failure.errors(include_url=False)
        # What was a problem when it was read is not one again.
        found += _in_words(model, [error for error in errors if not problems or not _is_reported(error)])
    found += _duplicate_names(data)
    if document is not None and not found and not problems:
        return document
    places: dict[Path, Place] = {}
    if text is not None:
        parse_yaml(text, source, places=places)
    problems += [_placed(problem, data, source, places) for problem in found]
    raise PolicyError(sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0)))


def _in_words(model: type[BaseModel], errors: Sequence[ErrorDetails]) -> Iterator[_Found]:
    """Of each error: the path it is at, whether it is about the key there, and what is wrong."""
    unknown = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
    guesses = {(*path[:-1], close_to(path[-1], _keys_at(model, path[:-1]))) for path in unknown}
    for error in errors:
        path = tuple(step for step in error["loc"] if step != "[key]")
        if error["type"] == "extra_forbidden":
            yield _Found(path, _unknown_key(model, path), on_key=True)
        elif error["type"] == "missing":
            if path not in guesses:  # else the misspelt key is a problem of its own
                hint = '; a policy begins with version: "1"' if path == ("version",) else ""
                yield _Found(path, f"missing key {path[-1]!r}{hint}")
        else:
            yield _Found(path, _phrase(error), on_key="[key]" in error["loc"])


def _phrase(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if "error" in context:  # a ValueError of one of our validators
        return str(context["error"])
    if error["type"] in _PHRASES:
        return _PHRASES[error["type"]].format(got=shown(error["input"]), **context)
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}, got {shown(error['input'])}"


def _is_reported(error: ErrorDetails) -> bool:
    return error["type"] not in _ABOUT_KEYS and _is_unreadable(error["input"])


def _is_unreadable(value: Any) -> bool:
    """Whether a problem has been reported for a value, or a part of it, when it was read."""
    if isinstance(value, dict):
        return any(map(_is_unreadable, value.values()))
    return value is UNREADABLE or (isinstance(value, (list, tuple)) and any(map(_is_unreadable, value)))


def _unknown_key(model: type[BaseModel], path: Path) -> str:
    key, known = path[-1], _keys_at(model, path[:-1])
    homes = [name for name, field in RuleDocument.model_fields.items() if key in _keys_at(field.annotation, ())]
    if path[0] == "rules" and len(path) > 2 and homes and path[-2] not in homes:
        hint = f"; it belongs under {homes[0]!r}"
    elif guess := close_to(key, known):
        hint = f"; did you mean {guess!r}?"
    else:
        hint = f"; known here: {', '.join(known)}" if known else ""
    return f"unknown key {shown(key)}{hint}"


def _keys_at(kind: Any, path: Path) -> list[str]:
    """The keys that a type allows at a path into its values."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if not path:
            return list(kind.model_fields)
        field = kind.model_fields.get(str(path[0]))
        return _keys_at(field.annotation, path[1:]) if field is not None else []
    inside = path[1:] if get_origin(kind) in (dict, list, tuple) else path
    found = (_keys_at(argument, inside) for argument in get_args(kind))
    return next((keys for keys in found if keys), [])


def _duplicate_names(data: dict[Any, Any]) -> Iterator[_Found]:
    for key in _NAMED:
        seen: dict[str, int] = {}
        entries: Any = data.get(key)
        for number in range(len(entries) if isinstance(entries, (list, tuple)) else 0):
            name = _entry_name((key, number), data)
            if name is not None and seen.setdefault(name, number) != number:
                message = f"is a duplicate: entry number {seen[name] + 1} of {key} has it too; rename one"
                yield _Found((key, number, "name"), message)


def _placed(found: _Found, data: dict[Any, Any], source: str, places: dict[Path, Place]) -> Problem:
    """A problem with its position, its rule and the key it is about."""
    path, message = found.path, found.message
    known = next(path[:end] for end in range(len(path), -1, -1) if path[:end] in places or not end)
    line, column = None, None
    if known in places:
        line, column = places[known].key if found.on_key and known == path else places[known].value
    rule = _entry_name(path, data)
    inner = path[2:] if len(path) > 1 and path[0] in _NAMED else path
    if message.startswith(_VERBS):
        message = f"{_dotted(inner)} {message}" if inner else message
    elif len(inner) > 1:
        message = f"{_dotted(inner[:-1])}: {message}"
    match path:
        case (str(entries), int(number), *_) if entries in _NAMED:
            label = shown(rule) if rule is not None else f"number {number + 1}"
            message = f"{_NAMED[entries]} {label}: {message}"
        case _:
            pass
    message = visible(message[:_LONGEST]) + ("…" if len(message) > _LONGEST else "")
    return Problem(message, source, line, column, rule, _dotted(path))


def _entry_name(path: Path, data: dict[Any, Any]) -> str | None:
    """The name of the rule that a path leads to or into."""
    match path:
        case (str(entries), int(number), *_) if entries in _NAMED:
            entry: Any = data[entries][number]
            name: Any = entry.get("name") if isinstance(entry, dict) else None
            return name if isinstance(name, str) and name else None
        case _:
            return None


def _dotted(path: Path) -> str:
    """``("match", "type", 1)`` as ``match.type[1]``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
