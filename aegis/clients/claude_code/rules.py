"""The cage rule where the tools may write anywhere: it is the policy that must keep them off what governs them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from aegis.clients.locations import CLIENTS, PROJECT_FILES, hook_settings, user_settings
from aegis_core.action import Action
from aegis_core.decision import Approval
from aegis_mcp.proxy.cage import own_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis.clients.claude_code.event import Event
    from aegis_core.policy.policy import Policy

__all__ = ["draft", "governing_files", "writable"]

_TEMPLATE = Path(__file__).with_name("policy.template.yaml")
_PROJECTS = r"\.claude[/\\]+(\.[/\\]+)*settings(\.local)?\.json", r"\.mcp\.json\b", r"\.(cursor|vscode)[/\\]+mcp\.json"
_ALWAYS = (
    r"\.claude\.json\b",
    r"claude_desktop_config\.json",
    r"aegis_audit\.db",
    r"\baegis\.lock\b",
    r"\.aegis([^\w.-]|$)",  # the folder, with anything behind it; not x.aegis-test.yaml
)


def governing_files(policy: Iterable[str | os.PathLike[str]], db: str, *, project: str | None = None) -> list[Path]:
    """What an agent must not change: our own files, and the settings that run the hook.

    Args:
        policy: The policy's files.
        db: The trail.
        project: The folder the client works in; None where it is not known.
    """
    settings = hook_settings()
    files = [*own_files(policy, db), settings, settings.with_name("settings.local.json")]
    if project is not None:
        files += [Path(project) / name for name in PROJECT_FILES if name.startswith(".claude")]
    return files


def writable(policy: Policy, db: str, event: Event, *, agent: str | None, user: str | None) -> tuple[str, str] | None:
    """A tool that the policy would let change one of those files unasked, and the file; None if there is none.

    Asks the policy about the very calls that would do it.
    """
    for file in governing_files(policy.sources, db, project=event.facts.get("cwd")):
        path = os.path.abspath(file)  # noqa: PTH100 - links stay: they are what the rule has to see
        calls = {
            "Write": {"file_path": path, "content": ""},
            "Edit": {"file_path": path, "old_string": "a", "new_string": "b"},
            "Bash": {"command": f"echo > '{path}'"},
        }
        for tool, arguments in calls.items():
            action = Action(tool, "claude-code", arguments, agent=agent, user=user, session_id=event.session)
            if policy.evaluate(action).approval is Approval.AUTO:
                return tool, path
    return None


def draft(policy: Path, db: str) -> str:
    """The text of a policy that protects itself, the trail and the clients' settings.

    Args:
        policy: Where it will lie.
        db: The trail.
    """
    files = [*governing_files([policy], db), *map(user_settings, CLIENTS)]
    if "://" not in db:
        files += [Path(db + "-shm"), Path(db + "-journal")]
    paths = list(dict.fromkeys(os.path.abspath(file) for file in files))  # noqa: PTH100 - as above
    own = [re.escape(policy.name)] + ([] if "://" in db else [re.escape(Path(db).name)])
    names = "(?i)" + "|".join(dict.fromkeys([*_PROJECTS, *_ALWAYS, *own]))
    text = _TEMPLATE.read_text(encoding="utf-8")
    if os.name == "nt":
        text = text.replace("resolve: true", "resolve: true, style: windows")
    return text.replace("@FILES@", f"[{', '.join(map(_scalar, paths))}]").replace("@NAMES@", _scalar(names))


def _scalar(text: str) -> str:
    """Text as YAML writes it where nothing in it means anything."""
    return "'" + text.replace("'", "''") + "'"
