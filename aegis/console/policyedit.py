"""Putting a rule into a policy file: as a change to its text that can be read, checked before anything is written.

The rest of the file stays as it is, comments included. The rule goes directly before the rule that asked, so that every
rule in front of that one still comes first.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis.console.policies import action_of, judged_at
from aegis.errors import ApprovalError
from aegis.workbench.insertion import NoPlace, insert_rule
from aegis_core.policy.reading import replaced

if TYPE_CHECKING:
    from aegis.core.policy import Policy
    from aegis_core.approval.store import Ticket
    from aegis_core.policy.document import RuleDocument

__all__ = ["Change", "asking_rule", "change_for", "write_change"]


@dataclass(frozen=True, slots=True)
class Change:
    """A rule that could be added to a file.

    Attributes:
        path: The file.
        rule: The rule.
        before: The file's text.
        after: The text with the rule.
    """

    path: Path
    rule: dict[str, Any]
    before: str
    after: str

    @property
    def digest(self) -> str:
        """Names the text the change was made for and the one it makes: what was shown is what is written."""
        return sha256(f"{self.before}\0{self.after}".encode()).hexdigest()

    def diff(self) -> list[str]:
        """The change as a unified diff, line by line."""
        old, new = self.before.splitlines(), self.after.splitlines()
        # Where lines repeat, difflib may begin in the middle of the rule: it is clearer in one piece.
        size = len(new) - len(old)
        at = next((n for n, line in enumerate(new) if line.strip() == f"- name: {self.rule['name']}"), None)
        if at is not None and old[:at] + new[at : at + size] + old[at:] == new:
            first, last = max(0, at - 4), min(len(old), at + 4)
            head = f"@@ -{first + 1},{last - first} +{first + 1},{last - first + size} @@"
            kept, added = [f" {line}" for line in old[first:at]], [f"+{line}" for line in new[at : at + size]]
            names = [f"--- {self.path.name}", f"+++ {self.path.name}"]
            return [*names, head, *kept, *added, *(f" {line}" for line in old[at:last])]
        return list(difflib.unified_diff(old, new, self.path.name, self.path.name, lineterm="", n=4))


def asking_rule(policy: Policy, ticket: Ticket) -> RuleDocument | None:
    """The rule that asked, as the policy has it now; None for its default.

    Raises:
        ApprovalError: This policy would not ask because of that rule, or not because of a rule at all.
    """
    asked = ticket.request
    if asked["floors"]:
        names = ", ".join(asked["floors"])
        raise ApprovalError(
            f"the call was stopped because {names} could not be decided; another rule cannot change that"
        )
    if policy.layered:
        raise ApprovalError("a policy of several layers is changed by hand: a rule in one cannot loosen another")
    decision = policy.evaluate(action_of(ticket), now=judged_at(ticket))
    if decision.matched_rule != asked["rule"] or decision.approval != "approve":
        raise ApprovalError(
            f"this policy does not ask about the call by the rule {asked['rule']!r}, which did when the call was made"
        )
    for rule in policy.rules:
        if rule.name == asked["rule"]:
            return rule.document
    return None


def change_for(policy: Policy, path: Path, ticket: Ticket, rule: dict[str, Any]) -> Change:
    """Work out the change and make sure that it does what it says and nothing else.

    Raises:
        ApprovalError: The rule cannot be put into this file.
        PolicyError: The file would not load.
    """
    before = policy.origin.texts().get(path)
    if before is None:
        raise ApprovalError(f"the policy does not come from {path}")
    if any(known.name == rule["name"] for known in policy.rules):
        raise ApprovalError(f"the policy already has a rule {rule['name']!r}")
    try:
        after = insert_rule(before, rule, ticket.request["rule"])
    except NoPlace as error:
        raise ApprovalError(str(error)) from None
    changed = policy.rebuilt({**policy.origin.texts(), path: after})
    if _meaning(changed, without=rule["name"]) != _meaning(policy, without=None):
        raise ApprovalError(f"the rule cannot be added to {path.name} without changing something else; add it by hand")
    explained = changed.explain(action_of(ticket), now=judged_at(ticket))
    if not any(one.name == rule["name"] and one.truth for one in explained.rules):
        raise ApprovalError("the rule would not cover this very call: an argument it depends on is masked or in doubt")
    return Change(path, rule, before, after)


def write_change(change: Change) -> None:
    """Replace the file in one step.

    Raises:
        ApprovalError: The file was changed by somebody else meanwhile.
        OSError: It cannot be written.
    """
    path = Path(os.path.realpath(change.path))
    if path.read_text(encoding="utf-8-sig") != change.before:
        raise ApprovalError(f"{change.path.name} was changed meanwhile; look at the change again")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(change.after)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(path.stat().st_mode & 0o777)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _meaning(policy: Policy, *, without: str | None) -> list[Any]:
    """Everything the policy says, apart from one rule."""
    said: list[Any] = []
    for layer in policy.layers:
        said.append([rule.document for rule in layer.rules if rule.name != without])
        said += [replaced(document, rules=()) for document in layer.documents]
    return said
