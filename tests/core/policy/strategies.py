"""Random policies and calls, and what a plain reading of the policy language says about them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st

from aegis_core.action import Action
from aegis_core.decision import Approval, RiskLevel
from aegis_core.policy.globs import glob_problem
from aegis_core.policy.names import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Truth = bool | None
Outcome = tuple[Approval, RiskLevel]
STRICTNESS = [Approval.AUTO, Approval.APPROVE, Approval.BLOCK]

# --- names -----------------------------------------------------------------------------------------------------------

NASTY_NAMES = [
    "read_file", "Read_File", "READ_FILE", "read_", "read", "delete_file", "DELETE_FILE", "fs__delete_file",
    "fs.delete_file", "fs:delete_file", "fs/delete_file", "gw__fs__delete_file", "delete_file__", "__delete_file",
    "ｄｅｌｅｔｅ_file", "𝐝elete_file", "delete_ﬁle", "delete_file ", " delete_file", "delete file",
    "delete_file\u3000", "é", "e\u0301", "re\u0301sume\u0301", "résumé", "STRASSE", "straße", "ǅ", "ſ", "K", "İx",
    "ı", "ﾊﾞ", "ハ\u3099", "가", "q\u0301x", "a*b", "a＊b", "[x]", "［x］", "?", "a?", "x-y", "_", "__", ".", "a.b.c",
    "A.B", "日本語", "読む_file",
]  # fmt: skip
SHORT_ALPHABET = "abAB_.:/ -éﬁßＡ＊"
names = st.one_of(
    st.sampled_from(NASTY_NAMES),
    st.text(SHORT_ALPHABET + "\u0301", min_size=1, max_size=8),
    st.builds("{}{}".format, st.sampled_from(NASTY_NAMES), st.sampled_from(["", "x", "_1", " ", "\u0301"])),
).filter(lambda name: refusal(name) is None)


def _is_pattern(text: str) -> bool:
    literal = text.translate({ord(meta): None for meta in "*?[]!"})
    return glob_problem(text) is None and text.strip() == text and (not literal or refusal(literal) is None)


@st.composite
def _pattern_of_a_name(draw: st.DrawFn) -> str:
    """A pattern that has something to do with a name that may be called."""
    name = draw(names)
    start = draw(st.integers(0, len(name)))
    end = draw(st.integers(start, len(name)))
    middle = draw(st.sampled_from(["*", "?", "", "[a-zA-Z]", "[!x]", "**"]))
    return draw(st.sampled_from([name, name[:start] + "*", "*" + name[end:], "*" + name[start:end] + "*",
                                 name[:start] + middle + name[end:], "*", name.lower(), name.upper()]))  # fmt: skip


patterns = st.one_of(_pattern_of_a_name(), st.text(SHORT_ALPHABET + "\u0301*?[]!", min_size=1, max_size=6)).filter(
    _is_pattern
)
pattern_lists = st.lists(patterns, min_size=1, max_size=3)

# --- rules -----------------------------------------------------------------------------------------------------------
# Whether a rule's condition holds is told by a parameter of its own: true, false, or text where a bool is expected.

SAYS: dict[Truth, Any] = {True: True, False: False, None: "not a bool"}
truths = st.sampled_from([True, False, None])
approvals = st.sampled_from(["auto", "approve", "block"])
risks = st.sampled_from(["low", "medium", "high", "critical"])


@st.composite
def rules(draw: st.DrawFn, *, most: int = 6, types: st.SearchStrategy[list[str]] | None = None) -> list[dict[str, Any]]:
    """Rules r0, r1, ...; some with a condition that parameter c0, c1, ... of a call decides."""
    found: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, most))):
        rule: dict[str, Any] = {"name": f"r{number}", "approval": draw(approvals), "risk_level": draw(risks)}
        if types is not None or draw(st.booleans()):
            rule["match"] = {"type": draw(types if types is not None else st.sampled_from([["t*"], ["T*"], ["*"]]))}
        if draw(st.booleans()):
            rule["conditions"] = {"param_eq": {f"c{number}": True}}
        found.append(rule)
    return found


defaults = st.one_of(
    st.none(),
    st.fixed_dictionaries({}, optional={"approval": approvals, "risk_level": risks}).filter(bool),
)


@st.composite
def policies(draw: st.DrawFn, /, **options: Any) -> dict[str, Any]:
    """A policy as plain data."""
    data: dict[str, Any] = {"version": "1", "rules": draw(rules(**options))}
    given = draw(defaults)
    if given is not None:
        data["defaults"] = given
    return data


def call(truths: Sequence[Truth], tool: str = "tool", target: str = "server") -> Action:
    """A call that decides the rules' conditions as told."""
    return Action(tool, target, {f"c{number}": SAYS[truth] for number, truth in enumerate(truths)})


# --- the plain reading -----------------------------------------------------------------------------------------------


def outcome_of(rule: dict[str, Any]) -> Outcome:
    return Approval(rule.get("approval", "block")), RiskLevel[rule.get("risk_level", "medium").upper()]


def default_of(policy: dict[str, Any], *, layer: bool) -> Outcome | None:
    """What a policy says where no rule decides: None if it abstains."""
    if "defaults" in policy:
        return outcome_of(policy["defaults"])
    return None if layer else (Approval.BLOCK, RiskLevel.MEDIUM)


def strictest(outcomes: Iterable[Outcome]) -> Outcome:
    """The strictest approval and the highest risk."""
    all_of_them = list(outcomes)
    return max((approval for approval, _ in all_of_them), key=STRICTNESS.index), max(risk for _, risk in all_of_them)


def walk(
    rules: Sequence[dict[str, Any]], truths: Sequence[Truth], default: Outcome | None
) -> tuple[Outcome | None, list[Outcome]]:
    """What decides (None: nothing does), and the floors set on the way."""
    floors: list[Outcome] = []
    for rule, truth in zip(rules, truths, strict=True):
        if truth:
            return outcome_of(rule), floors
        if truth is None:
            floors.append(outcome_of(rule))
    return default, floors


def expected(layers: Sequence[tuple[dict[str, Any], Sequence[Truth]]], *, hierarchy: bool) -> Outcome:
    """The decision for policies whose rules' truths are known."""
    deciding: list[Outcome] = []
    floors: list[Outcome] = []
    for policy, truths in layers:
        decided, set_on_the_way = walk(policy["rules"], truths, default_of(policy, layer=hierarchy))
        deciding += [decided] if decided is not None else []
        floors += set_on_the_way
    return strictest([*(deciding or [(Approval.BLOCK, RiskLevel.MEDIUM)]), *floors])


def resolutions(truths: Sequence[Truth]) -> Iterator[list[bool]]:
    """Every way in which what is undecided may be decided."""
    for choice in itertools.product([True, False], repeat=sum(truth is None for truth in truths)):
        decided = iter(choice)
        yield [next(decided) if truth is None else truth for truth in truths]


def examples(usual: int) -> settings:
    """Settings with so many examples usually, and many more in the profile ``thorough``."""
    thorough = settings.default is not None and settings.default.max_examples > 1000
    return settings(max_examples=usual * 20 if thorough else usual)
