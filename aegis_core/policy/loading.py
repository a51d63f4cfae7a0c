"""Reading policy files, strings and dicts into documents."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aegis_core.errors import PolicyError, Problem
from aegis_core.policy.checking import check_data, check_text
from aegis_core.policy.including import follow
from aegis_core.policy.origin import FromFile, FromMemory
from aegis_core.policy.yamltext import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from aegis_core.policy.document import PolicyDocument
    from aegis_core.policy.origin import Origin

__all__ = ["gc_paused", "load_again", "load_dict", "load_file", "load_text", "read_policy_text"]


@contextmanager
def gc_paused() -> Generator[None]:
    """Loading makes many objects and no garbage; collections during it double the time for large policies."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read_policy_text(path: Path) -> str:
    """A policy file's text.

    Raises:
        PolicyError: If it cannot be read, is too large or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name no file can have
        reason = error.strerror if isinstance(error, OSError) else None
        hint = "; to load a policy's text, use from_string" if "\n" in str(path) else ""
        raise PolicyError(Problem(f"cannot be read: {reason or error}{hint}", str(path))) from None
    if len(data) > MAX_BYTES:
        raise PolicyError(Problem(f"the file is larger than {MAX_BYTES // 2**20} MiB; split it", str(path), 1, 1))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        begun = data[data.rfind(b"\n", 0, error.start) + 1 : error.start]
        message = f"the byte 0x{data[error.start]:02X} is not UTF-8; save the file as UTF-8"
        column = len(begun.decode("utf-8-sig")) + 1
        raise PolicyError(Problem(message, str(path), line, column)) from None


Loaded = tuple[tuple["PolicyDocument", ...], "Origin"]
"""A policy's own document and those it includes, in the order of their rules; and where they came from."""
_NOTHING: Mapping[Path, str] = {}


def load_file(path: Path, texts: Mapping[Path, str] = _NOTHING) -> Loaded:
    """Load a policy file.

    Args:
        path: The file.
        texts: Contents of files that are not to be read again, by absolute path.
    """
    text = _read(path, texts)
    return _followed(check_text(text, str(path)), FromFile(path.absolute(), text), text, texts)


def load_text(text: str, source: str) -> Loaded:
    """Load a policy's text."""
    document = check_text(text, source)
    return _followed(document, FromMemory(source, document), text, _NOTHING)


def load_dict(data: Mapping[str, Any], source: str) -> Loaded:
    """Load a policy given as plain data."""
    document = check_data(dict(data) if isinstance(data, Mapping) else data, source)  # type: ignore[redundant-expr]
    return load_again(FromMemory(source, document), _NOTHING)


def load_again(origin: FromMemory, texts: Mapping[Path, str]) -> Loaded:
    """Load what a policy that came from no file includes; ``texts`` as for `load_file`."""
    return _followed(origin.document, origin, None, texts)


def _followed(document: PolicyDocument, origin: Origin, text: str | None, texts: Mapping[Path, str]) -> Loaded:
    return follow(document, origin, text=text, read=lambda path: _read(path, texts), check=check_text)


def _read(path: Path, texts: Mapping[Path, str]) -> str:
    known = texts.get(path.absolute())
    return known if known is not None else read_policy_text(path)
