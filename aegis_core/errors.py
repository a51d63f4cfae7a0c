"""Every error Aegis raises on purpose.

::

    AegisError
    ├── PolicyError      a policy file cannot be used; lists every problem with file:line:column
    ├── ActionRefused    a governed call did not run; carries its Result
    ├── ApprovalError    an approval could not be requested, read, answered or used
    └── AuditError       the audit trail could not be written or read
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis_core.result import Result

__all__ = ["ActionRefused", "AegisError", "ApprovalError", "AuditError", "PolicyError", "Problem"]


class AegisError(Exception):
    """Base of every error that Aegis raises on purpose."""


class Problem(NamedTuple):
    """One thing wrong with a policy, and where.

    Attributes:
        message: What is wrong, what was expected and what to do.
        source: The file, or ``<string>`` / ``<dict>``.
        line: 1-based line, or None where there is no text (``from_dict``).
        column: 1-based column, or None.
        rule: Name of the rule concerned, if any.
        key: Dotted path of the key concerned, if any.
    """

    message: str
    source: str = "<string>"
    line: int | None = None
    column: int | None = None
    rule: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        where = self.source if self.line is None else f"{self.source}:{self.line}:{self.column}"
        return f"{where}: {self.message}"


class PolicyError(AegisError):
    """A policy cannot be used. ``problems`` lists everything that is wrong, not only the first thing."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[PolicyError], tuple[tuple[Problem, ...]]]:
        return (PolicyError, (self.problems,))


class ActionRefused(AegisError):  # noqa: N818 - the name users catch; a refusal is an answer, not a fault
    """A governed call was not run. ``result`` says how it ended; the message is fit for a model to read."""

    def __init__(self, result: Result) -> None:
        self.result = result
        super().__init__(result.error or f"the call was not run: {result.status}")

    def __reduce__(self) -> tuple[type[ActionRefused], tuple[Result]]:
        return (ActionRefused, (self.result,))


class ApprovalError(AegisError):
    """An approval could not be requested, read, answered or used. The call it belongs to does not run."""


class AuditError(AegisError):
    """The audit trail could not be written or read. What was not written down does not run."""
