"""A trail to file approvals on, in each of the stores that can hold them."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import pytest

from aegis_core.audit.sqlite import AuditLogger
from tests.core.audit.postgres_server import PrivateServer, binaries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (the extra postgres)")
    if url := os.environ.get("AEGIS_TEST_POSTGRES"):
        yield url
        return
    programs = binaries()
    if programs is None:
        assert not os.environ.get("AEGIS_REQUIRE_POSTGRES"), "there is no PostgreSQL server"
        pytest.skip("there is no PostgreSQL server: set AEGIS_TEST_POSTGRES to a URL, or install postgresql")
    server = PrivateServer(programs)
    yield server.url
    server.remove()


@pytest.fixture(params=["sqlite", "postgres"])
def stored(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a new trail is to be: a file, or the URL of a new database."""
    if request.param == "sqlite":
        return str(tmp_path / "aegis_audit.db")
    server: str = request.getfixturevalue("postgres")
    import psycopg

    monkeypatch.setenv("AEGIS_KEY_FILE", str(tmp_path / "key"))
    name = f"aegis_{secrets.token_hex(6)}"
    base = server.rstrip("/")
    base, admin = base.rsplit("/", 1) if base.count("/") > 2 else (base, "postgres")
    with psycopg.connect(f"{base}/{admin}", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{base}/{name}"


@pytest.fixture
def either(stored: str) -> Iterator[AuditLogger]:
    """A trail in one store, then in the other."""
    with AuditLogger(stored) as logger:
        yield logger
