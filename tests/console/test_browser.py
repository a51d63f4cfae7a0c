"""The console in a real browser, with real agents: what a person sees and does, and that it reaches the call."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("jinja2")
pytest.importorskip("uvicorn")
pytest.importorskip("playwright")

from playwright.sync_api import expect

from tests.console.screenshots import IMAGES, NAMES, take
from tests.console.site import HOSTILE, POLICY
from tests.console.stage import agent, browser, chromium, stage, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.console.stage import Agent, Stage

expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def driven() -> Iterator[Browser]:
    if chromium() is None:
        reason = "there is no browser: install chromium, or set AEGIS_TEST_CHROMIUM to one"
        assert not os.environ.get("AEGIS_REQUIRE_CHROMIUM"), reason
        pytest.skip(reason)
    with browser() as found:
        yield found


@pytest.fixture
def staged(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path, POLICY) as made:
        yield made


@pytest.fixture
def reporter(staged: Stage) -> Iterator[Agent]:
    with agent(staged.folder) as made:
        yield made


@pytest.fixture
def open_page(driven: Browser, staged: Stage) -> Iterator[Callable[..., Page]]:
    """Log in with the link that the console printed; nothing may go wrong on the page in the end."""
    found: list[tuple[Any, list[str]]] = []

    def opened(**options: Any) -> Page:
        context = driven.new_context(**options)
        context.set_default_timeout(30_000)
        page = context.new_page()
        found.append((context, watched(page)))
        page.goto(staged.link)
        expect(page.locator("#live")).to_have_text("live")
        return page

    yield opened
    for context, wrong in found:
        context.close()
        assert wrong == []


def test_a_person_answers_calls_of_another_process_and_finds_them_on_the_trail(
    open_page: Callable[..., Page], staged: Stage, reporter: Agent
) -> None:
    page = open_page()
    assert page.url == f"{staged.base}/"  # away from the address with the code
    expect(page.get_by_text("Nothing waits.")).to_be_visible()

    # One is approved by keyboard, and the process that waits goes on.
    reporter.call("write_file", "filesystem", {"path": "/data/a", "content": HOSTILE}, number=1)
    expect(page.locator("#rows li")).to_have_count(1)  # without loading the page again
    expect(page.locator("#rows li")).to_contain_text("path=/data/a")
    expect(page).to_have_title("(1) Inbox · Aegis")
    page.keyboard.press("j")
    expect(page.locator(".call h2")).to_have_text("write_file on filesystem")
    expect(page.locator(".call mark.esc").filter(has_text="\\u202e").first).to_be_visible()
    page.keyboard.press("a")
    page.keyboard.type("as asked in the meeting")  # the a in it answers nothing
    page.keyboard.press("Enter")
    assert reporter.ended() == {
        "number": 1, "status": "success", "data": {"path": "/data/a", "content": HOSTILE}, "error": "",
    }  # fmt: skip
    expect(page.locator("#rows li")).to_have_count(0)
    expect(page.locator("#toast")).to_contain_text("Approved")

    # Another is denied, with the reason.
    reporter.call("write_file", "filesystem", {"path": "/data/b"}, number=2)
    page.locator("#rows li a").click()
    expect(page.locator(".call")).to_contain_text("/data/b")
    page.keyboard.press("d")
    page.keyboard.type("not that one")
    page.keyboard.press("Enter")
    denied = reporter.ended()
    assert (denied["number"], denied["status"]) == (2, "denied")
    assert "not that one" in denied["error"]

    # A third is edited; the changed call is asked about anew, as it will run.
    reporter.call("write_file", "filesystem", {"path": "/data/c", "mode": 420, "lines": "one\ntwo"}, number=3)
    page.locator("#rows li a").click()
    expect(page.locator(".call")).to_contain_text("/data/c")
    page.keyboard.press("e")
    page.get_by_label("path").fill("/data/changed")
    page.get_by_role("button", name="Approve with these changes").click()
    expect(page.locator("#rows li")).to_contain_text("path=/data/changed")
    page.locator("#rows li a").click()
    expect(page.locator(".call")).to_contain_text("/data/changed")
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    assert reporter.ended()["data"] == {"path": "/data/changed", "mode": 420, "lines": "one\ntwo"}

    # All of it is on the trail.
    page.get_by_role("link", name="Audit").click()
    rows = page.locator("#calls tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("/data/changed")
    expect(rows.nth(0)).to_contain_text("approved by ann")
    expect(rows.nth(1)).to_contain_text("denied by ann")
    expect(rows.nth(2)).to_contain_text("approved by ann")
    rows.nth(2).get_by_role("link").click()
    expect(page.get_by_text("as asked in the meeting")).to_be_visible()
    page.goto(f"{staged.base}/audit?status=denied")
    expect(rows).to_have_count(1)


def test_a_rule_is_written_by_keyboard_after_it_was_shown(
    open_page: Callable[..., Page], staged: Stage, reporter: Agent
) -> None:
    page = open_page()
    reporter.call("write_file", "filesystem", {"path": "/data/a", "content": "x"})
    expect(page.locator("#rows li")).to_have_count(1)
    page.keyboard.press("j")
    expect(page.locator(".call")).to_be_visible()
    page.keyboard.press("w")
    page.locator("#scope").get_by_label("content").select_option("any")
    page.get_by_role("button", name="Show the change").click()
    expect(page.locator(".diff .added").first).to_contain_text("always_write_file_")
    assert (staged.folder / "policy.yaml").read_text() == POLICY
    page.get_by_role("button", name="Write it to policy.yaml").click()
    expect(page.locator(".notice.good")).to_contain_text("this one still waits")
    written = (staged.folder / "policy.yaml").read_text()
    assert "until:" in written
    assert "# Writing is asked about." in written
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    assert reporter.ended()["status"] == "success"


def test_who_answers_elsewhere_is_seen_here(open_page: Callable[..., Page], staged: Stage, reporter: Agent) -> None:
    from aegis.runtime.audit import AuditLogger
    from aegis_core.approval.store import ApprovalStore

    page = open_page()
    reporter.call("write_file", "filesystem", {"path": "/data/a"})
    reporter.call("write_file", "filesystem", {"path": "/data/b"})
    expect(page.locator("#rows li")).to_have_count(2)
    page.locator("#rows li", has_text="/data/a").click()
    expect(page.locator(".call")).to_contain_text("/data/a")
    shown = page.locator(".call").get_attribute("data-id") or ""
    with AuditLogger(staged.folder / "aegis_audit.db") as trail:
        ApprovalStore(trail).answer(shown, approved=False, approver="bob", via="cli", reason="no")
    expect(page.locator(".call .notice")).to_contain_text("Denied by bob via cli")
    expect(page.locator("#rows li")).to_have_count(1)
    assert page.locator(".call").get_attribute("data-id") == shown  # nothing else slips under the finger


def test_the_tail_of_the_trail_is_live(open_page: Callable[..., Page], staged: Stage, reporter: Agent) -> None:
    page = open_page()
    page.goto(f"{staged.base}/audit?target=files")
    page.get_by_label("live").check()
    page.wait_for_timeout(1_000)
    reporter.call("read_file", "elsewhere", {"path": "/data/0"})
    for number in range(3):
        reporter.call("read_file", "files", {"path": f"/data/{number}"})
    expect(page.locator("#calls tr")).to_have_count(3)
    expect(page.locator("#calls tr .state").first).to_have_text("success")


def test_a_phone_shows_one_thing_at_a_time_and_answers_by_touch(
    open_page: Callable[..., Page], reporter: Agent
) -> None:
    phone: dict[str, Any] = {"width": 360, "height": 740}
    page = open_page(viewport=phone, is_mobile=True, has_touch=True, color_scheme="dark")
    for path in ("/data/a", "/data/" + "long" * 60):
        reporter.call("write_file", "filesystem", {"path": path, "content": "x" * 3_000})
    expect(page.locator("#rows li")).to_have_count(2)
    page.locator("#rows li").first.tap()
    expect(page.locator(".call")).to_be_visible()
    expect(page.locator("#rows")).not_to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for button in page.locator(".verbs button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    page.get_by_role("button", name="‹ All").tap()
    expect(page.locator("#rows")).to_be_visible()
    page.locator("#rows li").first.tap()
    page.go_back()
    expect(page.locator("#rows")).to_be_visible()
    page.locator("#rows li").first.tap()
    page.locator(".verbs [data-verb=approve]").tap()
    page.get_by_role("button", name="Approve: run it once").tap()
    assert reporter.ended()["status"] == "success"
    expect(page.locator("#rows li")).to_have_count(1)
    expect(page.locator("#rows")).to_be_visible()


# The contrast of every text with what is behind it, by the formula of WCAG 2; large text and disabled controls aside.
_CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = rgba(getComputedStyle(node).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgba("white");
  };
  const bad = [];
  for (const node of document.querySelectorAll("body *")) {
    const text = [...node.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join("").trim();
    if (!text || !node.checkVisibility() || node.closest(":disabled, kbd, mark.nl, noscript, .unseen")) continue;
    const style = getComputedStyle(node);
    const [fore, back] = [rgba(node.closest("svg") ? style.fill : style.color), behind(node)].map(light);
    const ratio = (Math.max(fore, back) + 0.05) / (Math.min(fore, back) + 0.05);
    if (ratio < 4.5) bad.push(`${text.slice(0, 30)}: ${ratio.toFixed(2)} (${node.className})`);
  }
  return bad;
}"""
# Whatever can be acted on has a name, and ids are unique.
_NAMELESS = """() => {
  const bad = [];
  for (const node of document.querySelectorAll("a[href], button, input, select, textarea, summary, [role=img]")) {
    const by = node.getAttribute("aria-labelledby");
    const name = node.getAttribute("aria-label") || (by && document.getElementById(by)?.textContent)
      || [...(node.labels ?? [])].map((label) => label.textContent).join("") || node.textContent;
    if (!name.trim()) bad.push(node.outerHTML.slice(0, 100));
  }
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  bad.push(...ids.filter((id, place) => ids.indexOf(id) !== place).map((id) => `twice: ${id}`));
  return bad;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_read_and_named_in_both_themes(
    open_page: Callable[..., Page], staged: Stage, reporter: Agent, scheme: str
) -> None:
    page = open_page(color_scheme=scheme)
    reporter.call("read_file", "filesystem", {"path": "/data/a"}, session_id="chat-1")
    reporter.call("write_file", "filesystem", {"path": "/data/secret"}, session_id="chat-1")
    reporter.call("write_file", "filesystem", {"path": "/data/a", "content": HOSTILE, "n": 1}, session_id="chat-1")
    expect(page.locator("#rows li")).to_have_count(1)
    page.keyboard.press("j")
    for key in ("j", "a", "e", "w"):
        page.keyboard.press(key)
        expect(page.locator(".call")).to_be_visible()
        if key == "w":
            expect(page.locator("#scope")).to_be_visible()
            page.get_by_role("button", name="Show the change").click()
            expect(page.locator("#write")).to_be_visible()
        assert page.evaluate(_CONTRASTS) == []
        assert page.evaluate(_NAMELESS) == []
        page.evaluate("document.activeElement.blur()")
    for path in ("/audit", "/activity?range=1h", "/audit?since=x"):
        page.goto(staged.base + path)
        page.locator("summary").first.click()
        assert page.evaluate(_CONTRASTS) == [], path
        assert page.evaluate(_NAMELESS) == [], path


def test_the_theme_can_be_chosen_and_stays(open_page: Callable[..., Page], staged: Stage) -> None:
    page = open_page(color_scheme="light")
    paper = "getComputedStyle(document.querySelector('.bar')).backgroundColor"
    light = page.evaluate(paper)
    for name, colour_is_light in (("light", True), ("dark", False)):
        page.locator("#theme").click()
        expect(page.get_by_role("button", name=f"Theme: {name}")).to_be_visible()
        assert (page.evaluate(paper) == light) is colour_is_light
    page.goto(f"{staged.base}/audit")
    assert page.evaluate(paper) != light
    page.locator("#theme").click()
    assert page.evaluate(paper) == light  # as the system again


def test_the_keys_are_explained_and_reach_everything(open_page: Callable[..., Page], reporter: Agent) -> None:
    page = open_page()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("approve")
    page.keyboard.press("a")  # does nothing while the help is shown
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).not_to_be_visible()
    for number in range(3):
        reporter.call("write_file", "filesystem", {"path": f"/data/{number}"})
        expect(page.locator("#rows li")).to_have_count(number + 1)
    for key, number in (("j", 0), ("j", 1), ("ArrowDown", 2), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        expect(page.locator(".call")).to_contain_text(f"/data/{number}")
        expect(page.locator("#rows li[aria-current] .args")).to_contain_text(f"/data/{number}")
    page.keyboard.press("a")
    expect(page.locator("#why-approve")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#why-approve")).not_to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    expect(page.locator("#rows li")).to_have_count(3)  # nothing was answered


def test_whoever_logs_out_sees_nothing_more(open_page: Callable[..., Page], staged: Stage) -> None:
    page = open_page()
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(re.compile(r"/login$"))
    page.goto(f"{staged.base}/audit")
    expect(page).to_have_url(re.compile(r"/login$"))


def test_two_hundred_wait_and_more_arrive_and_none_is_lost(
    open_page: Callable[..., Page], staged: Stage, reporter: Agent
) -> None:
    from aegis.runtime.audit import AuditLogger
    from aegis_core.approval.store import ApprovalStore

    page = open_page()
    for number in range(200):
        reporter.call("write_file", "filesystem", {"path": f"/data/{number}"}, number=number)
    expect(page.locator("#rows li")).to_have_count(200)
    # Fifty a second while a person answers.
    answered = 0
    for number in range(200, 300):
        reporter.call("write_file", "filesystem", {"path": f"/data/{number}"}, number=number)
        if number % 10 == 0:
            first = page.locator("#rows li").first
            first.click()
            expect(page.locator(f".call[data-id='{first.get_attribute('data-id')}']")).to_be_visible()
            with page.expect_response(re.compile("/answer$")):
                page.keyboard.press("a")
                page.keyboard.press("Enter")
            answered += 1
        page.wait_for_timeout(20)
    expect(page.locator("#rows li")).to_have_count(300 - answered)
    assert answered == 10
    with AuditLogger(staged.folder / "aegis_audit.db") as trail:
        ids = ApprovalStore(trail).waiting()
    assert sorted(page.locator("#rows li").evaluate_all("rows => rows.map((row) => row.dataset.id)")) == sorted(ids)
    for _ in range(answered):
        assert reporter.ended()["status"] == "success"


def test_the_pictures_in_the_docs_can_be_taken_again(driven: Browser, tmp_path: Path) -> None:
    folder, images = tmp_path / "stage", tmp_path / "images"
    folder.mkdir()
    images.mkdir()
    take(driven, folder, images)
    for name in NAMES.values():
        now, then = (images / name).read_bytes(), (IMAGES / name).read_bytes()
        assert now[:24] == then[:24]  # a PNG, and of the same size
