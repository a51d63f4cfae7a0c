"""The console on a trail in PostgreSQL: the same inbox, answers, tail, activity and chain."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("psycopg")

import psycopg

from aegis import Action
from aegis.runtime.audit import AuditLogger
from aegis_core.approval.store import ApprovalStore
from tests.console.site import governed, site, wait_for
from tests.core.audit.postgres_server import PrivateServer, binaries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    programs = binaries()
    if programs is None:
        reason = "there is no PostgreSQL server: install postgresql"
        assert not os.environ.get("AEGIS_REQUIRE_POSTGRES"), reason
        pytest.skip(reason)
    monkeypatch.setenv("AEGIS_KEY_FILE", str(tmp_path / "key"))
    server = PrivateServer(programs)
    try:
        with psycopg.connect(f"{server.url}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE trail")
        yield f"{server.url}/trail"
    finally:
        server.remove()


def test_a_trail_in_postgresql_is_answered_watched_counted_and_checked(url: str, policy: Path) -> None:
    with AuditLogger(url) as trail, site(url, policy=policy) as console:
        trail.upgrade()
        visitor = console.log_in()
        inbox, tail = visitor.events("/events"), visitor.events("/audit/events")
        next(tail)
        while next(inbox)[1]["problem"]:  # until the feed has seen the new tables
            pass
        results: list[Any] = []
        runtime = governed(trail, wait=True, approval_timeout=60)
        call = Action("write_file", "filesystem", {"path": "/data/a"})
        thread = threading.Thread(target=lambda: results.append(runtime.run(call, lambda arguments: arguments)))
        thread.start()
        _, told = next(inbox)
        ((request, row),) = told["add"]
        assert "/data/a" in row
        page = visitor.get(f"/requests/{request}").text
        assert "no_secrets" in page
        answer = visitor.post(f"/requests/{request}/answer", {"approved": True, "reason": "fine"})
        assert answer.json()["state"] == "approved", answer.text
        thread.join()
        assert results[0].status == "success"
        ticket = ApprovalStore(trail).get(request)
        assert (ticket.approver, ticket.via, ticket.state) == ("ann", "console", "used")
        seen = ""
        while "s-success" not in seen:
            seen += "".join(row for _, row in next(tail)[1]["rows"])
        assert "approved by ann" in visitor.get("/audit?type=write_file").text
        assert "approved by a person <b>1</b>" in visitor.get("/activity?range=1h").text
        visitor.post("/chain")
        wait_for(lambda: "chain verified" in visitor.get("/chain").text, 60)
