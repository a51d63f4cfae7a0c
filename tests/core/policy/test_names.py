"""Names are hostile input: which are refused, and which only look like another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_core.action import Action
from aegis_core.decision import Approval, RiskLevel
from aegis_core.policy.names import fold, folded_forms, refusal
from aegis_core.policy.policy import Policy
from tests.core.policy.strategies import names

ALLOW_ALL = Policy.from_dict({"version": "1", "defaults": {"approval": "auto", "risk_level": "low"}})
GUARDED = Policy.from_dict(
    {
        "version": "1",
        "defaults": {"approval": "auto", "risk_level": "low"},
        "rules": [
            {"name": "no_deletes", "match": {"type": "delete_*"}, "approval": "block"},
            {"name": "reads", "match": {"type": "read_*"}, "approval": "auto"},
        ],
    }
)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is empty"),
        ("read_x\nrm", "contains a control character"),
        ("read\x1b[31m", "contains a control character"),
        ("read\x00", "contains a control character"),
        ("read\x7f", "contains a control character"),
        ("réad\n", "contains a control character (U+000A)"),
        ("read\u200bfile", "contains an invisible or bidirectional formatting character (U+200B)"),
        ("read\u202efile", "contains an invisible or bidirectional formatting character (U+202E)"),
        ("read\U000e0061", "contains an invisible or bidirectional formatting character (U+E0061)"),
        ("read\u3164", "contains an invisible character (U+3164)"),
        ("read\ufe0f", "contains an invisible character (U+FE0F)"),
        ("read\u2028", "contains a line separator (U+2028)"),
        ("read\ud800", "contains a lone surrogate (U+D800)"),
        ("read\ue000", "contains a private-use character (U+E000)"),
        ("read\uffff", "contains an unassigned character (U+FFFF)"),
        ("dеlete_file", "mixes Latin and Cyrillic letters"),
        ("deletε_file", "mixes Latin and Greek letters"),
        ("ｄеｌｅｔｅ", "mixes Latin and Cyrillic letters"),
        ("𝐝еlete", "mixes Latin and Cyrillic letters"),
    ],
)
def test_such_a_name_is_refused(name: str, why: str):
    assert refusal(name) == why


@pytest.mark.parametrize(
    "name", ["read_file", "read file", "a-b", "удалить", "διάβασε", "読む", "résumé", "delete_日本", "x.y/z:w"]
)
def test_a_name_like_any_other_is_not_refused(name: str):
    assert refusal(name) is None


@pytest.mark.parametrize(
    "names",
    [("bad\n", "t", None, None), ("x", "bad\n", None, None), ("x", "t", "bad\n", None), ("x", "t", None, "bad\n")],
)
def test_a_refused_name_of_any_kind_blocks_before_any_rule_is_asked(names: tuple[str, str, str | None, str | None]):
    type_name, target, agent, user = names
    decision = ALLOW_ALL.evaluate(Action(type_name, target, agent=agent, user=user))
    assert (decision.approval, decision.risk_level, decision.matched_rule) == (Approval.BLOCK, RiskLevel.HIGH, "<name>")
    assert "'bad\\n' contains a control character and is refused before any rule is asked" in decision.reason


def test_a_refusal_names_what_was_refused_without_repeating_all_of_it():
    decision = ALLOW_ALL.evaluate(Action("x" * 1000 + "\n", "t"))
    assert decision.reason.startswith("the tool name 'xxx")
    assert len(decision.reason) < 200


def test_a_refused_name_stays_refused_when_asked_again_and_beside_good_ones():
    for _ in range(2):
        assert ALLOW_ALL.evaluate(Action("x", "good")).permitted
        assert not ALLOW_ALL.evaluate(Action("x", "bad\n")).permitted
        assert not ALLOW_ALL.evaluate(Action("x\n", "good")).permitted
        assert not ALLOW_ALL.evaluate(Action("x", "good", agent="a\u200bb")).permitted


@pytest.mark.parametrize(
    "name",
    [
        "Delete_file", "DELETE_FILE", "delete_File", "ｄｅｌｅｔｅ_file", "𝐝elete_file", "filesystem__delete_file",
        "filesystem.delete_file", "filesystem:delete_file", "filesystem/delete_file", "gw.fs__delete_file",
        "GW__Delete_File", " delete_file", "delete_ﬁle",
    ],
)  # fmt: skip
def test_line_5_a_name_that_only_looks_like_the_rules_does_not_slip_past_a_block(name: str):
    decision = GUARDED.evaluate(Action(name, "filesystem"))
    assert decision.approval is Approval.BLOCK, "a look-alike was let through"


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("mcp__fs__delete_file", "fs__delete_file"),
        ("MCP__FS__Delete_File", "fs__delete_*"),
        ("github__issues.create", "issues.create"),
        ("gw/fs:delete__file", "delete__file"),
        ("fs__ delete_file", "delete_file"),
        ("a." * 500 + "fs__delete_file", "fs__delete_file"),
        ("fs__delete_" + "a." * 500, "delete_*"),
    ],
)
def test_line_5_a_gateways_prefix_hides_no_name_that_has_a_separator_itself(name: str, pattern: str):
    policy = Policy.from_dict(
        {
            "version": "1",
            "defaults": {"approval": "auto", "risk_level": "low"},
            "rules": [{"name": "never", "match": {"type": pattern}, "approval": "block"}],
        }
    )
    decision = policy.evaluate(Action(name, "filesystem"))
    assert (decision.approval, [floor.rule for floor in decision.floors]) == (Approval.BLOCK, ["never"])


def test_a_name_of_very_many_parts_has_few_forms():
    assert len(folded_forms("a." * 100_000)) < 20


@pytest.mark.parametrize("name", ["dеlete_file", "dеlеtе_filе", "read_x\nrm", "delete\u200b_file", "\u202edelete_file"])
def test_line_5_homoglyphs_and_invisible_characters_are_refused_outright(name: str):
    assert GUARDED.evaluate(Action(name, "filesystem")).matched_rule == "<name>"


@pytest.mark.parametrize("name", ["Read_file", "fs__read_file", "ｒead_file"])
def test_line_5_a_look_alike_does_not_open_an_auto_rule(name: str):
    strict = Policy.from_dict(
        {"version": "1", "rules": [{"name": "reads", "match": {"type": "read_*"}, "approval": "auto"}]}
    )
    decision = strict.evaluate(Action(name, "filesystem"))
    assert (decision.approval, decision.matched_rule) == (Approval.BLOCK, "<default>")
    assert [floor.rule for floor in decision.floors] == ["reads"]


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("Read_File", ("read_file",)),
        ("fs__Delete_File", ("fs__delete_file", "delete_file")),
        ("a.b:c/d__e", ("a.b:c/d__e", "b:c/d__e", "c/d__e", "d__e", "e")),
        ("a__b.c", ("a__b.c", "b.c", "c")),
        ("a.b__c", ("a.b__c", "b__c", "c")),
        ("x__", ("x__",)),
        ("__x", ("__x", "x")),
        ("fs___x", ("fs___x", "_x", "x")),
        ("fs__ x", ("fs__ x", "x")),
        ("a.b.", ("a.b.", "b.")),
        (" X ", ("x",)),
        ("ＦＳ．Ｘ", ("fs.x", "x")),
    ],
)
def test_the_forms_under_which_a_name_is_looked_up(name: str, forms: tuple[str, ...]):
    assert folded_forms(name) == forms


@given(names)
def test_folding_a_folded_name_changes_nothing(name: str):
    assert fold(fold(name)) == fold(name)


@given(st.text(max_size=20))
def test_any_text_is_refused_or_not_and_never_trips_anything(name: str):
    decision = GUARDED.evaluate(Action(name, "t"))
    assert (decision.matched_rule == "<name>") == (refusal(name) is not None)


@given(name=st.one_of(names, st.text(max_size=4), st.from_regex(r"[a-z0-9_]{0,9}[A-Za-z\u00e9 \n.-]?", fullmatch=True)))
def test_a_name_is_refused_before_any_rule_or_by_none(name: str):
    decision = ALLOW_ALL.evaluate(Action(name, "fs"))
    assert (decision.matched_rule == "<name>") == (refusal(name) is not None)
