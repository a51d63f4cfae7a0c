"""Following ``include:``: every pack and file that a policy names, each once, after the policy's own rules.

The outcome is what `Policy.merge` makes of the same files in the same order.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aegis_core.errors import PolicyError, Problem
from aegis_core.policy.origin import FromFile, Including
from aegis_core.policy.packs import fill, pack_names, pack_path, unknown_pack
from aegis_core.policy.wording import shown
from aegis_core.policy.yamltext import Place, parse_yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_core.policy.document import PolicyDocument
    from aegis_core.policy.include import IncludeDocument
    from aegis_core.policy.origin import Origin

__all__ = ["MAX_DEPTH", "MAX_FILES", "follow"]

MAX_DEPTH = 8
"""Files including files."""
MAX_FILES = 100
"""Files a policy includes in all."""


class _Part(NamedTuple):
    """A file that includes, or is included.

    Attributes:
        document: What it says.
        origin: Where it came from.
        text: Its text, to find the place of a problem; None where there is none.
        path: Its file with every link followed; None for what came from no file.
        options: What its options are, for a pack.
    """

    document: PolicyDocument
    origin: FromFile | Origin
    text: str | None
    path: Path | None
    options: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def source(self) -> str:
        return self.origin.sources[0]


def follow(
    document: PolicyDocument,
    origin: Origin,
    *,
    text: str | None,
    read: Callable[[Path], str],
    check: Callable[[str, str], PolicyDocument],
) -> tuple[tuple[PolicyDocument, ...], Origin]:
    """The documents of a policy in the order of their rules, and where they all came from.

    Args:
        document: What the policy's own file says.
        origin: Where it came from.
        text: Its text, or None.
        read: Gives a file's text, or raises a PolicyError.
        check: Makes a document of a text and the name of its source, or raises a PolicyError.

    Raises:
        PolicyError: If something that is included does not exist, is not a valid policy, lies outside the folder of the
            file that names it, includes itself, or has a rule of the same name as another.
    """
    if not document.include:
        return (document,), origin
    path = Path(origin.sources[0]).resolve() if isinstance(origin, FromFile) else None
    own = _Part(document, origin, text, path)
    parts = _Followed(read, check).run(own)
    _unique_names(parts)
    return tuple(part.document for part in parts), Including(origin, tuple(part.origin for part in parts[1:]))


class _Followed:
    """Walks what a policy includes, depth first."""

    def __init__(self, read: Callable[[Path], str], check: Callable[[str, str], PolicyDocument]) -> None:
        self._read = read
        self._check = check
        self._parts: list[_Part] = []

    def run(self, own: _Part) -> list[_Part]:
        self._visit(own, ())
        return self._parts

    def _visit(self, part: _Part, above: tuple[_Part, ...]) -> None:
        self._parts.append(part)
        chain = (*above, part)
        direct: list[tuple[Path | None, object]] = []
        for number, entry in enumerate(part.document.include):
            included = self._open(part, number, entry)
            if included.path in [other.path for other in chain]:
                names = " -> ".join(Path(other.source).name for other in (*chain, included))
                raise _problem(part, number, f"{entry.title} includes itself: {names}")
            if (included.path, included.options) in direct:
                raise _problem(part, number, f"{entry.title} is included twice; remove one of the two")
            direct.append((included.path, included.options))
            if any((known.path, known.options) == (included.path, included.options) for known in self._parts):
                continue  # two included files may include a third: once is enough, its rules stand there already
            if len(chain) > MAX_DEPTH or len(self._parts) > MAX_FILES:
                raise _problem(
                    part, number, f"more than {MAX_DEPTH} files deep or {MAX_FILES} in all is too much to include"
                )
            self._visit(included, chain)

    def _open(self, part: _Part, number: int, entry: IncludeDocument) -> _Part:
        if entry.pack is not None:
            return self._open_pack(part, number, entry, entry.pack)
        if not isinstance(part.origin, FromFile) or part.path is None:
            raise _problem(part, number, f"{entry.title}: a policy that is not a file has no folder to find it in")
        path = part.origin.path.parent / str(entry.file)
        resolved = path.resolve()
        if not resolved.is_relative_to(part.path.parent):
            raise _problem(part, number, f"{entry.title} leads out of the folder of the file that includes it")
        try:
            text = self._read(path)
        except PolicyError as error:
            message = error.problems[0].message
            raise _problem(part, number, f"{entry.title} {message}") from None
        return _Part(self._check(text, str(path)), FromFile(path, text), text, resolved)

    def _open_pack(self, part: _Part, number: int, entry: IncludeDocument, name: str) -> _Part:
        if name not in pack_names():
            raise _problem(part, number, unknown_pack(name))
        path = pack_path(name)
        text = self._read(path)
        try:
            document = self._check(fill(text, entry.options), str(path))
        except ValueError as error:
            raise _problem(part, number, f"{entry.title} {error}") from None
        except PolicyError as error:
            if not entry.options:
                raise  # a parser that is not installed: said with the place in the pack that needs it
            raise _problem(part, number, f"{entry.title}: {error.problems[0].message}") from None
        return _Part(document, FromFile(path, text), text, path.resolve(), tuple(entry.options.items()))


def _unique_names(parts: list[_Part]) -> None:
    """Names of rules say on the trail which rule decided: one name, one rule."""
    for kind in ("rules", "results"):
        seen: dict[str, tuple[_Part, int]] = {}
        for part in parts:
            for number, rule in enumerate(getattr(part.document, kind)):
                first, at = seen.setdefault(rule.name, (part, number))
                if first is not part:
                    line, _ = _place(part, (kind, number, "name"))
                    other = f"{part.source}:{line}, which is included, has a rule of this name too; rename one"
                    message = f"rule {shown(rule.name)}: {other}"
                    line, column = _place(first, (kind, at, "name"))
                    raise PolicyError(Problem(message, first.source, line, column, rule=rule.name))


def _problem(part: _Part, number: int, message: str) -> PolicyError:
    line, column = _place(part, ("include", number))
    return PolicyError(Problem(message, part.source, line, column, key=f"include[{number}]"))


def _place(part: _Part, path: tuple[str | int, ...]) -> tuple[int, int] | tuple[None, None]:
    if part.text is None:
        return None, None
    places: dict[tuple[str | int, ...], Place] = {}
    parse_yaml(part.text, part.source, places=places)
    known = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in places), None)
    return places[known].value if known is not None else (1, 1)
