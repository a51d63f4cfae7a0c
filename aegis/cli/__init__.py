"""The ``aegis`` command. One file a group of commands, loaded when it is run.

Here stands only what every run needs: a hook answers for every call an agent makes, and loads neither click nor rich.
"""

from __future__ import annotations

import gc
import sys

__all__ = ["COMMANDS", "main"]

# name -> (module, attribute, help). The help stands here so that `aegis --help` need not load every command.
COMMANDS = {
    "approvals": ("aegis.cli.approvals", "approvals", "See what waits for a person's yes, and answer it."),
    "audit": ("aegis.cli.audit", "audit", "Look at the audit trail."),
    "check": ("aegis.cli.policy", "check", "Ask a policy about one call, and why."),
    "console": ("aegis.cli.console", "console", "Answer calls and see everything, in a browser."),
    "db": ("aegis.cli.db", "db", "Look after the database of the trail."),
    "demo": ("aegis.cli.demo", "demo", "See it work: a real MCP server, a scripted agent, a policy, a trail."),
    "doctor": ("aegis.cli.doctor", "doctor", "See whether servers really run through the proxy, and what to mend."),
    "hook": ("aegis.cli.hook", "hook", "Govern Claude Code's own tools, which no proxy sees."),
    "init": ("aegis.cli.init", "init", "Draft a policy for an MCP server from its tools, and pin them."),
    "diff": ("aegis.cli.diff", "diff", "What changed in meaning between two policies, with calls that show it."),
    "lint": ("aegis.cli.lint", "lint", "Find mistakes in policies, and what they say about tools that do not exist."),
    "packs": ("aegis.cli.packs", "packs", "Ready-made policies for well-known MCP servers."),
    "proxy": ("aegis.cli.proxy", "proxy", "Govern an MCP server with no code: stand between it and its client."),
    "unwrap": ("aegis.cli.wrap", "unwrap", "Take the proxy out of a client's settings again."),
    "replay": ("aegis.cli.replay", "replay_command", "Judge the calls on a trail by another policy."),
    "suggest": ("aegis.cli.suggest", "suggest_command", "Draft narrow rules from what people always answered."),
    "schema": ("aegis.cli.schema", "schema", "The JSON Schema of policy files, for editors."),
    "test": ("aegis.cli.test", "test", "Check that a policy says what its tests say, and which rules have none."),
    "tools": ("aegis.cli.tools", "tools", "See how a server's tools differ from what was accepted, and accept them."),
    "validate": ("aegis.cli.policy", "validate", "Check policy files; every problem with file:line:column."),
    "wrap": ("aegis.cli.wrap", "wrap", "Put the proxy in front of the MCP servers in a client's settings."),
}


def main() -> None:
    """Run the command line; every error becomes a sentence on standard error and an exit code."""
    # Until a command runs, nothing is garbage; looking for it while modules are loaded takes a twentieth of the time.
    gc.disable()
    if sys.argv[1:3] == ["hook", "claude-code"]:
        from aegis.clients.claude_code.hook import answer  # noqa: PLC0415 - the only thing a hook loads

        answer(sys.argv[3:])
    try:
        from aegis.cli.group import run  # noqa: PLC0415 - loads click

        run()
    finally:
        gc.enable()
