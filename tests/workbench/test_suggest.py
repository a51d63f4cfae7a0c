"""Rules from history never allow a call outside of what was approved and of what they say."""

from __future__ import annotations

import itertools
import posixpath
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aegis import Action, Approval, Policy, Runtime
from aegis.runtime.approval import CallbackApprovalHandler
from aegis.runtime.audit import AuditLogger
from aegis.workbench.suggest import suggest
from aegis_core.audit.filters import Filters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aegis.workbench.suggest import Suggestions

ASKING = [
    "  - {name: writes, match: {type: write_*}, approval: approve}",
    "  - {name: small, match: {type: write_*}, conditions: {param_lte: {size: 2}}, approval: approve}",
    "  - {name: large, match: {type: write_*}, conditions: {param_gt: {size: 2}}, approval: block}",
    "  - {name: data, match: {type: write_*}, conditions: {param_path: {path: {under: [/data]}}}, approval: approve}",
    "  - {name: reads, match: {type: read_*}, approval: auto}",
    "  - {name: ann, match: {type: read_*, agent: ann}, approval: approve}",
]
PATHS = ["/data/a/x", "/data/a/y", "/data/b/x", "/etc/x"]
CALLS: list[Any] = [
    (kind, {"path": path, "size": size}, agent)
    for kind, path, size, agent in itertools.product(("write_a", "read_a"), PATHS, (1, 2, 3), ("ann", "bob"))
] + [(kind, {"path": path}, "ann") for kind, path in itertools.product(("write_a", "read_a"), PATHS)]


def recorded(folder: Path, policy: Policy, calls: Iterable[Any], says_yes: Any) -> AuditLogger:
    trail = AuditLogger(folder / "trail.db", durable=False)
    handler = CallbackApprovalHandler(lambda request: says_yes(request.action), approver="alice")
    with Runtime(policy=policy, audit_logger=trail, approval_handler=handler) as runtime:
        for kind, params, agent in calls:
            runtime.run(Action(kind, "fs", params, agent=agent), lambda arguments: "done")
    return trail


def suggested(folder: Path, text: str, calls: Iterable[Any], says_yes: Any, enough: int = 2) -> Suggestions:
    path = folder / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    policy = Policy.from_yaml(path)
    with recorded(folder, policy, calls, says_yes) as trail:
        return suggest(trail, policy, path, Filters(), enough=enough)


@settings(max_examples=40, deadline=None)
@given(
    rules=st.lists(st.sampled_from(ASKING), min_size=1, max_size=4, unique=True),
    default=st.sampled_from(["approve", "block"]),
    calls=st.lists(st.sampled_from(CALLS), min_size=4, max_size=24),
    refused=st.sets(st.sampled_from(PATHS), max_size=2),
)
def test_nothing_is_allowed_outside_the_evidence_and_the_stated_scope(
    rules: list[str], default: str, calls: list[Any], refused: set[str]
):
    def says_yes(action: Action) -> bool:
        return action.params["path"] not in refused

    text = f"version: '1'\ndefaults: {{approval: {default}}}\nrules:\n" + "\n".join(rules) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        found = suggested(Path(folder), text, calls, says_yes)
    old, new = Policy.from_string(text), Policy.from_string(found.new)
    added = {change.rule: change for change in found.changes if change.kind == "allow"}
    for kind, params, agent in CALLS:
        action = Action(kind, "fs", params, agent=agent)
        before, after = old.evaluate(action), new.evaluate(action)
        if after.approval.strictness >= before.approval.strictness:
            continue
        # What a person would have been asked about now runs, by an added rule; nothing that was blocked does.
        assert (before.approval, after.approval) == (Approval.APPROVE, Approval.AUTO)
        change = added[after.matched_rule]
        assert change.before == before.matched_rule
        seen = [
            one
            for one_kind, one, one_agent in calls
            if one_kind == kind
            and one.keys() == params.keys()
            and old.evaluate(Action(one_kind, "fs", one, agent=one_agent)).matched_rule == before.matched_rule
        ]
        assert len(seen) >= 2
        assert all(one["path"] not in refused for one in seen)
        agents = {a for k, one, a in calls if k == kind and one.keys() == params.keys()}
        assert agent in agents
        if "path" not in change.open:
            folders = {posixpath.dirname(one["path"]) for one in seen}
            within = params["path"].startswith(posixpath.commonpath(folders) + "/")
            said = "small" in before.matched_rule or "data" in before.matched_rule
            assert params["path"] in {one["path"] for one in seen} or within or said
        if "size" in params and "size" not in change.open and before.matched_rule != "small":
            sizes = [one["size"] for one in seen]
            assert min(sizes) <= params["size"] <= max(sizes)


POLICY = """# ours
version: "1"
rules:
  # people decide
  - name: writes
    match: {type: "write_*"}
    approval: approve
  - {name: fetches, match: {type: "fetch_*"}, approval: auto}
"""


def writes(count: int, folder: str = "/data/a") -> list[Any]:
    return [("write_a", {"path": f"{folder}/{n}", "text": f"t{n}"}, "ann") for n in range(count)]


def test_what_was_always_approved_becomes_a_narrow_rule_in_front_of_the_one_that_asks(tmp_path: Path):
    found = suggested(tmp_path, POLICY, writes(20), lambda action: True, enough=20)
    (change,) = found.changes
    assert (change.kind, change.before, change.open) == ("allow", "writes", ("text",))
    assert change.document == {
        "name": "write_a_as_approved",
        "match": {"type": "write_a", "target": "fs", "agent": "ann"},
        "conditions": {"param_names": ["path", "text"], "param_path": {"path": {"under": ["/data/a"]}}},
        "risk_level": "medium",
        "approval": "auto",
    }
    assert "# approved 20 of 20, " in found.new
    assert "by alice (20)" in found.new
    assert "# says nothing about text" in found.new
    kept = [line for line in found.new.splitlines() if line in POLICY.splitlines()]
    assert [line for line in kept if line] == POLICY.splitlines()
    assert [rule.name for rule in Policy.from_string(found.new).rules] == ["write_a_as_approved", "writes", "fetches"]


def test_too_few_answers_or_one_no_are_no_evidence(tmp_path: Path):
    assert suggested(tmp_path, POLICY, writes(19), lambda action: True, enough=20).changes == ()
    (tmp_path / "trail.db").unlink()
    answers = suggested(tmp_path, POLICY, writes(40), lambda action: action.params["path"] != "/data/a/7", enough=20)
    assert answers.changes == ()


def test_what_was_always_denied_becomes_a_block(tmp_path: Path):
    found = suggested(tmp_path, POLICY, writes(20), lambda action: False, enough=20)
    (change,) = found.changes
    assert (change.kind, change.rule) == ("block", "write_a_as_denied")
    action = Action("write_a", "fs", {"path": "/data/a/1", "text": "t"})
    assert Policy.from_string(found.new).evaluate(action).approval == "block"


def test_a_rule_that_allows_and_was_never_used_is_made_to_ask(tmp_path: Path):
    calls = [("write_a", {"path": f"/{n}"}, None) for n in range(100)]
    found = suggested(tmp_path, POLICY, calls, lambda action: action.params["path"] == "/1", enough=20)
    (change,) = found.changes
    assert (change.kind, change.rule, change.why) == ("tighten", "fetches", "decided none of 100 calls")
    assert '{name: fetches, match: {type: "fetch_*"}, approval: approve}' in found.new


def test_arguments_that_the_trail_masks_are_no_evidence(tmp_path: Path):
    calls = [("write_a", {"path": "/data/x", "password": f"hunter{n}"}, "ann") for n in range(20)]
    found = suggested(tmp_path, POLICY, calls, lambda action: True, enough=20)
    assert found.changes == ()
    assert "password is masked or cut" in found.skipped[0]


def test_arguments_that_have_nothing_in_common_are_no_rule(tmp_path: Path):
    calls = [("write_a", {"text": f"t{n}"}, "ann") for n in range(20)]
    found = suggested(tmp_path, POLICY, calls, lambda action: True, enough=20)
    assert found.changes == ()
    assert "nothing in common" in found.skipped[0]


def test_no_rule_is_put_in_front_of_those_of_an_included_file(tmp_path: Path):
    (tmp_path / "shared.yaml").write_text(POLICY, encoding="utf-8")
    found = suggested(tmp_path, 'version: "1"\ninclude: [{file: shared.yaml}]\n', writes(20), lambda action: True)
    assert found.changes == ()
    assert any("does not stand in this file itself" in line for line in found.skipped)
    (tmp_path / "trail.db").unlink()
    blocks = 'version: "1"\nrules: [{name: never, match: {type: write_b}, approval: block}]\n'
    (tmp_path / "shared.yaml").write_text(blocks, encoding="utf-8")
    asks = 'version: "1"\ndefaults: {approval: approve}\ninclude: [{file: shared.yaml}]\n'
    found = suggested(tmp_path, asks, writes(20), lambda action: True)
    assert found.changes == ()
    assert any("come after this file's own" in line for line in found.skipped)


def test_hostile_names_stay_names(tmp_path: Path):
    name = "write_[*]?: #\n- {name: x"
    calls = [(name.replace("\n", " "), {"path": f"/data/a/{n}"}, "ann") for n in range(20)]
    found = suggested(tmp_path, POLICY, calls, lambda action: True, enough=20)
    (change,) = found.changes
    policy = Policy.from_string(found.new)
    assert len(policy.rules) == 3
    assert policy.evaluate(Action(calls[0][0], "fs", {"path": "/data/a/1"}, agent="ann")).matched_rule == change.rule
    other = Action("write_x?: # - {name: x", "fs", {"path": "/data/a/1"}, agent="ann")
    assert policy.evaluate(other).approval == "approve"
