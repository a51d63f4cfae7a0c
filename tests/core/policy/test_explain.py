"""Why a decision is what it is, for people."""

from datetime import UTC, datetime

from aegis_core.action import Action
from aegis_core.policy.hierarchy import PolicyHierarchy
from aegis_core.policy.policy import Policy

BANK = Policy.from_string(
    """
version: "1"
defaults: {approval: approve, risk_level: high}
rules:
  - name: no_night_transfers
    match: {type: transfer}
    conditions: {time_after: "22:00", time_before: "06:00", timezone: Europe/Berlin}
    approval: block
  - name: small
    match: {type: transfer}
    conditions:
      param_lte: {amount: 100}
      param_in: {currency: [EUR, CHF]}
    risk_level: low
    approval: auto
  - name: unrelated
    match: {type: login}
    approval: block
  - name: rest
    match: {type: "trans*"}
    approval: approve
"""
)
WINDOW = "time_after 22:00 time_before 06:00 timezone Europe/Berlin"
LAST = "[4] the value is not equal to 1; …"
NOON = datetime(2026, 3, 23, 12, tzinfo=UTC)


def test_an_explanation_shows_every_rule_that_was_looked_at_and_why():
    action = Action("transfer", "bank", {"amount": "lots", "currency": "EUR", "token": "hunter2"})
    assert str(BANK.explain(action, now=NOON)).splitlines() == [
        "approve (risk medium): approval is required by rule 'rest'",
        "  false     no_night_transfers [block]",
        f"            false     {WINDOW} = 'mon 13:00 Europe/Berlin': outside the window",
        "  undecided small [auto]",
        "            undecided param_lte amount = 'lots': text cannot be compared with 100",
        "            true      param_in currency = 'EUR': the value is one of ['EUR', 'CHF']",
        "  true      rest [approve]",
    ]


def test_rules_after_the_one_that_decides_are_not_shown():
    explanation = BANK.explain(Action("transfer", "bank", {"amount": 5, "currency": "EUR"}), now=NOON)
    assert [(rule.name, rule.truth) for rule in explanation.rules] == [("no_night_transfers", False), ("small", True)]
    assert explanation.decision.permitted


def test_a_call_no_rule_decides_is_explained_by_the_defaults():
    explanation = BANK.explain(Action("weather", "web"), now=NOON)
    assert explanation.rules == ()
    assert str(explanation) == "approve (risk high): approval is required by default: no rule decides this call"


def test_a_match_that_is_only_a_look_alike_is_said_to_be_one():
    assert str(BANK.explain(Action("Login", "web"))).splitlines()[1] == (
        "  undecided unrelated [block] (names match only when folded or unprefixed, or one is not known)"
    )


def test_a_refused_name_is_explained_without_any_rule():
    explanation = BANK.explain(Action("transfer\n", "bank"))
    assert str(explanation) == (
        "block (risk high): the tool name 'transfer\\n' contains a control character and is refused before any rule "
        "is asked"
    )


def test_missing_parameters_and_lists_are_explained():
    listed = Policy.from_dict(
        {
            "version": "1",
            "rules": [
                {"name": "a", "conditions": {"param_matches": {"files": "csv$", "sql": "x"}}, "approval": "auto"},
                {"name": "b", "conditions": {"param_eq": {"items[].kind": 1}}, "approval": "auto"},
            ],
        }
    )
    action = Action("x", "y", {"files": ["a.csv", 5, None], "SQL": "x", "items": [{"kind": 1}, {}, *[{"kind": 2}] * 9]})
    reasons = [found.why for rule in listed.explain(action).rules for found in rule.findings]
    assert reasons == [
        "[0] the text matches 'csv$'; [1] a number cannot be searched for 'csv$'; [2] null",
        "another spelling of the parameter's name is present, and the tool may read that one",
        "[0] the value is equal to 1; [1] null; [2] the value is not equal to 1; [3] the value is not equal to 1; "
        + LAST,
    ]


def test_values_are_shown_without_secrets_control_characters_or_end():
    asked = {"param_matches": {"password": "x", "text": "x", "long": "x"}}
    policy = Policy.from_dict({"version": "1", "rules": [{"name": "r", "conditions": asked, "approval": "auto"}]})
    action = Action("x", "y", {"password": "hunter2", "text": "\x1b[31m\u202e", "long": "a" * 10_000})
    text = str(policy.explain(action))
    assert "hunter2" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert max(map(len, text.splitlines())) < 300


def test_under_a_hierarchy_every_layers_rules_are_shown():
    flat = PolicyHierarchy(org=BANK, team=BANK).flatten()
    explanation = flat.explain(Action("transfer", "bank", {"amount": 5, "currency": "EUR"}), now=NOON)
    assert [rule.name for rule in explanation.rules] == [
        "org/no_night_transfers", "org/small", "team/no_night_transfers", "team/small",
    ]  # fmt: skip


def test_an_explanation_is_of_one_moment():
    night = datetime(2026, 3, 23, 23, tzinfo=UTC)
    explanation = BANK.explain(Action("transfer", "bank"), now=night)
    assert explanation.decision == BANK.evaluate(Action("transfer", "bank"), now=night)
    assert explanation.rules[0].truth is True
