"""The trail as log lines."""

from __future__ import annotations

import json
import logging

import pytest

from aegis_core.audit import LoggingAuditLogger
from aegis_core.decision import Reservation, RiskLevel
from aegis_core.record import BudgetExhausted, Event
from tests.core.audit.samples import call, intent, outcome, refusal


@pytest.mark.parametrize(
    ("risk", "level"),
    [
        (RiskLevel.LOW, logging.DEBUG),
        (RiskLevel.MEDIUM, logging.INFO),
        (RiskLevel.HIGH, logging.WARNING),
        (RiskLevel.CRITICAL, logging.ERROR),
    ],
)
def test_the_level_says_the_risk(caplog, risk, level):
    with caplog.at_level(logging.DEBUG, "aegis.audit"):
        LoggingAuditLogger().write(intent(risk=risk))
    assert [(record.name, record.levelno) for record in caplog.records] == [("aegis.audit", level)]


def test_a_line_is_json_with_the_fields_of_the_trail(caplog):
    logger = LoggingAuditLogger()
    with caplog.at_level(logging.DEBUG, "aegis.audit"):
        begun = call(logger, {"path": "/x", "password": "hunter2"}, session_id="s1")
    first, second = (json.loads(record.getMessage()) for record in caplog.records)
    assert first["event"] == "intent"
    assert second["event"] == "outcome"
    assert first["call_id"] == second["call_id"] == begun.call_id
    assert first["action_params"] == second["action_params"] == {"path": "/x", "password": "[redacted]"}
    assert second["result_status"] == "success"
    assert second["duration_ms"] == 1.234
    assert second["session_id"] == "s1"
    assert first["timestamp"].endswith("Z")
    assert "params_digest" not in first
    assert caplog.records[0].aegis == first


def test_refusals_and_events_are_logged(caplog):
    logger = LoggingAuditLogger()
    with caplog.at_level(logging.DEBUG, "aegis.audit"):
        logger.write(refusal())
        logger.write(Event("policy_reloaded", data={"rules": 3}))
    first, second = (json.loads(record.getMessage()) for record in caplog.records)
    assert (first["event"], first["result_status"]) == ("refusal", "blocked")
    assert (second["event"], second["data"]) == ("policy_reloaded", {"rules": 3})


def test_line_23_control_and_invisible_characters_do_not_reach_a_log_raw(caplog):
    hostile = "a\nb\x1b[2J\u202e\u200b\x7f\U000e0041é"
    with caplog.at_level(logging.DEBUG, "aegis.audit"):
        LoggingAuditLogger().write(intent({"text": hostile, "when": object()}, type=hostile))
    message = caplog.records[0].getMessage()
    assert not set("\n\x1b\u202e\u200b\x7f\U000e0041") & set(message)
    assert "é" in message
    fields = json.loads(message)
    assert fields["action_type"] == hostile
    assert fields["action_params"]["text"] == hostile


def test_a_disabled_level_costs_no_rendering_but_still_counts(caplog):
    logger = LoggingAuditLogger()
    reserve = (Reservation("k", 1, 60.0),)
    with caplog.at_level(logging.CRITICAL, "aegis.audit"):
        logger.write(intent(reserves=reserve))
        with pytest.raises(BudgetExhausted):
            logger.write(intent(reserves=reserve))
    assert not caplog.records


async def test_it_is_a_sink(caplog):
    logger = LoggingAuditLogger(logging.getLogger("mine"))
    with caplog.at_level(logging.DEBUG, "mine"):
        await logger.awrite(outcome(intent()))
    assert logger.digest(b"x") == logger.digest(b"x")
    logger.close()
    assert caplog.records[0].name == "mine"
