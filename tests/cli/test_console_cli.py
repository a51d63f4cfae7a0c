"""``aegis console``, as a shell sees it: a real process that listens, prints a link, and ends."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from aegis.runtime.audit import AuditLogger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "correct horse battery"


def command(folder: Path, *args: str, token: str | None = None) -> subprocess.Popen[str]:
    """A console in a folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AEGIS_")}
    return subprocess.Popen(
        [sys.executable, "-m", "aegis", "console", *args],
        cwd=folder,
        env=environment | ({} if token is None else {"AEGIS_CONSOLE_TOKEN": token}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def running(folder: Path, *args: str, token: str | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A console that listens, and the login link it printed."""
    with command(folder, "--listen", "127.0.0.1:0", *args, token=token) as process:
        try:
            yield process, next_link(process)
        finally:
            process.kill()


def next_link(process: subprocess.Popen[str]) -> str:
    """The link that is printed next."""
    assert process.stdout is not None
    patience = threading.Timer(60, process.kill)
    patience.start()
    try:
        for line in process.stdout:
            if found := re.search(r"http://\S+/login\?code=\S+", line):
                return found[0]
    finally:
        patience.cancel()
    raise AssertionError(f"no link was printed: {process.communicate()[1]}")


def refused(folder: Path, *args: str, token: str | None = None) -> tuple[int, str]:
    """The exit code and the words of a console that does not start."""
    with command(folder, *args, token=token) as process:
        _, said = process.communicate(timeout=60)
        return process.returncode, said


def get(link: str, cookie: str = "") -> http.client.HTTPResponse:
    host, _, path = link.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("GET", f"/{path}", headers={"Accept": "text/html", "Cookie": cookie})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an empty trail."""
    with AuditLogger(tmp_path / "aegis_audit.db") as trail:
        trail.upgrade()
    return tmp_path


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_a_link_that_logs_in_and_ends_when_told_to(folder: Path, sign: signal.Signals) -> None:
    with running(folder, "--as", "ann") as (process, link):
        response = get(link)
        assert response.status == 303
        cookie = response.headers["Set-Cookie"].partition(";")[0]
        base = link.partition("/login")[0]
        assert get(f"{base}/", cookie).status == 200
        second = next_link(process)  # the next one, once this was used
        assert second != link
        assert get(link).status == 403
        process.send_signal(sign)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0
        assert err == ""  # no log of what was looked at, no word about how it ended
        assert link not in out


def test_a_log_that_nobody_reads_any_more_does_not_keep_people_out(folder: Path) -> None:
    with running(folder) as (process, link):
        assert process.stdout is not None
        process.stdout.close()
        assert get(link).status == 303
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "example.com"])
def test_it_never_listens_beyond_the_loopback_without_a_token(folder: Path, host: str) -> None:
    code, said = refused(folder, "--listen", f"{host}:0", "--origin", "http://aegis.example.com")
    assert code == 2
    assert "AEGIS_CONSOLE_TOKEN" in said


def test_with_a_token_it_may_listen_everywhere_under_the_name_it_is_given(folder: Path) -> None:
    code, said = refused(folder, "--listen", "0.0.0.0:0", token=TOKEN)
    assert code == 2
    assert "--origin" in said
    with command(folder, "--listen", "0.0.0.0:0", "--origin", "http://aegis.example.com", token=TOKEN) as process:
        assert next_link(process).startswith("http://aegis.example.com/login?code=")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_a_token_that_could_be_guessed_is_refused(folder: Path) -> None:
    code, said = refused(folder, token="short")
    assert code == 2
    assert "at least 16 characters" in said
    assert "short" not in said.replace("shorter", "")


def test_what_cannot_be_used_is_refused_with_a_sentence(folder: Path) -> None:
    (folder / "wrong.yaml").write_text("version: '1'\nrulez: []\n")
    (folder / "not.db").write_text("This is no database." * 100)
    for args, code, words in (
        (("--listen", "somewhere"), 2, "must be HOST:PORT"),
        (("--listen", "127.0.0.1:0", "--origin", "x"), 2, "URL without a path"),
        (("--as", " "), 2, "--as must name"),
        (("--policy", "wrong.yaml"), 2, "did you mean 'rules'"),
        (("--policy", "none.yaml"), 2, "cannot be read"),
        (("--db", "not.db"), 2, "not.db"),
    ):
        found, said = refused(folder, *args)
        assert (found, words in said) == (code, True), said
        assert "Traceback" not in said


def test_a_port_that_is_taken_is_said_so(folder: Path) -> None:
    with running(folder) as (_, link):
        code, said = refused(folder, "--listen", link.removeprefix("http://").partition("/")[0])
        assert code == 1
        assert "cannot listen" in said
        assert "--listen" in said


def test_without_its_extra_it_says_what_to_install(folder: Path) -> None:
    script = "import sys; sys.modules['starlette'] = None; sys.argv = ['aegis', 'console']; "
    script += "from aegis.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 1
    assert "pip install 'aegis-agents[ui]'" in ran.stderr
    assert "Traceback" not in ran.stderr
