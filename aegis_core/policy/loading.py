"""Reading policy files, strings and dicts into documents."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aegis_core.errors import PolicyError, Problem
from aegis_core.policy.document import document_from_dict, document_from_text
from aegis_core.policy.origin import FromFile, FromMemory
from aegis_core.policy.yamltext import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aegis_core.policy.document import PolicyDocument
    from aegis_core.policy.origin import Origin

__all__ = ["load_dict", "load_file", "load_text", "read_policy_text"]


@contextmanager
def _gc_paused() -> Iterator[None]:
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
    except OSError as error:
        raise PolicyError(Problem(f"cannot be read: {error.strerror or error}", str(path))) from None
    if len(data) > MAX_BYTES:
        raise PolicyError(Problem(f"is larger than {MAX_BYTES // 2**20} MiB; split it", str(path), 1, 1))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyError(Problem("is not UTF-8 text; save it as UTF-8", str(path), line, 1)) from None


def load_file(path: Path) -> tuple[PolicyDocument, Origin]:
    """A policy file's document, and where it came from."""
    path = path.absolute()
    text = read_policy_text(path)
    with _gc_paused():
        return document_from_text(text, str(path)), FromFile(path, text)


def load_text(text: str, source: str) -> tuple[PolicyDocument, Origin]:
    """The document of a policy's text."""
    if not isinstance(text, str):
        raise PolicyError(Problem(f"a policy's text must be a str, got {type(text).__name__}", source))
    with _gc_paused():
        document = document_from_text(text, source)
    return document, FromMemory(source, document)


def load_dict(data: Any, source: str) -> tuple[PolicyDocument, Origin]:
    """The document of a policy given as plain data."""
    document = document_from_dict(dict(data) if hasattr(data, "items") else data, source)
    return document, FromMemory(source, document)
