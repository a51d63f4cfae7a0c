"""Takes the pictures of the console that stand in the docs: ``python -m tests.console.screenshots``.

The console, the agents and the browser are the real ones. Inter and JetBrains Mono, where they are installed, make it
look as it does for most people.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.console.stage import ROOT, agent, browser, stage

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES = ROOT / "docs" / "images"
NAMES = {"light": "console-inbox.png", "dark": "console-inbox-dark.png"}
POLICY = """\
version: "1"
rules:
  - name: reads
    match: {type: ["read_*", "list_*", get_order]}
    risk_level: low
    approval: auto
  - name: small_refunds
    match: {type: refund, target: shop}
    conditions:
      param_lte: {amount: 50}
    approval: auto
  - name: ask_for_refunds
    match: {type: refund, target: shop}
    risk_level: high
    approval: approve
  - name: ask_before_writing
    match: {type: "write_*"}
    approval: approve
  - name: ask_before_mailing
    match: {type: send_email}
    approval: approve
"""
CALLS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    (
        "refund",
        "shop",
        {"order": "A-20417", "amount": 189.9, "currency": "EUR", "note": "Arrived broken, photos in the ticket"},
        {"agent": "support", "session_id": "ticket-3391", "description": "The customer asked for their money back"},
    ),
    (
        "write_file",
        "filesystem",
        {"path": "/srv/reports/2026-q1.csv", "content": "region,revenue\nnorth,418000\nsouth,391500\n"},
        {"agent": "reporter", "session_id": "nightly"},
    ),
    (
        "send_email",
        "mail",
        {"to": "jane@example.com", "subject": "Your refund", "body": "We have refunded order A-20417."},
        {"agent": "support", "session_id": "ticket-3391"},
    ),
    (
        "write_file",
        "filesystem",
        {"path": "/srv/site/invoice\u202efdp.exe", "content": "MZ\x90\x00"},
        {"agent": "assistant", "session_id": "chat-88"},
    ),
]


def take(chromium: Browser, folder: Path, images: Path) -> None:
    """Take all pictures.

    Args:
        chromium: The browser.
        folder: An empty folder to work in.
        images: Where the pictures go.
    """
    with stage(folder, POLICY) as staged, agent(folder) as made:
        page = chromium.new_page(viewport={"width": 1200, "height": 720}, device_scale_factor=2)
        page.goto(staged.link)
        for number, (tool, target, params, more) in enumerate(CALLS, 1):
            made.call(tool, target, params, **more)
            page.locator(f"#rows li:nth-child({number})").wait_for()
        page.locator("#rows li a").first.click()
        page.wait_for_selector(".call")
        page.wait_for_selector(".s-verified", state="attached", timeout=60_000)
        page.mouse.move(0, 0)
        page.evaluate("document.activeElement.blur()")
        for scheme, name in NAMES.items():
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            page.screenshot(path=images / name)
        page.close()


if __name__ == "__main__":
    with browser() as found, tempfile.TemporaryDirectory() as scratch:
        take(found, Path(scratch), IMAGES)
