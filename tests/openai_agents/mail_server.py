"""An MCP server for the tests, on stdio: ``python tests/openai_agents/mail_server.py``. Both majors of the SDK."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.mcp.connections import make_server, tool_error

_flaky = iter([True, True, False])


def list_mail(folder: str = "inbox") -> str:
    """List the mail in a folder."""
    return f"3 letters in {folder}"


def send_mail(to: str, text: str) -> str:
    """Send a letter."""
    return f"sent {text!r} to {to}"


def delete_mail(number: int) -> str:
    """Delete a letter."""
    return f"deleted {number}"


def fail(reason: str) -> str:
    """Fail."""
    raise tool_error(reason)


if __name__ == "__main__":
    make_server(list_mail, send_mail, delete_mail, fail, name="mail").run("stdio")
