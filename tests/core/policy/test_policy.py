"""The Policy itself: loading, merging, asking, remembering, and staying as it is."""

import copy
import json
import pickle
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.action import Action
from aegis_core.decision import Approval, RiskLevel
from aegis_core.policy import policy as policy_module
from aegis_core.policy.hierarchy import PolicyHierarchy
from aegis_core.policy.policy import Policy
from aegis_core.policy.reading import plain
from tests.core.policy.strategies import call, examples, policies, truths

SEED = """
version: "1"
defaults:
  risk_level: high
  approval: approve
rules:
  - name: allow_reads
    match:
      type: "read_*"
    risk_level: low
    approval: auto
  - name: block_file_deletes
    match:
      type: "delete_file"
      target: "filesystem"
    risk_level: critical
    approval: block
"""


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    return Policy.from_dict(
        {"version": "1", "rules": [{"name": f"r{n}", **rule} for n, rule in enumerate(rules)], **more}
    )


# --- loading ---------------------------------------------------------------------------------------------------------


def test_the_documented_policy_decides_as_documented():
    seed = Policy.from_string(SEED)
    for type_name, target, approval, risk, rule in [
        ("read_file", "anywhere", Approval.AUTO, RiskLevel.LOW, "allow_reads"),
        ("delete_file", "filesystem", Approval.BLOCK, RiskLevel.CRITICAL, "block_file_deletes"),
        ("delete_file", "elsewhere", Approval.APPROVE, RiskLevel.HIGH, "<default>"),
        ("write_file", "filesystem", Approval.APPROVE, RiskLevel.HIGH, "<default>"),
    ]:
        decision = seed.evaluate(Action(type_name, target))
        assert (decision.approval, decision.risk_level, decision.matched_rule) == (approval, risk, rule)


def test_a_policy_from_a_file_a_string_and_a_dict_is_the_same(tmp_path: Path):
    path = tmp_path / "policy.yaml"
    path.write_text(SEED, encoding="utf-8")
    loaded = [
        Policy.from_yaml(path),
        Policy.from_yaml(str(path)),
        Policy.from_string(SEED),
        Policy.from_dict(yaml.safe_load(SEED)),
    ]
    assert len({one.digest for one in loaded}) == 1


def test_json_is_yaml_too():
    data = {"version": "1", "rules": [{"name": "a", "match": {"type": ["x", "y"]}, "approval": "auto"}]}
    assert Policy.from_string(json.dumps(data, indent=2)).digest == Policy.from_dict(data).digest


def test_a_policy_knows_where_it_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "policy.yaml").write_text(SEED, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert Policy.from_yaml("policy.yaml").sources == (str(tmp_path / "policy.yaml"),)
    assert Policy.from_string(SEED).sources == ("<string>",)
    assert Policy.from_string(SEED, source="config service").sources == ("config service",)
    assert Policy.from_dict({"version": 1}).sources == ("<dict>",)


def test_enums_are_read_in_any_case_and_as_members():
    for auto, critical in (("AUTO", "Critical"), ("Auto", "CRITICAL"), (Approval.AUTO, RiskLevel.CRITICAL)):
        decision = policy({"approval": auto, "risk_level": critical}).evaluate(Action("x", "y"))
        assert (decision.approval, decision.risk_level) == (Approval.AUTO, RiskLevel.CRITICAL)


def test_a_rule_without_a_risk_level_is_medium():
    assert policy({"approval": "auto"}).evaluate(Action("x", "y")).risk_level is RiskLevel.MEDIUM


@examples(100)
@given(data=policies(), decided=st.lists(truths, min_size=6, max_size=6))
def test_however_a_policy_is_written_down_it_is_the_same(data: dict[str, Any], decided: list[bool | None]):
    original = Policy.from_dict(data)
    for text in (
        yaml.safe_dump(data),
        yaml.safe_dump(data, default_flow_style=True, sort_keys=False),
        json.dumps(data),
    ):
        again = Policy.from_string(text)
        assert again.digest == original.digest
        assert again.evaluate(call(decided)) == original.evaluate(call(decided))


# --- names that a rule asks for --------------------------------------------------------------------------------------


def test_agent_and_user_are_matched_like_type_and_target():
    picky = policy(
        {"match": {"agent": "bot_*", "user": ["ann", "bob"]}, "approval": "auto"}, defaults={"approval": "approve"}
    )
    assert picky.evaluate(Action("x", "y", agent="bot_1", user="bob")).permitted
    assert not picky.evaluate(Action("x", "y", agent="bot_1", user="eve")).permitted
    assert not picky.evaluate(Action("x", "y", agent="Bot_1", user="bob")).permitted


def test_an_absent_agent_is_undecided_for_any_pattern_but_a_star():
    for approval, expected in (("auto", Approval.APPROVE), ("block", Approval.BLOCK)):
        named = policy({"match": {"agent": "bot_*"}, "approval": approval}, defaults={"approval": "approve"})
        decision = named.evaluate(Action("x", "y"))
        assert (decision.approval, len(decision.floors)) == (expected, 1)
    anyone = policy({"match": {"agent": "*"}, "approval": "auto"})
    assert anyone.evaluate(Action("x", "y")).permitted


# --- merging ---------------------------------------------------------------------------------------------------------


def test_merging_walks_the_bases_rules_first_and_keeps_the_bases_defaults():
    base = policy(
        {"match": {"type": "drop_*"}, "approval": "block"}, defaults={"approval": "approve", "risk_level": "high"}
    )
    other = policy({"match": {"type": "*"}, "approval": "auto"}, defaults={"approval": "auto"})
    merged = base.merge(other)
    assert merged.evaluate(Action("drop_x", "y")).approval is Approval.BLOCK
    assert merged.evaluate(Action("other", "y")).approval is Approval.AUTO
    assert base.merge(policy(defaults={"approval": "auto"})).evaluate(Action("z", "y")).approval is Approval.APPROVE
    assert policy().merge(policy(defaults={"approval": "auto"})).evaluate(Action("z", "y")).approval is Approval.BLOCK


def test_merging_changes_neither_of_the_two_and_knows_both_sources():
    base, other = Policy.from_string(SEED, source="a"), Policy.from_string(SEED, source="b")
    digests = base.digest, other.digest
    merged = base.merge(other)
    assert (base.digest, other.digest) == digests
    assert (merged.sources, len(merged.rules)) == (("a", "b"), 4)
    assert merged.digest not in digests


@examples(100)
@given(first=policies(), second=policies(), decided=st.lists(truths, min_size=6, max_size=6))
def test_a_merged_policy_is_the_first_match_of_both_lists_in_a_row(
    first: dict[str, Any], second: dict[str, Any], decided: list[bool | None]
):
    renamed = [{**rule, "name": f"s{rule['name']}"} for rule in second["rules"]]
    together = {**first, "rules": [*first["rules"], *renamed]}
    merged = Policy.from_dict(first).merge(Policy.from_dict({**second, "rules": renamed}))
    assert merged.evaluate(call(decided)) == Policy.from_dict(together).evaluate(call(decided))


def test_merging_three_is_the_same_in_either_grouping():
    a, b, c = (policy({"match": {"type": f"{letter}*"}, "approval": "auto"}) for letter in "abc")
    assert a.merge(b).merge(c).digest == a.merge(b.merge(c)).digest


# --- digests ---------------------------------------------------------------------------------------------------------


def test_comments_layout_quotes_and_order_of_keys_do_not_change_the_digest():
    other = """# a comment
version: 1
rules:
- {approval: AUTO, risk_level: LOW, match: {type: ['read_*']}, name: allow_reads}
- match: {target: filesystem, type: delete_file}
  name: 'block_file_deletes'   # another
  approval: "block"
  risk_level: critical
defaults: {approval: approve, risk_level: high}
"""
    assert Policy.from_string(other).digest == Policy.from_string(SEED).digest
    conditions = {"param_eq": {"a": 1, "b": {"x": 1, "y": 2}}, "param_gt": {"c": 1, "d": 2}}
    turned = {"param_gt": {"d": 2, "c": 1}, "param_eq": {"b": {"y": 2, "x": 1}, "a": 1}}
    one, two = (policy({"conditions": given, "approval": "auto"}) for given in (conditions, turned))
    assert one.digest == two.digest
    assert one.rules[0].digest == two.rules[0].digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("approval: auto", "approval: approve"),
        ("risk_level: low", "risk_level: high"),
        ('type: "read_*"', 'type: "read_?"'),
        ("name: allow_reads", "name: allow_read"),
        ('target: "filesystem"', 'user: "filesystem"'),
        ("approval: approve", "approval: block"),
        ("  - name: allow_reads", "  - {name: new, approval: auto}\n  - name: allow_reads"),
    ],
)
def test_every_change_of_meaning_changes_the_digest(old: str, new: str):
    assert old in SEED
    assert Policy.from_string(SEED.replace(old, new, 1)).digest != Policy.from_string(SEED).digest


def test_the_order_of_rules_and_the_layer_they_are_in_are_meaning():
    a, b = {"name": "a", "approval": "auto"}, {"name": "b", "approval": "block"}
    one, two = (Policy.from_dict({"version": "1", "rules": rules}) for rules in ([a, b], [b, a]))
    assert one.digest != two.digest
    assert PolicyHierarchy(org=one).flatten().digest != PolicyHierarchy(team=one).flatten().digest != one.digest


def test_numbers_text_and_booleans_that_look_alike_have_digests_of_their_own():
    values: list[Any] = [1, "1", True, "true", [1], {"a": 1}, 1.5]
    assert len(
        {policy({"conditions": {"param_eq": {"x": value}}, "approval": "auto"}).digest for value in values}
    ) == len(values)


# --- staying as it is ------------------------------------------------------------------------------------------------


def test_a_policy_cannot_be_changed():
    seed = Policy.from_string(SEED)
    for name in ("layers", "rules", "digest", "anything"):
        with pytest.raises(AttributeError, match=r"cannot be changed.*update_policy"):
            setattr(seed, name, ())
    with pytest.raises(AttributeError):
        del seed.layers


def test_changing_the_data_afterwards_changes_nothing():
    conditions: dict[str, Any] = {"param_in": {"x": ["a"]}, "param_eq": {"y": {"deep": [1]}}}
    data: dict[str, Any] = {
        "version": "1",
        "rules": [{"name": "r", "match": {"type": ["a"]}, "conditions": conditions, "approval": "auto"}],
    }
    loaded = Policy.from_dict(data)
    digest = loaded.digest
    conditions["param_in"]["x"].append("b")
    conditions["param_eq"]["y"]["deep"].append(2)
    data["rules"][0]["match"]["type"].append("b")
    data["rules"].clear()
    assert loaded.evaluate(Action("a", "t", {"x": "a", "y": {"deep": [1]}})).permitted
    assert not loaded.evaluate(Action("a", "t", {"x": "b", "y": {"deep": [1]}})).permitted
    assert not loaded.evaluate(Action("b", "t", {"x": "a", "y": {"deep": [1]}})).permitted
    assert (
        loaded.rules[0].digest
        == Policy.from_dict({"version": "1", "rules": [plain(loaded.rules[0].document)]}).rules[0].digest
    )
    assert loaded.digest == digest


def test_what_a_rule_expects_cannot_be_changed_through_its_document():
    conditions = {"param_in": {"x": ["a"]}, "param_eq": {"y": {"z": [1]}}}
    document: Any = policy({"conditions": conditions, "approval": "auto"}).rules[0].document
    for change in (
        lambda: document.conditions.param_in.update(x=["b"]),
        lambda: document.conditions.param_in["x"].append("b"),
        lambda: document.conditions.param_eq["y"].update(z=2),
        lambda: document.conditions.param_eq["y"]["z"].append(2),
        lambda: setattr(document, "approval", Approval.BLOCK),
    ):
        with pytest.raises(Exception, match=r"cannot be changed|frozen|no attribute"):
            change()


def test_copies_are_the_policy_itself():
    seed = Policy.from_string(SEED)
    assert copy.copy(seed) is seed
    assert copy.deepcopy({"in": [seed]})["in"][0] is seed


def test_a_pickled_policy_decides_the_same_on_the_other_side(tmp_path: Path):
    path = tmp_path / "policy.yaml"
    path.write_text(SEED, encoding="utf-8")
    timed = policy({"conditions": {"time_after": "22:00", "timezone": "Europe/Berlin"}, "approval": "auto"})
    for original in (
        Policy.from_yaml(path),
        timed,
        timed.merge(timed),
        PolicyHierarchy(org=timed, team=timed).flatten(),
    ):
        again = pickle.loads(pickle.dumps(original))
        assert (again.digest, again.sources) == (original.digest, original.sources)
        action = Action("read_x", "filesystem")
        now = datetime(2026, 1, 1, 12, tzinfo=UTC)
        assert again.evaluate(action, now=now) == original.evaluate(action, now=now)
        assert again.origin.texts() == original.origin.texts()


def test_a_decision_can_be_pickled_and_still_names_its_rules():
    doubtful = policy({"conditions": {"param_gt": {"n": 1}}, "approval": "block"}, {"approval": "auto"})
    for action in (Action("x", "y", {"n": "?"}), Action("x", "y"), Action("bad\n", "y")):
        decision = doubtful.evaluate(action)
        again = pickle.loads(pickle.dumps(decision))
        assert again == decision
        assert again.rules_digest == decision.rules_digest
        assert copy.deepcopy(decision) == decision


# --- asking ----------------------------------------------------------------------------------------------------------


def test_the_same_question_has_the_same_answer():
    seed = Policy.from_string(SEED)
    assert seed.evaluate(Action("read_x", "y")) is seed.evaluate(Action("read_x", "y", {"other": 1}))


def test_a_time_without_a_zone_is_refused():
    naive = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - what is tested
    with pytest.raises(ValueError, match="must be timezone-aware"):
        policy({"conditions": {"time_after": "10:00"}, "approval": "auto"}).evaluate(Action("x", "y"), now=naive)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(policy_module, "_MEMO_SIZE", 100)
    reads = policy({"match": {"type": "read_*"}, "approval": "auto"})
    for number in range(1000):
        assert reads.evaluate(Action(f"read_{number}", f"server_{number}", user=f"user_{number}")).permitted
        assert len(reads._memo) <= 100
        assert len(reads._vetted) <= 110


def test_a_very_long_name_is_judged_and_not_remembered():
    reads = policy({"match": {"type": "read_*"}, "approval": "auto"})
    for _ in range(2):
        assert reads.evaluate(Action("read_" + "x" * 100_000, "server")).permitted
        assert not reads.evaluate(Action("x" * 100_000, "server")).permitted
        assert reads.evaluate(Action("read_", "s" * 100_000)).permitted
        assert reads.evaluate(Action("read_", "server", user="u" * 100_000)).permitted
    assert sum(len(name or "") for names in reads._memo for name in names) < 1000
    assert sum(len(name or "") for name in reads._vetted) < 1000


def test_many_threads_may_ask_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(policy_module, "_MEMO_SIZE", 10)
    mixed = policy(
        {"match": {"type": "read_*"}, "conditions": {"param_gt": {"n": 5}}, "approval": "block"},
        {"match": {"type": "read_*", "target": "s*"}, "approval": "auto"},
    )
    wrong: list[Any] = []

    def ask(worker: int) -> None:
        for number in range(500):
            action = Action(f"read_{(number * worker) % 37}", f"s{number % 7}", {"n": number % 11})
            expected = Approval.BLOCK if number % 11 > 5 else Approval.AUTO
            decision = mixed.evaluate(action)
            if decision.approval is not expected:
                wrong.append((action, decision))

    threads = [threading.Thread(target=ask, args=(worker,)) for worker in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_repr_names_sources_and_no_contents():
    assert repr(Policy.from_string(SEED, source="a.yaml")) == "Policy(2 rules from a.yaml)"
