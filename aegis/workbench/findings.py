"""What lint can find: the codes, what each means and what to do about it; and one finding in its place."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["CODES", "Code", "Finding", "Level"]


class Level(enum.StrEnum):
    """How much a finding matters: an error or a warning makes `aegis lint` fail, an info does not."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Code(NamedTuple):
    """One kind of finding.

    Attributes:
        level: How much it matters, unless the finding says otherwise.
        title: What is wrong, in a few words.
        why: Why that matters.
        fix: What to do.
    """

    level: Level
    title: str
    why: str
    fix: str


_E, _W, _I = Level.ERROR, Level.WARNING, Level.INFO

CODES: dict[str, Code] = {
    "AEG001": Code(
        _E,
        "not a valid policy",
        "Nothing in a policy is ever ignored: a file with a problem does not load at all.",
        "Do what the message says; `aegis validate` lists the same problems.",
    ),
    "AEG002": Code(
        _E,
        "rule never decides",
        "Rules are walked from the top, and every call this rule is certain to match is decided before it is reached.",
        "Move it up, narrow the rules above it, or remove it. It may still set a floor for names in doubt.",
    ),
    "AEG003": Code(
        _W,
        "rule says the same as another",
        "Two rules with one meaning drift apart when only one of them is changed.",
        "Remove one of the two.",
    ),
    "AEG004": Code(
        _E,
        "conditions exclude each other",
        "All conditions of a rule must hold, and no value satisfies these at once.",
        "Mend the conditions, or make two rules of them.",
    ),
    "AEG005": Code(
        _W,
        "rule has ended",
        "The time in `until` has passed: the rule holds for no call any more.",
        "Remove the rule, or give it a new end.",
    ),
    "AEG006": Code(
        _W,
        "calls that no rule decides run unasked",
        "Every tool that nobody thought of, and every one a server brings later, runs.",
        "Say `approval: approve` or `block` under `defaults`, and name what may run.",
    ),
    "AEG007": Code(
        _W,
        "name and approval contradict each other",
        "People read the name, on the trail and when they are asked; the program reads the approval.",
        "Change the approval, or rename the rule.",
    ),
    "AEG008": Code(
        _W,
        "text pattern where the argument can be parsed",
        "A pattern sees characters only: `SELECT 1; DROP TABLE t` passes `^SELECT`, `/data/../etc/passwd` `^/data/`.",
        "Use the condition that parses such an argument.",
    ),
    "AEG009": Code(
        _W,
        "pattern that opens is not anchored",
        "A pattern is searched for anywhere in the text: what stands before and behind it does not matter.",
        "Begin it with ^ and end it with $.",
    ),
    "AEG010": Code(
        _W,
        "pattern that shuts minds the case",
        "`DROP` does not find `drop`, and what this rule was to catch goes on to the rules below.",
        "Begin the pattern with (?i).",
    ),
    "AEG011": Code(
        _W,
        "rule lets everything run",
        "Every call that gets here runs unasked, and so does every tool a server brings later.",
        "Name the tools that may run.",
    ),
    "AEG012": Code(
        _E,
        "rule matches no tool of the servers",
        "A rule for a tool that does not exist decides nothing; the tool it was meant for is decided elsewhere.",
        "Use the tool's name as the server has it.",
    ),
    "AEG013": Code(
        _E,
        "condition on an argument that no tool has",
        "A condition on an absent parameter is false: the rule holds for no call.",
        "Use the argument's name as the tool has it.",
    ),
    "AEG014": Code(
        _E,
        "condition does not fit the argument's type",
        "A value of another type than the condition asks about is undecided or false, never true.",
        "Use a condition, or a value, of the argument's type.",
    ),
    "AEG015": Code(
        _W,
        "pattern for tools matches none of the servers' tools",
        "What is said about tools that do not exist says nothing.",
        "Use the tool's name as the server has it.",
    ),
    "AEG016": Code(
        _W,
        "param_from asks for what no tool is trusted for",
        "`trusted` means returned by a tool that `trust` names, and this policy names none.",
        "Add `trust` entries for the tools that can be relied on, or ask for `user` alone.",
    ),
    "AEG017": Code(
        _W,
        "layers contradict each other",
        "The strictest layer wins: what this rule says is never the answer.",
        "Remove the rule, or talk to whoever keeps the other layer.",
    ),
    "AEG018": Code(
        _W,
        "ignore comment that ignores nothing, or gives no reason",
        "It would hide the next finding that turns up there, and nobody could tell why.",
        "Remove it, or write `# aegis: ignore AEG009 - the reason`.",
    ),
}
"""Every code there is."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    Attributes:
        code: Its code.
        file: The file.
        line: 1-based line.
        column: 1-based column.
        message: What was found, in one sentence.
        rule: The rule concerned, or None.
        key: Dotted path of the key concerned, or None.
        fix: What to do, where that is more than the code says.
        level: How much it matters.
    """

    code: str
    file: str
    line: int
    column: int
    message: str
    rule: str | None = None
    key: str | None = None
    fix: str = ""
    level: Level = Level.WARNING

    @property
    def why(self) -> str:
        """Why it matters."""
        return CODES[self.code].why

    @property
    def remedy(self) -> str:
        """What to do."""
        return self.fix or CODES[self.code].fix
