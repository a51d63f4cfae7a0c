"""Whether a server runs through the proxy as it should: each thing that can be wrong, and how to mend it."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aegis.clients.cage import breaches, explained
from aegis.clients.checkup_tools import look_at_tools
from aegis.clients.finding import Finding, Patient
from aegis.clients.servers import option
from aegis.clients.trailplace import unusable
from aegis_core.audit.sqlite import AuditLogger
from aegis_core.errors import AegisError
from aegis_core.policy.policy import Policy
from aegis_mcp.pinning.lockfile import LockFile

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

__all__ = ["checkup", "installation"]

_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)\}")


def checkup(patient: Patient, *, timeout: float) -> Iterator[Finding]:
    """Look at everything, starting the server twice: by itself, and through the proxy.

    Args:
        patient: The server.
        timeout: Seconds it has for each start.
    """
    environment = {**os.environ, **{name: _filled(value) for name, value in patient.environment.items()}}
    command = [_filled(word) for word in patient.command]
    yield from _program(patient, environment)
    yield _server_command(command, environment)
    try:
        policy = Policy.from_yaml(patient.policy)
    except AegisError as problem:
        yield Finding("policy", "problem", str(problem), "see aegis validate")
        return
    count = len(policy.rules)
    yield Finding("policy", "ok", f"{patient.policy}: {count} {'rule' if count == 1 else 'rules'}")
    yield from _trail(patient.db)
    caged = _cage(patient, policy, command)
    yield caged
    pinned = yield from _lock(patient)
    if caged.state == "problem":
        return  # the proxy would refuse to start
    if any("${" in word for word in command):
        yield Finding("tools", "note", "not started: its command has ${...} that only the client can fill in")
        return
    yield from look_at_tools(patient, policy, command, environment, timeout, pinned=pinned)


def _filled(text: str) -> str:
    """Text with the variables that clients fill in, as far as this process knows them."""
    return _VARIABLE.sub(lambda found: os.environ.get(found[1], found[0]), text).replace(
        "${userHome}", str(Path.home())
    )


def _program(patient: Patient, environment: Mapping[str, str]) -> Iterator[Finding]:
    if not patient.start:
        return
    program = patient.start[0]
    found = shutil.which(program, path=environment.get("PATH"))
    if found is None:
        yield Finding("aegis", "failed", f"{program} is not there or cannot be run", "run aegis wrap again")
    elif not Path(program).is_absolute():
        yield Finding("aegis", "problem", f"{program} is found by PATH only, which desktop programs start without",
                      "run aegis wrap again")  # fmt: skip
    else:
        yield Finding("aegis", "ok", program)


def _server_command(command: Sequence[str], environment: Mapping[str, str]) -> Finding:
    found = shutil.which(command[0], path=environment.get("PATH"))
    if found is None:
        mend = "install it, or give its absolute path in the client's settings"
        return Finding("command", "failed", f"{command[0]} was not found on {environment.get('PATH', '')}", mend)
    return Finding("command", "ok", found)


def _trail(db: str) -> Iterator[Finding]:
    if "://" in db:
        yield Finding("trail", "note", "a database elsewhere; it is written to when the server is called")
        return
    path = Path(db)
    if not path.exists():
        if problem := unusable(db):
            mend = "make that folder, writable for you only, or give another --db"
            yield Finding("trail", "failed", f"{db} cannot be made: {problem}", mend)
        else:
            yield Finding("trail", "note", f"{db}: will be made at the first call")
        return
    try:
        with AuditLogger(db) as trail:
            trail.reader.changes()
    except AegisError as problem:
        yield Finding("trail", "failed", str(problem), "give another --db, or put the trail back")
        return
    beside = [file for file in (path, Path(db + "-wal"), Path(db + ".key"), Path(db + ".lock")) if file.exists()]
    if shut := [str(file) for file in (path.parent, *beside) if not os.access(file, os.W_OK)]:
        yield Finding("trail", "failed", f"not writable: {', '.join(shut)}", f"chmod u+w {' '.join(shut)}")
    elif open_to_others := [str(file) for file in beside if _is_open(file)]:
        names = " ".join(open_to_others)
        yield Finding("trail", "problem", f"others can read or write {', '.join(open_to_others)}", f"chmod 600 {names}")
    else:
        yield Finding("trail", "ok", db)


def _is_open(file: Path) -> bool:
    return sys.platform != "win32" and bool(stat.S_IMODE(file.stat().st_mode) & 0o077)


def _cage(patient: Patient, policy: Policy, command: Sequence[str]) -> Finding:
    within = breaches(command, policy.sources, patient.db, environment=patient.environment, settings=patient.settings)
    if not within:
        return Finding("cage", "ok", "its command names none of the files that govern it")
    if "--allow-writable-policy" in patient.options:
        file, folder = within[0]
        return Finding("cage", "note", f"{file} lies within {folder}, which it may write to; that is allowed")
    return Finding("cage", "problem", explained(*within[0]), "move the policy and the trail out of its folders")


def _lock(patient: Patient) -> Generator[Finding, None, bool]:
    """Whether the server's tools are pinned; that is returned, too."""
    if "--no-lock" in patient.options:
        yield Finding("lock", "note", "its tools are not pinned (--no-lock)")
        return False
    given = option(patient.options, "--lock")
    path = Path(given) if given else patient.policy.with_name("aegis.lock")
    try:
        tools = LockFile(path).read().of(patient.server)
    except AegisError as problem:
        yield Finding(
            "lock", "problem", str(problem), "put the lock back, or accept the tools again: aegis tools accept"
        )
        return True
    if tools is None:
        yield Finding("lock", "note", f"{path}: its tools will be pinned when a client first lists them")
        return False
    yield Finding("lock", "ok", str(path))
    return True


def installation() -> list[Finding]:
    """Whether what is imported as ours is ours: strangers own distributions of these names."""
    from importlib.metadata import packages_distributions  # noqa: PLC0415 - reads every distribution there is

    owners = packages_distributions()
    found: list[Finding] = []
    for package in ("aegis", "aegis_core", "aegis_mcp"):
        strangers = sorted({owner for owner in owners.get(package, ()) if owner.lower() != "aegis-agents"})
        if strangers:
            names = ", ".join(strangers)
            said = f"the package {package!r} belongs to the distribution {names} too; one has overwritten the other"
            mend = f"pip uninstall {' '.join(strangers)}, then pip install --force-reinstall aegis-agents"
            found.append(Finding("installation", "problem", said, mend))
    return found
