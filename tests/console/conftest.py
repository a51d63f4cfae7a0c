"""A trail and a console that looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aegis.runtime.audit import AuditLogger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.console.site import Site, Visitor


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[AuditLogger]:
    with AuditLogger(tmp_path / "aegis_audit.db") as logger:
        logger.upgrade()
        yield logger


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    from tests.console.site import POLICY

    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def console(trail: AuditLogger, policy: Path) -> Iterator[Site]:
    from tests.console.site import site

    with site(trail.path, policy=policy) as made:
        yield made


@pytest.fixture
def visitor(console: Site) -> Visitor:
    return console.log_in()
