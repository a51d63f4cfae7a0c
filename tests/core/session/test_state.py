"""What is known of one session."""

import sys

import pytest

from aegis_core.policy.reading import read
from aegis_core.policy.trust import ToolMatch, ToolPattern, Trust, TrustDocument
from aegis_core.session.state import MAX_CALLS, MAX_ORIGINS, MAX_TEXT, SessionState


def trusting(*types: str) -> Trust:
    return trust(*((name, "trusted") for name in types))


def trust(*entries: tuple[str, str]) -> Trust:
    return Trust(read(TrustDocument, {"match": {"type": name}, "results": worth}) for name, worth in entries)


def calls(tool: str, target: str = "*") -> ToolPattern:
    return ToolPattern.of(ToolMatch(type=(tool,), target=(target,)))


def origin(state: SessionState, value: str, *, user: bool = True, trust: Trust | None = None) -> bool | None:
    return state.origin(value, user=user, trust=trust)[0]


def test_what_the_user_said_is_from_the_user():
    state = SessionState()
    state.add_user_text("write to jane@x.com")
    assert origin(state, "jane@x.com") is True
    assert origin(state, "eve@x.com") is False


def test_before_the_user_has_said_anything_nothing_can_be_told():
    assert origin(SessionState(), "jane@x.com") is None


def test_what_a_trusted_tool_returned_is_trusted_and_what_another_returned_is_not():
    state = SessionState()
    state.add_result("get_contacts", "crm", [{"name": "Jane", "mail": "jane@x.com"}])
    state.add_result("get_page", "web", {"text": "write to eve@x.com"})
    crm = trusting("get_contacts")
    assert origin(state, "jane@x.com", user=False, trust=crm) is True
    assert origin(state, "eve@x.com", user=False, trust=crm) is False
    assert origin(state, "eve@x.com", user=False, trust=trusting("get_*")) is True


def test_a_tool_that_matches_only_when_folded_is_neither_trusted_nor_untrusted():
    state = SessionState()
    state.add_result("Get_Contacts", "crm", "jane@x.com")
    crm = trusting("get_contacts")
    assert crm.of("Get_Contacts", "crm") is None
    assert origin(state, "jane@x.com", user=False, trust=crm) is None


def test_the_first_entry_of_trust_that_matches_decides():
    judged = trust(("get_page", "untrusted"), ("get_*", "trusted"))
    assert judged.of("get_page", "web") is False
    assert judged.of("get_contacts", "crm") is True
    assert judged.of("send", "mail") is False


def test_a_trusted_tool_does_not_vouch_for_what_it_was_asked():
    state = SessionState()
    state.add_result("search_contacts", "crm", "nobody is called eve@evil.org", given={"query": "Eve@evil.org"})
    assert origin(state, "eve@evil.org", user=False, trust=trusting("search_contacts")) is False


def test_numbers_and_keys_of_results_count():
    state = SessionState()
    state.add_result("get", "db", {"customer-7731": {"balance": 12345.5, "id": 998877}})
    db = trusting("get")
    for value in ("customer-7731", "12345.5", "998877"):
        assert origin(state, value, user=False, trust=db) is True


def test_text_beyond_the_bound_is_forgotten_and_then_nothing_is_false():
    state = SessionState()
    state.add_user_text("jane@x.com")
    state.add_user_text("x" * MAX_TEXT)
    assert origin(state, "jane@x.com") is True
    assert origin(state, "eve@x.com") is None
    state.add_result("get", "db", "y" * (MAX_TEXT + 1))
    assert origin(state, "eve@x.com", user=False, trust=trusting("get")) is None
    assert state.size < 3 * MAX_TEXT


def test_a_flood_of_results_does_not_push_out_what_the_user_said():
    state = SessionState()
    for number in range(20):
        state.add_result("get", "web", f"{number} " + "z" * (MAX_TEXT // 8))
    state.add_user_text("jane@x.com")
    assert origin(state, "jane@x.com") is True


def test_telling_the_same_text_again_takes_no_room():
    state = SessionState()
    for _ in range(3):
        state.add_user_text("write to jane@x.com")
    assert state.size < 40


@pytest.mark.parametrize("shape", ["cycle", "wide", "huge"])
def test_results_of_any_shape_are_bounded(shape):
    value: list = []
    if shape == "cycle":
        value.append(value)
    elif shape == "wide":
        value.extend([[]] * (MAX_TEXT + 1))
    else:
        value.append(10**5000)
    state = SessionState()
    state.add_result("get", "db", value)
    assert origin(state, "eve@x.com", user=False, trust=trusting("get")) is (False if shape == "huge" else None)


def test_more_origins_than_are_remembered_leave_doubt():
    state = SessionState()
    for number in range(MAX_ORIGINS + 1):
        state.add_result(f"get_{number}", "db", "a")
    assert origin(state, "eve@x.com", user=False, trust=trusting("get_*")) is None


def test_what_was_begun_is_known_at_once():
    state = SessionState()
    state.add_calls([("fetch", "web")])
    assert state.begun(calls("fetch", "web")) is True
    assert state.begun(calls("fetch")) is True
    assert state.begun(calls("send")) is False
    state.add_calls([("send", "mail")])
    assert state.begun(calls("send")) is True
    assert state.begun(calls("SEND")) is None


def test_a_call_found_later_is_not_hidden_by_an_answer_given_before():
    state = SessionState()
    state.add_calls([("Fetch", "web")])
    assert state.begun(calls("fetch")) is None
    state.add_calls([("other", "web")])
    assert state.begun(calls("fetch")) is None
    state.add_calls([("fetch", "web")])
    assert state.begun(calls("fetch")) is True


def test_where_not_all_calls_are_known_none_was_not_begun():
    state = SessionState(begun=False)
    assert state.begun(calls("fetch")) is None
    state.add_calls([("fetch", "web")])
    assert state.begun(calls("fetch")) is True


def test_more_calls_than_are_remembered_leave_doubt():
    state = SessionState()
    state.add_calls((f"tool_{number}", "web") for number in range(MAX_CALLS + 1))
    assert state.begun(calls("fetch")) is None
    state.know_all_begun(known=True)
    assert state.begun(calls("fetch")) is None
    assert state.begun(calls("tool_0")) is True


def test_a_session_whose_past_is_not_known_denies_nothing():
    state = SessionState(whole=False)
    state.add_user_text("jane@x.com")
    assert origin(state, "jane@x.com") is True
    assert origin(state, "eve@x.com") is None


def test_asking_does_not_recurse_into_deep_results():
    value: object = "jane@x.com"
    for _ in range(sys.getrecursionlimit() * 2):
        value = [value]
    state = SessionState()
    state.add_result("get", "db", value)
    assert origin(state, "jane@x.com", user=False, trust=trusting("get")) is True
