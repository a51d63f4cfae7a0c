"""Always: a narrow rule in a policy file, seen before it is written, and nothing else loosened by it."""

from __future__ import annotations

import html
import re
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("starlette")

from aegis import Action, Policy
from aegis.console.narrow import folder_of, narrow_rule, scopes
from aegis.console.policyedit import asking_rule, change_for
from aegis.errors import ApprovalError
from aegis_core.approval.store import ApprovalStore, Ticket
from aegis_core.record import now_us
from tests.console.site import POLICY, file_request, governed, site, waiting

if TYPE_CHECKING:
    from pathlib import Path

    from aegis.runtime.audit import AuditLogger
    from tests.console.site import Visitor

CALL = Action("write_file", "filesystem", {"path": "/data/reports/q1.csv", "content": "a"})
SCOPE = {"path": "exact", "content": "any"}
SOON = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")


def ticket(action: Action, rule: str, *, floors: tuple[str, ...] = ()) -> Ticket:
    """A request as if it had been filed."""
    asked = {
        "type": action.type, "target": action.target, "params": action.arguments(), "agent": action.agent,
        "user": action.user, "session_id": None, "description": "", "rule": rule, "risk": "MEDIUM", "reason": "",
        "floors": list(floors), "policy_digest": "", "not_bound": [],
    }  # fmt: skip
    return Ticket("0123456789abcdef", "", "pending", "call", asked, now_us(), now_us() + 10**9)


def changed(text: str, action: Action, rule: str, scope: dict[str, str], tmp_path: Path, until: str = SOON) -> Policy:
    """The policy with the rule for a call that another rule asked about."""
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    policy, asked = Policy.from_yaml(path), ticket(action, rule)
    change = change_for(policy, path, asked, narrow_rule(asked, asking_rule(policy, asked), scope, until))
    path.write_text(change.after)
    return Policy.from_yaml(path)


def approval(policy: Policy, action: Action, **options: Any) -> str:
    return policy.evaluate(action, **options).approval.value


def test_a_rule_is_shown_as_a_change_then_written_and_lets_later_calls_run(
    visitor: Visitor, trail: AuditLogger, policy: Path
) -> None:
    policy.chmod(0o640)
    request = file_request(trail, CALL)
    path = f"/requests/{request}/always"
    assert "exactly this value" in visitor.get(path).text
    wanted: dict[str, Any] = {"scope": SCOPE, "lifetime": "1d"}
    shown = visitor.post(path, wanted).text
    assert policy.read_text() == POLICY  # looking writes nothing
    added = [html.unescape(line) for line in re.findall(r'<span class="added">(.*?)\n</span>', shown)]
    assert added[0].startswith("+  - name: always_write_file_")
    assert not re.search(r'class="removed"', shown)
    digest, until = re.findall(r'data-digest="(\w+)" data-until="([^"]+)"', shown)[0]
    answer = visitor.post(path, {**wanted, "digest": digest, "until": until})
    assert "is in policy.yaml" in answer.json()["said"]
    written = policy.read_text().splitlines()
    assert [line for line in written if line not in POLICY.splitlines()] == [
        line[1:] for line in added if line[1:] and line[1:] not in POLICY.splitlines()
    ]
    assert stat.S_IMODE(policy.stat().st_mode) == 0o640
    assert list(policy.parent.glob(".*")) == []
    assert waiting(trail) == [request]  # this call still waits
    runtime = governed(trail, text=policy.read_text())
    assert runtime.run(CALL.replace(params={**CALL.params, "content": "other"}), lambda _: "ran").data == "ran"
    assert (
        runtime.run(CALL.replace(params={**CALL.params, "path": "/data/x"}), lambda _: "ran").status
        == "pending_approval"
    )
    (event,) = [one for one in trail.reader.events(_all()) if one["event"] == "policy_rule_written"]
    assert (event["data"]["approver"], event["data"]["request"]) == ("ann", request)
    assert event["data"]["rule"]["conditions"]["until"] == until


def test_a_change_that_was_not_shown_is_not_written(visitor: Visitor, trail: AuditLogger, policy: Path) -> None:
    path = f"/requests/{file_request(trail, CALL)}/always"
    shown = visitor.post(path, {"scope": SCOPE, "lifetime": "1d"}).text
    digest, until = re.findall(r'data-digest="(\w+)" data-until="([^"]+)"', shown)[0]
    for other in (
        {"scope": {"path": "any", "content": "exact"}, "lifetime": "1d", "until": until, "digest": digest},
        {"scope": SCOPE, "lifetime": "1d", "until": "2099-01-01T00:00:00Z", "digest": digest},
        {"scope": SCOPE, "lifetime": "1d", "digest": digest[::-1], "until": until},
    ):
        answer = visitor.post(path, other)
        assert answer.status == 409, answer.text
        assert policy.read_text() == POLICY
    edited = POLICY.replace("Reading is free", "Reading is for free")
    policy.write_text(edited)
    answer = visitor.post(path, {"scope": SCOPE, "lifetime": "1d", "digest": digest, "until": until})
    assert "changed since" in answer.json()["error"]
    assert policy.read_text() == edited


def test_a_file_that_cannot_be_written_is_said_and_is_on_record(
    visitor: Visitor, trail: AuditLogger, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    path = f"/requests/{file_request(trail, CALL)}/always"
    shown = visitor.post(path, {"scope": SCOPE, "lifetime": "1d"}).text
    digest, until = re.findall(r'data-digest="(\w+)" data-until="([^"]+)"', shown)[0]
    monkeypatch.setattr("aegis.console.policyedit.tempfile.mkstemp", full)
    answer = visitor.post(path, {"scope": SCOPE, "lifetime": "1d", "digest": digest, "until": until})
    assert "No space left" in answer.json()["error"]
    assert policy.read_text() == POLICY
    assert list(policy.parent.glob(".*")) == []
    assert [one["event"] for one in trail.reader.events(_all())][-1] == "policy_rule_not_written"


def test_without_a_policy_file_there_is_nothing_to_write_to(trail: AuditLogger) -> None:
    request = file_request(trail, CALL)
    with site(trail.path) as console:
        visitor = console.log_in()
        assert "--policy" in visitor.get(f"/requests/{request}/always").text
        answer = visitor.post(f"/requests/{request}/always", {"scope": SCOPE, "lifetime": "1d"})
        assert (answer.status, "--policy FILE" in answer.json()["error"]) == (409, True)


def test_a_policy_that_does_not_load_any_more_is_said_so(visitor: Visitor, trail: AuditLogger, policy: Path) -> None:
    request = file_request(trail, CALL)
    policy.write_text("version: '1'\nrulez: []\n")
    page = visitor.get(f"/requests/{request}")
    assert page.status == 200
    assert "did you mean" in page.text
    assert visitor.post(f"/requests/{request}/always", {"scope": SCOPE, "lifetime": "1d"}).status == 409


@pytest.mark.parametrize(
    ("scope", "why"),
    [
        ({"path": "any", "content": "any"}, "would not be narrow"),
        ({"path": "exact"}, "for every argument"),
        ({"path": "exact", "content": "any", "more": "any"}, "for every argument"),
        ({"path": "exact", "content": "under"}, "can only be left open"),
    ],
)
def test_a_rule_that_is_not_narrow_is_refused(scope: dict[str, str], why: str) -> None:
    with pytest.raises(ApprovalError, match=why):
        narrow_rule(ticket(CALL, "ask"), None, scope, SOON)


def test_what_is_masked_or_cut_can_only_be_left_open() -> None:
    params = {
        "password": "[redacted: 7 characters, be50]",
        "text": "abc… [cut: 99999 characters]",
        "n": 1,
        "none": None,
    }
    assert {scope.name: scope.choices for scope in scopes(params)} == {
        "password": ("any",), "text": ("any",), "n": ("exact", "any"), "none": ("any",),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "folder"),
    [("/data/a.csv", "/data"), ("/a", None), ("data/a", None), ("/data/../a", None), ("/data/%2e/a", None), (5, None)],
)
def test_a_folder_is_offered_for_plain_absolute_paths(path: Any, folder: str | None) -> None:
    assert folder_of(path) == folder


def test_the_rule_holds_for_the_call_its_agent_and_user_and_for_no_other(tmp_path: Path) -> None:
    call = Action("say", "chat", {"to": "ann", "text": "hi"}, agent="bot", user="eve")
    policy = changed(POLICY, call, "ask_before_writing", {"to": "exact", "text": "any"}, tmp_path)
    assert approval(policy, call) == "auto"
    assert approval(policy, call.replace(params={"to": "ann", "text": "other"})) == "auto"
    for other in (
        call.replace(params={"to": "bob", "text": "hi"}),
        call.replace(params={"to": "ann", "text": "hi", "cc": "bob"}),
        call.replace(params={"To": "ann", "to": "ann", "text": "hi"}),
        Action("say", "chat", dict(call.params), agent="bot", user="mallory"),
        Action("say", "chat", dict(call.params), agent="other", user="eve"),
        Action("say", "chat", dict(call.params)),
        Action("say", "elsewhere", dict(call.params), agent="bot", user="eve"),
        Action("write_x", "chat", dict(call.params), agent="bot", user="eve"),
    ):
        assert approval(policy, other) == "approve"
    assert approval(policy, call, now=datetime.now(UTC) + timedelta(days=2)) == "approve"  # it has ended


def test_a_folder_is_as_wide_as_it_says(tmp_path: Path) -> None:
    policy = changed(POLICY, CALL, "ask_before_writing", {"path": "under", "content": "any"}, tmp_path)
    for path, answer in {"/data/reports/x": "auto", "/data/x": "approve", "/data/reports/../x": "approve"}.items():
        assert approval(policy, CALL.replace(params={"path": path, "content": ""})) == answer


def test_rules_in_front_still_come_first(tmp_path: Path) -> None:
    policy = changed(POLICY, CALL, "ask_before_writing", {"path": "under", "content": "any"}, tmp_path)
    secret = CALL.replace(params={"path": "/data/reports/secret", "content": ""})
    assert approval(policy, secret) == "block"


def test_what_the_asking_rule_demanded_is_still_demanded(tmp_path: Path) -> None:
    text = """\
version: "1"
rules:
  - name: ask
    match: {type: pay}
    conditions: {param_lt: {amount: 100}, weekdays: [mon, tue, wed, thu, fri, sat, sun], param_eq: {currency: EUR}}
    approval: approve
"""
    call = Action("pay", "bank", {"amount": 5, "currency": "EUR", "to": "ann"})
    policy = changed(text, call, "ask", {"amount": "any", "currency": "any", "to": "exact"}, tmp_path)
    assert approval(policy, call) == "auto"
    assert approval(policy, call.replace(params={**call.params, "amount": 99})) == "auto"
    assert approval(policy, call.replace(params={**call.params, "amount": 100})) == "block"
    assert approval(policy, call.replace(params={**call.params, "currency": "USD"})) == "block"


@pytest.mark.parametrize(
    "text",
    [
        'version: "1"\nrules: [{name: a, match: {type: x}, approval: auto}, {name: ask, approval: approve}]\n',
        'version: "1"\nrules:\n- name: ask\n  approval: approve\n',
        'version: "1"\nrules:\n    -\n        name: ask\n        approval: approve\n    - {name: b, approval: block}\n',
        'version: "1"\r\nrules:\r\n  # why\r\n  - name: ask\r\n    approval: approve\r\n',
        '{"version": "1", "rules": [{"name": "ask", "approval": "approve"}]}',
        '\ufeffversion: "1"\nrules:\n  - name: ask  # here\n    approval: approve',
        'rules:\n  - approval: approve\n    name: ask\n\n  # the end\nversion: "1"\n',
    ],
)
def test_however_a_policy_is_written_the_rule_goes_in_and_the_rest_stays(text: str, tmp_path: Path) -> None:
    policy = changed(text, CALL, "ask", SCOPE, tmp_path)
    names = [rule.name for rule in policy.rules]
    assert names.index("always_write_file_89abcdef") == names.index("ask") - 1
    assert approval(policy, CALL) == "auto"
    written = (tmp_path / "policy.yaml").read_bytes().decode("utf-8-sig")
    kept = [line for line in text.removeprefix("\ufeff").splitlines() if line in written.splitlines()]
    assert kept == text.removeprefix("\ufeff").splitlines() or "{name" in text or text.startswith("{")


@pytest.mark.parametrize(
    "text",
    [
        'version: "1"\ndefaults: {approval: approve}\n',
        'version: "1"\ndefaults: {approval: approve}\nrules: []\n',
        'version: "1"\nrules:\n  - {name: b, match: {type: x}, approval: auto}\n\n# z\ndefaults: {approval: approve}\n',
        '{"version": "1", "defaults": {"approval": "approve"}, "rules": [{"name": "b", "match": {"type": "x"}, "approval": "auto"}]}',  # noqa: E501
    ],
)
def test_where_the_default_asks_the_rule_goes_to_the_end(text: str, tmp_path: Path) -> None:
    policy = changed(text, CALL, "<default>", SCOPE, tmp_path)
    assert policy.rules[-1].name == "always_write_file_89abcdef"
    assert approval(policy, CALL) == "auto"
    assert approval(policy, CALL.replace(params={"path": "/x", "content": ""})) == "approve"


def test_a_rule_is_refused_where_it_could_not_do_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    policy = Policy.from_yaml(path)
    with pytest.raises(ApprovalError, match="could not be decided"):
        asking_rule(policy, ticket(CALL, "ask_before_writing", floors=("no_secrets",)))
    with pytest.raises(ApprovalError, match="does not ask about the call by the rule 'gone'"):
        asking_rule(policy, ticket(CALL, "gone"))
    layered = Policy.of_layers({"org": policy, "team": policy})
    with pytest.raises(ApprovalError, match="layers"):
        asking_rule(layered, ticket(CALL, "org/ask_before_writing"))
    rule = narrow_rule(ticket(CALL, "ask_before_writing"), None, SCOPE, SOON)
    with pytest.raises(ApprovalError, match="does not come from"):
        change_for(policy, tmp_path / "other.yaml", ticket(CALL, "ask_before_writing"), rule)


def test_names_that_look_like_patterns_are_taken_literally(tmp_path: Path) -> None:
    text = 'version: "1"\nrules: [{name: ask, approval: approve}]\n'
    policy = changed(text, Action("do[1]*", "a?", {"x": 1}), "ask", {"x": "exact"}, tmp_path)
    assert approval(policy, Action("do[1]*", "a?", {"x": 1})) == "auto"
    assert approval(policy, Action("do1", "ab", {"x": 1})) == "approve"


_WORDS = [
    "n",
    "no",
    "18:00",
    "12e3",
    "0x1",
    "~",
    "",
    "true",
    "null",
    "a: b",
    "- x",
    "#",
    "\x1b\u202e",
    "\u00e9",
    "=",
    "<<",
]


@pytest.mark.parametrize("text", _WORDS)
def test_no_word_is_read_as_something_else(text: str, tmp_path: Path) -> None:
    call = Action("write_file", "no", {"n": text, "yes": [text, {"off": text}]})
    policy = changed(POLICY, call, "ask_before_writing", {"n": "exact", "yes": "exact"}, tmp_path)
    assert approval(policy, call) == "auto"


_values = st.one_of(
    st.integers(-9, 9), st.sampled_from(["a", "b", "", "/data/x", "no", "18:00", "é\u202e"]), st.booleans()
)
_calls = st.builds(
    lambda tool, params, agent: Action(tool, "t", params, agent=agent),
    st.sampled_from(["read", "write", "pay"]),
    st.dictionaries(st.sampled_from(["path", "amount", "x"]), _values, min_size=1, max_size=3),
    st.sampled_from(["bot", "other", None]),
)
_LAW = """\
version: "1"
rules:
  - {name: stop, match: {type: pay}, conditions: {param_gt: {amount: 5}}, approval: block}
  - {name: small, match: {type: write}, conditions: {param_eq: {x: a}}, approval: auto}
  - {name: ask, match: {type: [write, pay]}, approval: approve}
"""


@given(_calls, _calls, st.data())
def test_no_rule_loosens_anything_but_what_it_names(seen: Action, other: Action, data: st.DataObject) -> None:
    import tempfile
    from pathlib import Path

    before = Policy.from_string(_LAW)
    decision = before.evaluate(seen)
    if decision.approval != "approve" or decision.floors:
        return
    scope = {scope.name: data.draw(st.sampled_from(scope.choices)) for scope in scopes(seen.params)}
    with tempfile.TemporaryDirectory() as folder:
        try:
            after = changed(_LAW, seen, "ask", scope, Path(folder))
        except ApprovalError:
            return
    assert approval(after, seen) == "auto"
    if approval(after, other) != approval(before, other):
        assert approval(before, other) == "approve"
        assert (other.type, other.target, other.agent or seen.agent) == (
            seen.type,
            seen.target,
            seen.agent or other.agent,
        )
        assert set(other.params) <= set(seen.params)
        for name, choice in scope.items():
            if choice == "exact":
                assert other.params[name] == seen.params[name]


def test_the_store_is_what_offers_the_request(trail: AuditLogger) -> None:
    request = file_request(trail, CALL)
    asked = ApprovalStore(trail).get(request)
    assert set(ticket(CALL, "x").request) <= set(asked.request)


def _all() -> Any:
    from aegis_core.audit.filters import Filters

    return Filters()
