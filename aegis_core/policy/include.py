"""What may stand under ``include:``. Finding and reading it is `including`'s business."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from aegis_core.policy.arguments.verdict import Words
from aegis_core.policy.wording import shown

__all__ = ["OPTIONS", "IncludeDocument", "Includes"]

OPTIONS = ("server", "root", "host", "domain", "channel")
"""What can be filled in in packs; each has some of them."""

_PACK = re.compile(r"[a-z][a-z0-9-]*\Z")
_OUTWARD = re.compile(r"(?:^|/)\.\.(?:/|$)|^[/~]|^[A-Za-z]:|\\")


class IncludeDocument(BaseModel):
    """A pack or a file whose rules come after this file's own."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    pack: str | None = Field(None, description="A pack that comes with Aegis; `aegis packs list` shows them.")
    file: str | None = Field(
        None, description="A policy file in this file's folder or below it, e.g. 'team/mail.yaml'."
    )
    server: Words | None = Field(None, description="What the pack's server is called here: the target of its calls.")
    root: Words | None = Field(None, description="The folder or folders the pack is to allow.")
    host: Words | None = Field(None, description="The host or hosts the pack is to allow.")
    domain: Words | None = Field(None, description="The mail domain or domains the pack is to allow.")
    channel: Words | None = Field(None, description="The channel or channels the pack is to allow.")

    @model_validator(mode="after")
    def _one_thing(self) -> IncludeDocument:
        if (self.pack is None) == (self.file is None):
            raise ValueError("must name exactly one of pack and file")
        if self.pack is not None and not _PACK.match(self.pack):
            raise ValueError(f"{shown(self.pack)} is not a pack's name; for a file, write its name with .yaml")
        if self.file is not None and self.options:
            raise ValueError(f"{next(iter(self.options))} is an option of packs, and this is a file")
        if self.file is not None and (problem := _file_problem(self.file)):
            raise ValueError(f"{shown(self.file)} {problem}")
        return self

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


def _named(value: object) -> object:
    """``filesystem`` is a pack and ``mail.yaml`` or ``team/mail.yaml`` a file."""
    if isinstance(value, str):
        return {"file": value} if "/" in value or value.endswith((".yaml", ".yml")) else {"pack": value}
    return value


def _listed(value: object) -> object:
    listed = list(value) if isinstance(value, list | tuple) else [value]
    if not listed or listed == [None]:
        raise ValueError("is empty; name a pack or a file, or leave it out")
    return tuple(listed)


_Include = Annotated[IncludeDocument, BeforeValidator(_named, json_schema_input_type=str | IncludeDocument)]
Includes = Annotated[
    tuple[_Include, ...],
    BeforeValidator(_listed, json_schema_input_type=str | list[str | IncludeDocument]),
]
"""One or more of them."""
