"""What a ``*.aegis-test.yaml`` file may say, and reading one. Judging its calls is `policytest`'s business."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from aegis.core.hierarchy import PolicyHierarchy
from aegis.core.policy import Policy
from aegis.errors import PolicyError
from aegis_core.errors import Problem
from aegis_core.policy.arguments.verdict import Words
from aegis_core.policy.checking import check_document
from aegis_core.policy.document import AnyApproval, AnyRisk, Given
from aegis_core.policy.loading import read_policy_text
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


def _moment(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f'must be a time in quotes, such as "2026-03-24T10:00:00+01:00", got {shown(value)}')
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f'must be a time such as "2026-03-24T10:00:00+01:00", got {shown(value)}') from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _expected(value: object) -> object:
    return {"approval": value} if isinstance(value, str) else value


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _layers(value: object) -> object:
    """One file, files to merge, or files by layer: always files by layer, or under None, files to merge."""
    if isinstance(value, str):
        return {"": (value,)}
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
        return {"": tuple(value)}
    names = list(value.values()) if isinstance(value, Mapping) and set(value) <= set(_LAYERS) else []
    if isinstance(value, Mapping) and names and all(isinstance(name, str) for name in names):
        return {layer: (value[layer],) for layer in _LAYERS if layer in value}
    raise ValueError("must be a file, a list of files to merge, or files as layers: {org: ..., team: ..., agent: ...}")


Moment = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=str)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class OutcomeDocument(_Strict):
    """What the policy's result rules are to make of a result."""

    rules: Annotated[tuple[str, ...], BeforeValidator(_listed)] | None = Field(
        None, description="The result rules that apply, all of them, in order; an empty list: none does."
    )
    equals: Any = Field(None, description="The result is exactly this.")
    contains: Words | None = Field(None, description="Texts that are in the result.")
    lacks: Words | None = Field(None, description="Texts that are not.")

    @model_validator(mode="after")
    def _something(self) -> OutcomeDocument:
        if not self.model_fields_set:
            raise ValueError("is empty; name rules, equals, contains or lacks")
        return self


class ExpectDocument(_Strict):
    """What is to become of a call."""

    approval: AnyApproval = Field(description="auto, approve or block.")
    rule: str | None = Field(None, description="The rule that decides, or <default>; under layers org/rule.")
    risk: AnyRisk | None = Field(None, description="low, medium, high or critical.")
    floors: Annotated[tuple[str, ...], BeforeValidator(_listed)] | None = Field(
        None, description="The rules that cannot be decided for this call, all of them, in order."
    )
    result: OutcomeDocument | None = Field(None, description="What becomes of what the tool returns.")


Expect = Annotated[ExpectDocument, BeforeValidator(_expected, json_schema_input_type=str | ExpectDocument)]


class CallDocument(_Strict):
    """A call."""

    type: str = Field(min_length=1, description="The tool's name.")
    target: str | None = Field(None, min_length=1, description="Where it lives; absent: the file's target.")
    params: dict[str, Any] = Field(default={}, description="The arguments.")
    agent: str | None = Field(None, description="The agent that calls; absent: the file's.")
    user: str | None = Field(None, description="On whose behalf; absent: the file's.")


class EarlierDocument(CallDocument):
    """A call that was begun earlier in the session, whatever the policy says of it."""

    result: Any = Field(None, description="What it returned.")


class GivenDocument(_Strict):
    """The session so far. With it, even empty, the call belongs to a session; without it to none."""

    said: Words | None = Field(None, description="What the user said.")
    calls: Annotated[tuple[EarlierDocument, ...], BeforeValidator(_listed)] = Field(
        default=(), description="What was called before."
    )


class TestCaseDocument(_Strict):
    """One call and what is to become of it."""

    __test__ = False

    name: str = Field(min_length=1, description="What holds; unique in the file.")
    call: CallDocument = Field(description="The call.")
    given: Annotated[GivenDocument | None, Given] = Field(default=None, description="The session so far.")
    now: Moment | None = Field(None, description="When it is judged; absent: the file's now.")
    result: Any = Field(None, description="What the tool returns, for result rules.")
    expect: Expect = Field(description="What is to become of it; `expect: auto` is short for {approval: auto}.")

    @model_validator(mode="after")
    def _result_both_ways(self) -> TestCaseDocument:
        given, asked = "result" in self.model_fields_set, self.expect.result is not None
        if given != asked:
            missing, there = ("expect.result", "result") if given else ("result", "expect.result")
            raise ValueError(f"has {there} but not {missing}: say what the tool returns and what becomes of it")
        return self


class StepDocument(_Strict):
    """What happens next in a session: the user says something, or a tool is called, or both in this order."""

    said: Words | None = Field(None, description="What the user says.")
    type: str | None = Field(None, min_length=1, description="The tool that is called then.")
    target: str | None = Field(None, min_length=1, description="As for a call.")
    params: dict[str, Any] = Field(default={}, description="As for a call.")
    agent: str | None = Field(None, description="As for a call.")
    user: str | None = Field(None, description="As for a call.")
    result: Any = Field(None, description="What the tool returns.")
    denied: bool = Field(default=False, description="Whether the person who is asked says no.")
    expect: Annotated[Expect | None, Given] = Field(
        default=None, description="What is to become of the call; absent: anything but block."
    )

    @model_validator(mode="after")
    def _something(self) -> StepDocument:
        if self.type is None and (self.said is None or self.model_fields_set != {"said"}):
            raise ValueError("needs a type (the tool that is called), or said and nothing else")
        return self


class SessionDocument(_Strict):
    """A whole session, call after call, and how often it asks a person."""

    name: str = Field(min_length=1, description="What the work was; unique in the file.")
    now: Moment | None = Field(None, description="When all of it is judged; absent: the file's now.")
    steps: Annotated[tuple[StepDocument, ...], BeforeValidator(_listed)] = Field(
        min_length=1, description="What happens, in order."
    )
    approvals: int = Field(ge=0, description="How many of the calls ask a person.")


class TestDocument(_Strict):
    """A test file."""

    __test__ = False

    policy: Annotated[dict[str, tuple[str, ...]] | None, BeforeValidator(_layers), Given] = Field(
        default=None,
        description="The policy's file, a list of files to merge, or files as layers; else the file beside it.",
    )
    target: str | None = Field(None, min_length=1, description="Target of the calls that name none.")
    agent: str | None = Field(None, min_length=1, description="Agent of the calls that name none.")
    user: str | None = Field(None, min_length=1, description="User of the calls that name none.")
    now: Moment = Field(default=NOON, description="When calls are judged that say nothing else.")
    tests: Annotated[tuple[TestCaseDocument, ...], BeforeValidator(_listed)] = Field(
        default=(), description="Calls, and what is to become of them."
    )
    sessions: Annotated[tuple[SessionDocument, ...], BeforeValidator(_listed)] = Field(
        default=(), description="Whole sessions, and how often they ask."
    )

    @model_validator(mode="after")
    def _has_cases(self) -> TestDocument:
        if not self.tests and not self.sessions:
            raise ValueError("a test file without tests tests nothing; add tests or sessions")
        targetless = [call.type for call in self._calls() if call.type is not None and call.target is None]
        if self.target is None and targetless:
            raise ValueError(f"the call of {shown(targetless[0])} has no target; give it one, or the file one for all")
        return self

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
    text = read_policy_text(path)
    document = check_document(TestDocument, text, str(path))
    places: dict[tuple[str | int, ...], Place] = {}
    parse_yaml(text, str(path), places=places)
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
