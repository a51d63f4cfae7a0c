"""Conditions that understand what an argument is: a path, SQL, a URL, a shell command, an e-mail address.

Each module holds one: its grammar in a policy file (``...Spec``) and the test it compiles to (``...Condition``),
which parses the value and answers True, False or, for whatever does not parse cleanly, None. Nothing here does I/O,
except `PathCondition` with ``resolve: true``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis_core.policy.arguments.email import EmailCondition, EmailSpec
from aegis_core.policy.arguments.path import PathCondition, PathSpec
from aegis_core.policy.arguments.shell import ShellCondition, ShellSpec
from aegis_core.policy.arguments.sql import SqlCondition, SqlSpec
from aegis_core.policy.arguments.url import UrlCondition, UrlSpec
from aegis_core.policy.arguments.verdict import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_core.policy.arguments.verdict import ArgumentTest
    from aegis_core.policy.reading import Document

__all__ = [
    "ARGUMENTS",
    "EmailCondition",
    "EmailSpec",
    "MissingExtra",
    "PathCondition",
    "PathSpec",
    "ShellCondition",
    "ShellSpec",
    "SqlCondition",
    "SqlSpec",
    "UrlCondition",
    "UrlSpec",
]

ARGUMENTS: dict[str, tuple[type[Document], Callable[[Any], ArgumentTest]]] = {
    "param_path": (PathSpec, PathCondition),
    "param_sql": (SqlSpec, SqlCondition),
    "param_url": (UrlSpec, UrlCondition),
    "param_shell": (ShellSpec, ShellCondition),
    "param_email": (EmailSpec, EmailCondition),
}
"""Per condition name: what the policy may say about the argument, and what that compiles to (raises `MissingExtra`)."""
