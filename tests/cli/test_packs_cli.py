"""``aegis packs`` as a shell sees it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aegis import Action, Policy
from aegis.cli import main
from aegis_core.policy.packs import pack_names, pack_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)

    def command(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["aegis", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return command


def test_every_pack_is_listed_with_what_it_is_for_and_what_can_be_filled_in(run: Any) -> None:
    code, out, _ = run("packs", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(pack_names())
    assert (
        "Files: the npm package @modelcontextprotocol/server-filesystem, all of its 14 tools. (--server, --root)" in out
    )
    rows = {row["name"]: row for row in json.loads(run("packs", "list", "--json")[1])}
    assert rows["filesystem"]["options"] == {"server": ["filesystem"], "root": ["/data"]}
    assert rows["memory"]["summary"].endswith("what has the form of a secret is not remembered.")


def test_a_pack_is_shown_as_it_comes_or_filled_in(run: Any) -> None:
    text = pack_path("memory").read_text(encoding="utf-8")
    code, out, err = run("packs", "show", "memory")
    assert (code, err) == (0, "")
    assert text.endswith(out)
    left_out = text.removesuffix(out)
    assert left_out == "" or left_out.startswith("# yaml-language-server: "), (
        "a schema's place is not the same elsewhere"
    )
    assert "yaml-language-server" not in out
    _, out, _ = run("packs", "show", "filesystem", "--root", "/srv/a", "--root", "/srv/b")
    policy = Policy.from_string(out)
    assert policy.evaluate(Action("read_file", "filesystem", {"path": "/srv/b/x"})).permitted
    assert 'path: "/srv/a/reports/q1.csv"' in run("packs", "show", "filesystem", "--root", "/srv/a", "--tests")[1]


@pytest.mark.parametrize(
    ("pack", "options", "parser"),
    [
        ("filesystem", ["--root", '/srv/my "odd", files', "--root", "/b", "--server", "files"], None),
        ("git", ["--root", "/home/me/src/"], None),
        ("memory", ["--server", "notes"], None),
        ("slack", ["--channel", "C42", "--channel", "C43"], None),
        ("email", ["--domain", "*.corp.example", "--root", "/srv/in"], None),
        ("fetch", ["--host", "*.corp.example", "--host", "docs.example.org"], "ada_url"),
        ("playwright", ["--host", "docs.example.org", "--root", "/srv/up"], "ada_url"),
        ("sqlite", ["--server", "shop"], "sqlglot"),
        ("database", [], "sqlglot"),
    ],
)
def test_a_copy_with_other_values_still_passes_its_own_tests(
    run: Any, tmp_path: Path, pack: str, options: list[str], parser: str | None
) -> None:
    if parser is not None:
        pytest.importorskip(parser)
    code, out, err = run("packs", "add", pack, *options, "--to", "new/policies")
    assert (code, err) == (0, ""), out
    assert f"new/policies/{pack}.yaml: added, with its tests beside it\n" in out
    code, out, err = run("test", "new", "--fail-under", "100")
    assert code == 0, out + err
    kept = "".join(
        (tmp_path / "new" / "policies" / f"{pack}{end}").read_text() for end in (".yaml", ".aegis-test.yaml")
    )
    for option in options[1::2]:
        assert json.dumps(option)[1:-1] in kept


def test_what_is_left_as_it_comes_is_said(run: Any) -> None:
    _, out, _ = run("packs", "add", "filesystem", "--server", "files")
    assert "  --root is left as it comes: /data\n" in out
    assert "--server" not in out


def test_tests_that_do_not_hold_with_some_options_are_named(run: Any) -> None:
    code, out, _ = run("packs", "add", "filesystem", "--root", "/")
    assert code == 1
    assert "does not hold with these options: reading outside does not run" in out


def test_nothing_is_replaced_unasked(run: Any, tmp_path: Path) -> None:
    (tmp_path / "git.yaml").write_text("mine")
    code, _, err = run("packs", "add", "git")
    assert (code, err) == (2, "aegis: git.yaml: is there already; --force replaces it\n")
    assert (tmp_path / "git.yaml").read_text() == "mine"
    assert not (tmp_path / "git.aegis-test.yaml").exists()
    assert run("packs", "add", "git", "--force")[0] == 0
    assert (tmp_path / "git.yaml").read_text() != "mine"


@pytest.mark.parametrize("command", ["show", "add"])
@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["gti"], "no pack is called 'gti'; did you mean 'git'?"),
        (["../git"], "no pack is called '../git'"),
        (["git", "--host", "x"], "pack 'git': has no option 'host'; it has root, server"),
        (["git", "--root", "../x"], "under '../x': it has a '..' segment"),
        (["git", "--root", "/x\x1b[31m"], "pack 'git': "),
        (["git", "--root", ""], "must not contain an empty text"),
        (["git", "--server", "\N{CYRILLIC SMALL LETTER A}b"], "pack 'git': "),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence_and_nothing_is_written(
    run: Any, tmp_path: Path, command: str, args: list[str], sentence: str
) -> None:
    code, out, err = run("packs", command, *args)
    assert (code, out) == (2, "")
    assert sentence in err
    assert "\x1b" not in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
