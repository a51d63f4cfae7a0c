"""What may stand under ``include:``. Finding and reading it is `including`'s business."""

from __future__ import annotations

import re

from aegis_core.policy.arguments.verdict import WORDS
from aegis_core.policy.readers import listed, text
from aegis_core.policy.reading import Document, Reader, key, read
from aegis_core.policy.wording import shown

__all__ = ["INCLUDES", "OPTIONS", "IncludeDocument"]

OPTIONS = ("server", "root", "host", "domain", "channel")
"""What can be filled in in packs; each has some of them."""

_PACK = re.compile(r"[a-z][a-z0-9-]*\Z")
_OUTWARD = re.compile(r"(?:^|/)\.\.(?:/|$)|^[/~]|^[A-Za-z]:|\\")


_TEXT = text(empty=True)


class IncludeDocument(Document):
    """A pack or a file whose rules come after this file's own."""

    pack: str | None = key(_TEXT, "A pack that comes with Aegis; `aegis packs list` shows them.", default=None)
    file: str | None = key(
        _TEXT, "A policy file in this file's folder or below it, e.g. 'team/mail.yaml'.", default=None
    )
    server: tuple[str, ...] | None = key(
        WORDS, "What the pack's server is called here: the target of its calls.", default=None
    )
    root: tuple[str, ...] | None = key(WORDS, "The folder or folders the pack is to allow.", default=None)
    host: tuple[str, ...] | None = key(WORDS, "The host or hosts the pack is to allow.", default=None)
    domain: tuple[str, ...] | None = key(WORDS, "The mail domain or domains the pack is to allow.", default=None)
    channel: tuple[str, ...] | None = key(WORDS, "The channel or channels the pack is to allow.", default=None)

    def check_whole(self) -> None:
        """One thing is included, and options are of packs."""
        if (self.pack is None) == (self.file is None):
            raise ValueError("must name exactly one of pack and file")
        if self.pack is not None and not _PACK.match(self.pack):
            raise ValueError(f"{shown(self.pack)} is not a pack's name; for a file, write its name with .yaml")
        if self.file is not None and self.options:
            raise ValueError(f"{next(iter(self.options))} is an option of packs, and this is a file")
        if self.file is not None and (problem := _file_problem(self.file)):
            raise ValueError(f"{shown(self.file)} {problem}")

    @property
    def options(self) -> dict[str, tuple[str, ...]]:
        """The options given."""
        given = {name: getattr(self, name) for name in OPTIONS}
        return {name: values for name, values in given.items() if values is not None}

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"pack {self.pack!r}" if self.pack is not None else repr(self.file)


def _file_problem(name: str) -> str | None:
    if not name.endswith((".yaml", ".yml")):
        return "does not end in .yaml or .yml"
    if _OUTWARD.search(name) or not name.isprintable():
        return "must lead to a file in this file's folder or below it: no '..', '~', backslash or absolute path"
    return None


def _include(value: object) -> IncludeDocument:
    """``filesystem`` is a pack and ``mail.yaml`` or ``team/mail.yaml`` a file."""
    if isinstance(value, str):
        value = {"file": value} if "/" in value or value.endswith((".yaml", ".yml")) else {"pack": value}
    return read(IncludeDocument, value)


def _includes(value: object) -> tuple[IncludeDocument, ...]:
    entries = value if isinstance(value, list | tuple) else [value]
    if not entries or (len(entries) == 1 and entries[0] is None):
        raise ValueError("is empty; name a pack or a file, or leave it out")
    return _LISTED.read(entries)  # type: ignore[no-any-return]


_LISTED = listed(Reader(_include, {"anyOf": [_TEXT.schema, IncludeDocument]}), empty=False)
INCLUDES = Reader(_includes, {"anyOf": [_TEXT.schema, _LISTED.schema]})
"""One or more of them."""
