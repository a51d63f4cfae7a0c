"""What a ``*.aegis-test.yaml`` file may say, and reading one. Judging its calls is `policytest`'s business."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from aegis.core.hierarchy import PolicyHierarchy
from aegis.core.policy import Approval, Policy, RiskLevel
from aegis.errors import PolicyError
from aegis_core.errors import Problem
from aegis_core.policy.arguments.verdict import WORDS
from aegis_core.policy.checking import check_document
from aegis_core.policy.document import APPROVAL, RISK
from aegis_core.policy.loading import read_policy_text
from aegis_core.policy.readers import ANYTHING, FLAG, listed, mapped, text, the, whole
from aegis_core.policy.reading import Document, Reader, given, key, read
from aegis_core.policy.wording import shown
from aegis_core.policy.yamltext import Place, parse_yaml

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "NOON",
    "SUFFIX",
    "CallDocument",
    "ExpectDocument",
    "GivenDocument",
    "OutcomeDocument",
    "SessionDocument",
    "StepDocument",
    "TestCaseDocument",
    "TestDocument",
    "TestFile",
    "find_test_files",
    "read_test_file",
]

SUFFIX = ".aegis-test.yaml"
"""How the names of test files end."""
NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
"""When calls are judged that name no time: a Wednesday at noon, UTC. A test that passes today passes tomorrow."""
_LAYERS = ("org", "team", "agent")


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError(f'must be a time in quotes, such as "2026-03-24T10:00:00+01:00", got {shown(value)}')
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f'must be a time such as "2026-03-24T10:00:00+01:00", got {shown(value)}') from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _layers(value: object) -> dict[str, tuple[str, ...]]:
    """One file, files to merge, or files by layer: always files by layer, or under "", files to merge."""
    if isinstance(value, str):
        return {"": (value,)}
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
        return {"": tuple(value)}
    names = list(value.values()) if isinstance(value, Mapping) and set(value) <= set(_LAYERS) else []
    if isinstance(value, Mapping) and names and all(isinstance(name, str) for name in names):
        return {layer: (value[layer],) for layer in _LAYERS if layer in value}
    raise ValueError("must be a file, a list of files to merge, or files as layers: {org: ..., team: ..., agent: ...}")


_TEXT = text(empty=True)
_WORD = text()
_PARAMS = mapped(_TEXT, ANYTHING)
_MOMENT = Reader(_moment, {"type": "string"})


class OutcomeDocument(Document):
    """What the policy's result rules are to make of a result."""

    rules: tuple[str, ...] | None = key(
        listed(_TEXT), "The result rules that apply, all of them, in order; an empty list: none does.", default=None
    )
    equals: Any = key(ANYTHING, "The result is exactly this.", default=None)
    contains: tuple[str, ...] | None = key(WORDS, "Texts that are in the result.", default=None)
    lacks: tuple[str, ...] | None = key(WORDS, "Texts that are not.", default=None)

    def check_whole(self) -> None:
        """Something must be expected."""
        if not given(self):
            raise ValueError("is empty; name rules, equals, contains or lacks")


class ExpectDocument(Document):
    """What is to become of a call."""

    approval: Approval = key(APPROVAL, "auto, approve or block.")
    rule: str | None = key(_TEXT, "The rule that decides, or <default>; under layers org/rule.", default=None)
    risk: RiskLevel | None = key(RISK, "low, medium, high or critical.", default=None)
    floors: tuple[str, ...] | None = key(
        listed(_TEXT), "The rules that cannot be decided for this call, all of them, in order.", default=None
    )
    result: OutcomeDocument | None = key(the(OutcomeDocument), "What becomes of what the tool returns.", default=None)


def _expected(value: object) -> ExpectDocument:
    return read(ExpectDocument, {"approval": value} if isinstance(value, str) else value)


_EXPECT = Reader(_expected, {"anyOf": [_TEXT.schema, ExpectDocument]})


class CallDocument(Document):
    """A call."""

    type: str = key(_WORD, "The tool's name.")
    target: str | None = key(_WORD, "Where it lives; absent: the file's target.", default=None)
    params: dict[str, Any] = key(_PARAMS, "The arguments.", default={})
    agent: str | None = key(_TEXT, "The agent that calls; absent: the file's.", default=None)
    user: str | None = key(_TEXT, "On whose behalf; absent: the file's.", default=None)


class EarlierDocument(CallDocument):
    """A call that was begun earlier in the session, whatever the policy says of it."""

    result: Any = key(ANYTHING, "What it returned.", default=None)


class GivenDocument(Document):
    """The session so far. With it, even empty, the call belongs to a session; without it to none."""

    said: tuple[str, ...] | None = key(WORDS, "What the user said.", default=None)
    calls: tuple[EarlierDocument, ...] = key(listed(the(EarlierDocument)), "What was called before.", default=())


class TestCaseDocument(Document):
    """One call and what is to become of it."""

    __test__ = False

    name: str = key(_WORD, "What holds; unique in the file.")
    call: CallDocument = key(the(CallDocument), "The call.")
    given: GivenDocument | None = key(the(GivenDocument), "The session so far.", default=None)
    now: datetime | None = key(_MOMENT, "When it is judged; absent: the file's now.", default=None)
    result: Any = key(ANYTHING, "What the tool returns, for result rules.", default=None)
    expect: ExpectDocument = key(_EXPECT, "What is to become of it; `expect: auto` is short for {approval: auto}.")

    def check_whole(self) -> None:
        """A result is given where one is expected."""
        returns, asked = "result" in given(self), self.expect.result is not None
        if returns != asked:
            missing, there = ("expect.result", "result") if returns else ("result", "expect.result")
            raise ValueError(f"has {there} but not {missing}: say what the tool returns and what becomes of it")


class StepDocument(Document):
    """What happens next in a session: the user says something, or a tool is called, or both in this order."""

    said: tuple[str, ...] | None = key(WORDS, "What the user says.", default=None)
    type: str | None = key(_WORD, "The tool that is called then.", default=None)
    target: str | None = key(_WORD, "As for a call.", default=None)
    params: dict[str, Any] = key(_PARAMS, "As for a call.", default={})
    agent: str | None = key(_TEXT, "As for a call.", default=None)
    user: str | None = key(_TEXT, "As for a call.", default=None)
    result: Any = key(ANYTHING, "What the tool returns.", default=None)
    denied: bool = key(FLAG, "Whether the person who is asked says no.", default=False)
    expect: ExpectDocument | None = key(
        _EXPECT, "What is to become of the call; absent: anything but block.", default=None
    )

    def check_whole(self) -> None:
        """Something must happen."""
        if self.type is None and set(given(self)) != {"said"}:
            raise ValueError("needs a type (the tool that is called), or said and nothing else")


class SessionDocument(Document):
    """A whole session, call after call, and how often it asks a person."""

    name: str = key(_WORD, "What the work was; unique in the file.")
    now: datetime | None = key(_MOMENT, "When all of it is judged; absent: the file's now.", default=None)
    steps: tuple[StepDocument, ...] = key(listed(the(StepDocument), empty=False), "What happens, in order.")
    approvals: int = key(whole(least=0), "How many of the calls ask a person.")


class TestDocument(Document):
    """A test file."""

    __test__ = False

    policy: Mapping[str, tuple[str, ...]] | None = key(
        Reader(_layers, {}),
        "The policy's file, a list of files to merge, or files as layers; else the file beside it.",
        default=None,
    )
    target: str | None = key(_WORD, "Target of the calls that name none.", default=None)
    agent: str | None = key(_WORD, "Agent of the calls that name none.", default=None)
    user: str | None = key(_WORD, "User of the calls that name none.", default=None)
    now: datetime = key(_MOMENT, "When calls are judged that say nothing else.", default=NOON)
    tests: tuple[TestCaseDocument, ...] = key(
        listed(the(TestCaseDocument)), "Calls, and what is to become of them.", default=()
    )
    sessions: tuple[SessionDocument, ...] = key(
        listed(the(SessionDocument)), "Whole sessions, and how often they ask.", default=()
    )

    def check_whole(self) -> None:
        """There must be something to test, and every call needs a target."""
        if not self.tests and not self.sessions:
            raise ValueError("a test file without tests tests nothing; add tests or sessions")
        targetless = [call.type for call in self._calls() if call.type is not None and call.target is None]
        if self.target is None and targetless:
            raise ValueError(f"the call of {shown(targetless[0])} has no target; give it one, or the file one for all")

    def _calls(self) -> list[CallDocument | StepDocument]:
        calls: list[CallDocument | StepDocument] = []
        for test in self.tests:
            calls += [*(test.given.calls if test.given is not None else ()), test.call]
        return calls + [step for session in self.sessions for step in session.steps]


class TestFile(NamedTuple):
    """A test file that was read.

    Attributes:
        path: The file.
        document: What it says.
        policy: The policy it tests.
        lines: The line of every test and session, by ``("tests", 0)`` and ``("sessions", 0)``.
    """

    path: Path
    document: TestDocument
    policy: Policy
    lines: Mapping[tuple[str, int], int]


def find_test_files(paths: tuple[Path, ...]) -> list[Path]:
    """The test files among some paths and below those that are folders; hidden folders are left out.

    Raises:
        PolicyError: If a path does not exist, or there are none.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob(f"*{SUFFIX}"))
            files = [file for file in inside if not any(part[:1] == "." for part in file.relative_to(path).parts[:-1])]
        elif path.exists():
            files = [path]
        else:
            raise PolicyError(Problem("there is no such file or folder", str(path)))
        found.update({file.resolve(): file for file in files if file.resolve() not in found})
    if not found:
        where = ", ".join(map(str, paths))
        raise PolicyError(Problem(f"no test files (*{SUFFIX}) here or below; write one beside the policy", where))
    return list(found.values())


def read_test_file(path: Path) -> TestFile:
    """Read a test file and the policy it is about.

    Raises:
        PolicyError: If either cannot be read or is not valid; lists every problem with file:line:column.
    """
    written = read_policy_text(path)
    document = check_document(TestDocument, written, str(path))
    places: dict[tuple[str | int, ...], Place] = {}
    parse_yaml(written, str(path), places=places)
    counted = {"tests": len(document.tests), "sessions": len(document.sessions)}
    lines = {(kind, n): places[kind, n].value[0] for kind, count in counted.items() for n in range(count)}
    return TestFile(path, document, _policy(path, document, places), lines)


def _policy(path: Path, document: TestDocument, places: Mapping[tuple[str | int, ...], Place]) -> Policy:
    named = document.policy if document.policy is not None else {"": (_beside(path),)}
    layers: dict[str, Policy] = {}
    for layer, files in named.items():
        for name in files:
            file = path.parent / name
            if not file.is_file():
                place = places[("policy",)].value if ("policy",) in places else (1, 1)
                hint = "" if document.policy is not None else "; name the policy: `policy: FILE`"
                raise PolicyError(Problem(f"there is no policy {shown(name)} beside it{hint}", str(path), *place))
            policy = Policy.from_yaml(file)
            layers[layer] = layers[layer].merge(policy) if layer in layers else policy
    return layers[""] if "" in layers else PolicyHierarchy(**layers).flatten()


def _beside(path: Path) -> str:
    stem = path.name.removesuffix(SUFFIX)
    return next(
        (f"{stem}{end}" for end in (".yaml", ".yml") if (path.parent / f"{stem}{end}").is_file()), f"{stem}.yaml"
    )
