"""``include:``: packs and files whose rules come after the file's own."""

from __future__ import annotations

import pickle
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis import Action, Policy, Runtime
from aegis.errors import PolicyError
from aegis.runtime.watcher import PolicyWatcher
from aegis.testing import MemoryAuditLogger
from aegis_core.policy.packs import fill, options, pack_names, pack_path
from aegis_core.record import Event

if TYPE_CHECKING:
    from pathlib import Path


def rule(name: str, approval: str, tool: str = "*") -> str:
    return f'  - {{name: {name}, match: {{type: "{tool}"}}, approval: {approval}}}\n'


def write(path: Path, *rules: str, include: str = "", more: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = f"include: {include}\n" if include else ""
    path.write_text(f'version: "1"\n{body}{more}rules:\n' + ("".join(rules) or "  []\n"), encoding="utf-8")
    return path


def decided(policy: Policy, tool: str, **params: Any) -> tuple[str, str]:
    decision = policy.evaluate(Action(tool, "x", params))
    return decision.approval.value, decision.matched_rule


def problem(path: Path) -> str:
    with pytest.raises(PolicyError) as caught:
        Policy.from_yaml(path)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_included_rules_come_after_the_files_own_in_the_order_they_are_named(tmp_path: Path) -> None:
    write(tmp_path / "one.yaml", rule("one", "auto", "read_*"), rule("one_all", "approve", "write_*"))
    write(tmp_path / "below" / "two.yaml", rule("two", "block", "write_*"), include="three.yaml")
    write(tmp_path / "below" / "three.yaml", rule("three", "auto", "delete_*"))
    root = write(tmp_path / "p.yaml", rule("own", "block", "read_secret"), include="[one.yaml, below/two.yaml]")
    policy = Policy.from_yaml(root)
    assert [r.name for r in policy.rules] == ["own", "one", "one_all", "two", "three"]
    assert decided(policy, "read_secret") == ("block", "own")
    assert decided(policy, "read_file") == ("auto", "one")
    assert decided(policy, "write_file") == ("approve", "one_all")
    assert decided(policy, "delete_file") == ("auto", "three")
    assert [path.rpartition("/")[2] for path in policy.sources] == ["p.yaml", "one.yaml", "two.yaml", "three.yaml"]
    assert pickle.loads(pickle.dumps(policy)).digest == policy.digest


def test_the_defaults_of_an_included_file_do_not_count(tmp_path: Path) -> None:
    write(tmp_path / "open.yaml", more="defaults: {approval: auto}\n")
    assert decided(Policy.from_yaml(write(tmp_path / "a.yaml", include="open.yaml")), "any") == ("block", "<default>")
    asks = write(tmp_path / "b.yaml", include="open.yaml", more="defaults: {approval: approve}\n")
    assert decided(Policy.from_yaml(asks), "any") == ("approve", "<default>")


def test_a_file_that_two_others_include_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", rule("base", "auto"))
    for name in ("one", "two"):
        write(tmp_path / f"{name}.yaml", rule(name, "block", f"{name}_*"), include="./base.yaml")
    policy = Policy.from_yaml(write(tmp_path / "p.yaml", include="[one.yaml, two.yaml]"))
    assert [r.name for r in policy.rules] == ["one", "base", "two"]


WRONG = {
    "[filesistem]": "p.yaml:2:11: no pack is called 'filesistem'; did you mean 'filesystem'?",
    "[zzz]": "p.yaml:2:11: no pack is called 'zzz'; there are ",
    "zzz": "p.yaml:2:10: no pack is called 'zzz'",
    "[Fetch]": "p.yaml:2:11: include: 'Fetch' is not a pack's name; for a file, write its name with .yaml",
    "[gone.yaml]": "p.yaml:2:11: 'gone.yaml' cannot be read: No such file or directory",
    "[a/b]": "'a/b' does not end in .yaml or .yml",
    "[../p.yaml]": "must lead to a file in this file's folder or below it",
    "[/etc/p.yaml]": "must lead to a file in this file's folder or below it",
    '["~/p.yaml"]': "must lead to a file in this file's folder or below it",
    '["a/../../p.yaml"]': "must lead to a file in this file's folder or below it",
    '["c:/p.yaml"]': "must lead to a file in this file's folder or below it",
    "[p.yaml]": "p.yaml:2:11: 'p.yaml' includes itself: p.yaml -> p.yaml",
    "[round.yaml]": "round.yaml:2:10: 'p.yaml' includes itself: p.yaml -> round.yaml -> p.yaml",
    "[sub/out.yaml]": "p.yaml:2:11: 'sub/out.yaml' leads out of the folder of the file that includes it",
    "[sub/x.yaml, ./sub/x.yaml]": "p.yaml:2:23: './sub/x.yaml' is included twice; remove one of the two",
    "[same.yaml]": "p.yaml:5:12: rule 'own': same.yaml:3, which is included, has a rule of this name too; rename one",
    "[bad.yaml]": "bad.yaml:4:5: rule 'r': unknown key 'aproval'; did you mean 'approval'?",
    "[deep0.yaml]": "deep7.yaml:2:10: more than 8 files deep or 100 in all is too much to include",
    "[]": "p.yaml:2:10: include is empty; name a pack or a file, or leave it out",
    "": "p.yaml:2:9: include is empty",
    "[{pack: filesystem, rot: /x}]": "unknown key 'rot'; did you mean 'root'?",
    "[{pack: memory, root: /x}]": "p.yaml:2:11: pack 'memory' has no option 'root'; it has server",
    "[{pack: filesystem, root: ../x}]": "p.yaml:2:11: pack 'filesystem': ",
    "[{root: /x}]": "include[0] must name exactly one of pack and file",
    "[{pack: fetch, file: a.yaml}]": "include[0] must name exactly one of pack and file",
    "[{file: a.yaml, root: /x}]": "include: root is an option of packs, and this is a file",
}


@pytest.mark.parametrize("include", WRONG)
def test_what_is_wrong_with_an_include_is_said_with_its_place(tmp_path: Path, include: str) -> None:
    write(tmp_path / "round.yaml", include="p.yaml")
    write(tmp_path / "sub" / "x.yaml", rule("x", "auto"))
    write(tmp_path / "same.yaml", rule("own", "auto"))
    (tmp_path / "bad.yaml").write_text('version: "1"\nrules:\n  - name: r\n    aproval: auto\n')
    for number in range(9):
        write(tmp_path / f"deep{number}.yaml", include=f"deep{number + 1}.yaml")
    outside = write(tmp_path.parent / f"{tmp_path.name}-outside.yaml", rule("out", "auto"))
    (tmp_path / "sub" / "out.yaml").symlink_to(outside)
    root = tmp_path / "p.yaml"
    root.write_text(f'version: "1"\ninclude: {include}\nrules:\n  # the only one\n  - {{name: own, approval: block}}\n')
    assert WRONG[include] in problem(root)


def test_a_policy_that_is_not_a_file_includes_packs_and_no_files() -> None:
    assert "memory_reads" in [r.name for r in Policy.from_string('version: "1"\ninclude: memory').rules]
    assert Policy.from_dict({"version": "1", "include": ["memory"]}).rules
    for text in ("a.yaml", "./a.yaml"):
        with pytest.raises(PolicyError, match="a policy that is not a file has no folder to find it in"):
            Policy.from_string(f'version: "1"\ninclude: [{text}]')
        with pytest.raises(PolicyError, match="a policy that is not a file has no folder to find it in"):
            Policy.from_dict({"version": "1", "include": [text]})


def test_a_packs_options_are_filled_in_where_they_stand(tmp_path: Path) -> None:
    root = tmp_path / "p.yaml"
    root.write_text('version: "1"\ninclude:\n  - pack: filesystem\n    root: ["/srv/my \\"files\\"", /home/me]\n')
    policy = Policy.from_yaml(root)
    asked = ('/srv/my "files"/a', "/home/me/a", "/data/a")
    answers = [policy.evaluate(Action("read_text_file", "filesystem", {"path": path})).permitted for path in asked]
    assert answers == [True, True, False]
    text = pack_path("filesystem").read_text(encoding="utf-8")
    assert options(text)["root"] == "[/data]"
    assert fill(text, {}) == text
    assert len(fill(text, {"root": ["/a\n- x"]}).splitlines()) == len(text.splitlines()), "lines stay where they are"


def test_why_names_the_file_and_line_of_every_rule_where_there_are_several_files(tmp_path: Path) -> None:
    write(tmp_path / "one.yaml", rule("one", "auto", "read_*"))
    policy = Policy.from_yaml(
        write(tmp_path / "p.yaml", rule("own", "block", "*_secret"), include="[one.yaml, memory]")
    )
    said = str(policy.explain(Action("read_file", "x")))
    assert f"true      one [auto] ({tmp_path}/one.yaml:3)" in said
    assert f"({pack_path('memory')}:" in str(policy.explain(Action("open_nodes", "memory")))
    assert (
        "("
        not in str(
            Policy.from_string('version: "1"\nrules: [{name: a, approval: auto}]').explain(Action("a", "b"))
        ).split("\n")[1]
    )
    merged = Policy.from_yaml(tmp_path / "one.yaml").merge(Policy.from_string('version: "1"', source="mine"))
    assert f"({tmp_path}/one.yaml:3)" in str(merged.explain(Action("read_file", "x")))


def test_the_digest_covers_what_is_included(tmp_path: Path) -> None:
    other = write(tmp_path / "one.yaml", rule("one", "auto", "read_*"))
    root = write(tmp_path / "p.yaml", include="one.yaml")
    before = Policy.from_yaml(root).digest
    write(other, rule("one", "block", "read_*"))
    assert Policy.from_yaml(root).digest != before


NAMES = st.sampled_from(["read_a", "read_b", "write_a", "drop"])
RULES = st.lists(
    st.tuples(st.sampled_from(["auto", "approve", "block"]), st.sampled_from(["read_*", "*_a", "drop", "*"])),
    max_size=3,
)
DEFAULTS = st.sampled_from(["", "defaults: {approval: auto}\n", "defaults: {approval: approve}\n"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(st.tuples(RULES, DEFAULTS), min_size=1, max_size=4), NAMES)
def test_including_is_merging(tmp_path: Path, files: list[tuple[list[tuple[str, str]], str]], name: str) -> None:
    for number, (rules, defaults) in enumerate(files):
        written = [rule(f"r{number}_{at}", approval, tool) for at, (approval, tool) in enumerate(rules)]
        write(tmp_path / f"f{number}.yaml", *written, more=defaults)
    own, *others = (tmp_path / f"f{number}.yaml" for number in range(len(files)))
    merged = Policy.from_yaml(own)
    for other in others:
        merged = merged.merge(Policy.from_yaml(other))
    if others:
        text = own.read_text().replace(
            'version: "1"\n', f'version: "1"\ninclude: [{", ".join(path.name for path in others)}]\n'
        )
        own.write_text(text)
    assert decided(Policy.from_yaml(own), name) == decided(merged, name)


# --- reloading -------------------------------------------------------------------------------------------------------


@pytest.fixture
def watched(tmp_path: Path) -> tuple[Runtime, PolicyWatcher, Path]:
    write(tmp_path / "one.yaml", rule("one", "block", "read_*"), rule("all", "auto"))
    root = write(tmp_path / "p.yaml", include="one.yaml")
    runtime = Runtime(policy=Policy.from_yaml(root), audit_logger=MemoryAuditLogger())
    return runtime, PolicyWatcher(runtime, root), tmp_path


def refused(runtime: Runtime) -> list[Any]:
    records: list[Any] = runtime.audit_logger.records  # type: ignore[attr-defined]
    return [r.data["problems"] for r in records if isinstance(r, Event) and r.kind == "policy_reload_refused"]


def test_a_change_of_an_included_file_is_put_in_force(watched: tuple[Runtime, PolicyWatcher, Path]) -> None:
    runtime, watcher, folder = watched
    assert watcher.poll() is None
    write(folder / "one.yaml", rule("one", "approve", "read_*"))
    assert watcher.poll() is None, "one look proves nothing"
    assert watcher.poll() is not None
    assert decided(runtime.policy, "read_a") == ("approve", "one")
    assert watcher.poll() is None


def test_a_file_that_is_included_from_now_on_must_look_the_same_twice_too(
    watched: tuple[Runtime, PolicyWatcher, Path],
) -> None:
    runtime, watcher, folder = watched
    watcher.poll()
    whole = write(folder / "two.yaml", rule("two", "block"), rule("late", "auto")).read_text()
    (folder / "two.yaml").write_text(whole.partition("  - {name: two")[0] + "  - {name: late, approval: auto}\n")
    write(folder / "p.yaml", include="[two.yaml]")
    polls = [watcher.poll()]
    polls.append(watcher.poll())  # the policy agrees with itself; now the new file is looked at
    (folder / "two.yaml").write_text(whole)  # it was half written
    polls += [watcher.poll(), watcher.poll()]
    assert polls[:3] == [None] * 3
    assert decided(runtime.policy, "read_a") == ("block", "two")


def test_an_included_file_that_is_broken_or_missing_leaves_the_policy_in_force_and_says_so_once(
    watched: tuple[Runtime, PolicyWatcher, Path],
) -> None:
    runtime, watcher, folder = watched
    watcher.poll()
    before = runtime.policy
    (folder / "one.yaml").write_text("rules: [")
    for _ in range(4):
        assert watcher.poll() is None
    assert runtime.policy is before
    assert len(refused(runtime)) == 1
    write(folder / "p.yaml", include="later.yaml")
    for _ in range(4):
        assert watcher.poll() is None
    assert [re.sub(r".*: ", "", problems[0]) for problems in refused(runtime)[1:]] == ["No such file or directory"]
    write(folder / "later.yaml", rule("later", "auto"))
    for _ in range(4):
        watcher.poll()
    assert decided(runtime.policy, "read_a") == ("auto", "later")
    (folder / "one.yaml").unlink()
    assert watcher.poll() is None


def test_there_is_a_pack_for_every_well_known_server() -> None:
    assert {"filesystem", "git", "fetch", "memory", "sqlite", "playwright", "database", "email", "slack"} <= set(
        pack_names()
    )
