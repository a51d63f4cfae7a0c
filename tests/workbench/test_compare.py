"""What is said about two policies is true of every call of a small world."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aegis import Policy
from aegis.workbench.compare import Direction, compare
from tests.core.policy.strategies import examples
from tests.workbench.universe import calls, rules

DEFAULTS = st.sampled_from([{}, {"defaults": {"approval": "approve"}}, {"defaults": {"approval": "auto"}}])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Policy, Policy]:
    """A policy, and the same after somebody has been at it."""
    before = draw(rules(most=4))
    after = [dict(rule) for rule in before]
    for _ in range(draw(st.integers(0, 2))):
        edit = draw(st.sampled_from(["remove", "add", "move", "approval", "conditions", "match"]))
        if edit == "add":
            fresh = draw(rules(most=1))
            place = draw(st.integers(0, len(after)))
            after = [*after[:place], *({**rule, "name": f"n{len(after)}"} for rule in fresh), *after[place:]]
        elif after:
            place = draw(st.integers(0, len(after) - 1))
            rule = after.pop(place)
            other = draw(rules(most=1).filter(bool))[0]
            if edit == "move":
                after.insert(draw(st.integers(0, len(after))), rule)
            elif edit != "remove":
                changed = {**rule, edit: other.get(edit)} if edit in other else {**rule}
                if edit == "conditions" and "conditions" not in other:
                    changed.pop("conditions", None)
                if "calls" in changed.get("conditions", {}) and changed["approval"] != "auto":
                    changed["approval"] = "auto"
                after.insert(place, changed)
    one, other_defaults = draw(DEFAULTS), draw(st.one_of(st.none(), DEFAULTS))
    old = {"version": "1", "rules": before, **one}
    new = {"version": "1", "rules": after, **(one if other_defaults is None else other_defaults)}
    return Policy.from_dict(old), Policy.from_dict(new)


@examples(100)
@given(pairs(), st.integers(0, 1 << 30))
def test_no_call_contradicts_what_is_said_about_two_policies(policies: tuple[Policy, Policy], seed: int):
    old, new = policies
    said = {change.direction for change in compare(old, new)}
    looser = bool(said & {Direction.LOOSER, Direction.MAYBE_LOOSER})
    stricter = bool(said & {Direction.STRICTER, Direction.MAYBE_STRICTER})
    if looser and stricter:
        return
    for action, session, now in calls(seed):
        before, after = (policy.evaluate(action, session=session, now=now) for policy in (old, new))
        assert looser or after.approval.strictness >= before.approval.strictness, action
        assert stricter or after.approval.strictness <= before.approval.strictness, action


@examples(50)
@given(pairs())
def test_every_example_shows_what_it_is_said_to_show(policies: tuple[Policy, Policy]):
    old, new = policies
    for change in compare(old, new):
        if change.example is not None:
            call = change.example.call
            before, after = (policy.evaluate(call.action, session=call.session, now=call.now) for policy in (old, new))
            assert (before, after) == (change.example.old, change.example.new)
            tightened = after.approval.strictness - before.approval.strictness
            assert tightened > 0 if change.direction is Direction.STRICTER else tightened < 0


def said(before: list[dict[str, Any]], after: list[dict[str, Any]], default: str = "block") -> list[str]:
    defaults = {"approval": default}
    old, new = (Policy.from_dict({"version": "1", "defaults": defaults, "rules": r}) for r in (before, after))
    return [change.direction.value for change in compare(old, new)]


READS = {"name": "reads", "match": {"type": "read_*", "target": "fs"}, "approval": "auto"}
NEVER = {"name": "never", "match": {"type": "delete_*", "target": "fs"}, "approval": "block"}


def test_names_order_and_other_words_for_the_same_change_nothing():
    other = {"name": "other", "match": {"type": ["x", "y"], "target": "mail"}, "approval": "approve"}
    again = {**other, "match": {"type": ["y", "x"], "target": ["mail"]}}
    assert said([READS, NEVER, other], [READS, again, NEVER]) in ([], ["other"])


def test_a_block_that_covers_more_is_stricter_and_nothing_else():
    wider = {**NEVER, "match": {"type": ["delete_*", "rm"], "target": "fs"}}
    assert said([READS, NEVER], [READS, wider], default="approve") == ["stricter"]
    assert said([READS, wider], [READS, NEVER], default="approve") == ["looser"]
    assert said([READS, NEVER], [READS, wider]) == []  # it is blocked by default as well


def test_an_allow_that_covers_less_is_stricter_and_nothing_else():
    narrower = {**READS, "match": {"type": "read_file", "target": "fs"}}
    assert said([READS, NEVER], [narrower, NEVER]) == ["stricter"]


def test_a_threshold_that_moves_goes_one_way():
    pay = {"name": "pay", "match": {"type": "pay"}, "conditions": {"param_lte": {"amount": 50}}, "approval": "auto"}
    less = {**pay, "conditions": {"param_lte": {"amount": 40}}}
    assert said([pay], [less]) == ["stricter"]
    assert said([less], [pay]) == ["looser"]


def test_one_more_folder_is_looser_and_shown_by_a_path_in_it():
    within = {**READS, "conditions": {"param_path": {"path": {"under": ["/data"]}}}}
    more = {**READS, "conditions": {"param_path": {"path": {"under": ["/data", "/tmp"]}}}}
    old, new = (Policy.from_dict({"version": "1", "rules": [rule]}) for rule in (within, more))
    (change,) = compare(old, new)
    assert change.direction is Direction.LOOSER
    assert change.example is not None
    assert change.example.call.action.params["path"].startswith("/tmp/")
    assert said([more], [within]) == ["stricter"]


def test_a_rule_that_never_decided_may_still_have_set_a_floor():
    never = {"name": "secret", "match": {"type": "read_secret", "target": "fs"}, "approval": "block"}
    old, new = (
        Policy.from_dict({"version": "1", "defaults": {"approval": "approve"}, "rules": found})
        for found in ([READS, never], [READS])
    )
    (change,) = compare(old, new)
    assert change.direction is Direction.LOOSER  # for READ_SECRET, of which both rules are in doubt
    assert change.example is not None
    assert change.example.old.floors


def test_what_is_not_understood_is_not_called_proven():
    one = {**READS, "conditions": {"param_matches": {"path": "^/data/[a-z]{3}$"}}}
    other = {**READS, "conditions": {"param_matches": {"path": "^/data/[a-m]{3}$"}}}
    assert "maybe looser" in said([one], [other])


def test_a_budget_goes_the_way_its_numbers_go():
    small = {**READS, "conditions": {"calls": {"max": 5, "per": "1h"}}}
    large = {**READS, "conditions": {"calls": {"max": 9, "per": "1h"}}}
    assert said([small], [large]) == ["looser"]
    assert said([large], [small]) == ["stricter"]
    assert said([small], [READS]) == ["looser"]


def test_results_masks_risks_and_defaults_are_compared_too():
    def of(**keys: Any) -> Policy:
        return Policy.from_dict({"version": "1", "rules": [READS], **keys})

    def way(old: Policy, new: Policy) -> list[str]:
        return [change.direction.value for change in compare(old, new)]

    mark = {"results": [{"name": "pages", "mark": "untrusted"}]}
    assert way(of(**mark), of()) == ["looser"]
    assert way(of(), of(**mark)) == ["stricter"]
    assert way(of(**mark), of(results=[{"name": "pages", "max_bytes": 5}])) == ["maybe looser"]
    assert way(of(redact={"keys": ["ssn"]}), of()) == ["looser"]
    assert way(of(), of(defaults={"approval": "approve"})) == ["looser"]
    assert way(of(), of(defaults={"risk_level": "high"})) == ["other"]


def test_more_rules_than_are_looked_at_together_are_not_called_proven():
    many = [
        {"name": f"m{n}", "match": {"type": f"*{n}*"}, "conditions": {"param_eq": {f"p{n}": 1}}, "approval": "block"}
        for n in range(30)
    ]
    narrow = {
        "name": "n",
        "match": {"type": "a*", "target": "s"},
        "conditions": {"param_eq": {"x": 1}},
        "approval": "auto",
    }
    assert set(said(many, [*many, narrow])) <= {"looser", "maybe looser"}
