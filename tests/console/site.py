"""A console on a free port of the loopback, in this process, and a browser that is told everything by hand."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aegis import Action, Policy, Runtime
from aegis.console.app import Console
from aegis.console.listening import Address, names_for
from aegis.console.login import Login
from aegis.console.policies import PolicyFile
from aegis.console.serve import listen, server_for
from aegis.runtime.approval import QueueApprovalHandler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aegis.runtime.audit import AuditLogger

TOKEN = "correct horse battery"
POLICY = """\
# What the agents may do.
version: "1"
rules:
  - name: no_secrets
    match: {type: "*_file"}
    conditions: {param_contains: {path: secret}}
    approval: block

  # Reading is free.
  - name: reads
    match: {type: "read_*"}
    risk_level: low
    approval: auto

  # Writing is asked about.
  - name: ask_before_writing
    match: {type: ["write_*", say]}
    risk_level: high
    approval: approve
"""
HOSTILE = "evil\x1b[2J\u202e\u200b<script>alert(1)</script>\"'&"


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Site:
    """A console that runs, and the trail it looks at."""

    def __init__(self, console: Console, address: Address) -> None:
        self.console = console
        self.address = address
        self.origin = f"http://127.0.0.1:{address.port}"
        self.links: list[str] = []

    def request(
        self, method: str, path: str, body: str | bytes | None = None, *, without: Any = (), **headers: str
    ) -> Answer:
        """A request with exactly these headers, and those of a plain browser unless ``without`` names them."""
        usual = {"Host": f"127.0.0.1:{self.address.port}", "Accept": "text/html"}
        if method != "GET":
            usual |= {"Origin": self.origin, "Content-Type": "application/json"}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.address.port, timeout=30)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in {**usual, **given}.items():
                if name not in without:
                    connection.putheader(name, value)
            data = body.encode() if isinstance(body, str) else body
            if data is not None and "Content-Length" not in given and "Transfer-Encoding" not in given:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())

    def log_in(self) -> Visitor:
        """Somebody who knows the token."""
        answer = self.request("POST", "/login", f"token={TOKEN.replace(' ', '+')}")
        assert answer.status == 303, answer.text
        return Visitor(self, answer.headers["Set-Cookie"].partition(";")[0])


class Visitor:
    """A browser with a session."""

    def __init__(self, site: Site, cookie: str) -> None:
        self.site = site
        self.cookie = cookie
        page = self.get("/").text
        self.csrf = page.partition('<meta name="csrf" content="')[2].partition('"')[0]
        assert self.csrf

    def get(self, path: str, **headers: str) -> Answer:
        return self.site.request("GET", path, Cookie=self.cookie, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        headers = {"Cookie": self.cookie, "X_CSRF_Token": self.csrf, "Accept": "application/json", **headers}
        return self.site.request("POST", path, json.dumps(body), **headers)

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """The events of a stream, as they come."""
        connection = http.client.HTTPConnection("127.0.0.1", self.site.address.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Cookie": self.cookie, "Accept": "text/event-stream"})
            response = connection.getresponse()
            assert response.status == 200
            name = ""
            while line := response.readline().decode().rstrip("\n"):
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    yield name, json.loads(line.removeprefix("data: "))
                    response.readline()
                elif line.startswith(":"):
                    response.readline()


@contextlib.contextmanager
def site(
    db: str | Path, *, policy: Path | None = None, approver: str = "ann", origin: str | None = None, **options: Any
) -> Iterator[Site]:
    """A console for a trail."""
    place = listen(Address("127.0.0.1", 0))
    address = Address("127.0.0.1", place.getsockname()[1])
    file = None if policy is None else PolicyFile(policy)
    console = Console(str(db), approver, names_for(address, origin), Login(TOKEN), file, **options)
    made = Site(console, address)
    console.announce = made.links.append
    server = server_for(console)
    thread = threading.Thread(target=server.run, args=([place],))
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield made
    finally:
        server.handle_exit(15, None)
        thread.join()
        place.close()
        console.close()


def wait_for(condition: Any, seconds: float = 20.0) -> Any:
    """What a condition says, once it says something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it never came true")


def governed(trail: AuditLogger, *, wait: bool = False, text: str = POLICY, **options: Any) -> Runtime:
    """A runtime whose questions are filed."""
    options = {"agent": "reporter", "session_id": "chat-1", **options}
    handler = QueueApprovalHandler(trail, wait=wait)
    return Runtime(policy=Policy.from_string(text), audit_logger=trail, approval_handler=handler, **options)


def file_request(trail: AuditLogger, action: Action, **options: Any) -> str:
    """The id of the request that a call leaves behind."""
    governed(trail, **options).run(action, lambda arguments: arguments)
    ids = wait_for(lambda: waiting(trail))
    return str(ids[-1])


def waiting(trail: AuditLogger) -> list[str]:
    """The ids of what waits."""
    from aegis_core.approval.store import ApprovalStore

    return ApprovalStore(trail).waiting()
