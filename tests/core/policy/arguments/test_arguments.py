"""What holds for every condition about an argument: its grammar, a missing parser, and that nothing makes it raise."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_core.policy.arguments import ARGUMENTS, MissingExtra, PathSpec, ShellSpec
from aegis_core.policy.reading import Unfit, keys_of, read

SPECS: dict[str, dict[str, Any]] = {
    "param_path": {"under": ["/data"], "name": "*.csv"},
    "param_sql": {"dialect": "postgres", "statements": ["select"], "tables": ["t"], "where_required": True},
    "param_url": {"schemes": "https", "hosts": ["*.example.com"], "ports": 443, "paths": "/v1/*", "private": False},
    "param_shell": {"programs": ["git", "ls"]},
    "param_email": {"domains": ["example.com"], "addresses": ["a@example.org"]},
}
EXTRAS = {
    "param_sql": ("sql", "sqlglot"),
    "param_url": ("url", "ada_url"),
    "param_shell": ("shell", "tree_sitter_bash"),
}


def condition(name: str, spec: dict[str, Any] | None = None) -> Any:
    grammar, kind = ARGUMENTS[name]
    try:
        return kind(read(grammar, spec or SPECS[name]))
    except MissingExtra as missing:
        pytest.skip(str(missing))


@pytest.fixture(params=ARGUMENTS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_values_that_are_not_text_are_undecided(name: str) -> None:
    class Text(str):
        __slots__ = ()

    test = condition(name)
    for value in (None, True, 0, 1.5, float("nan"), b"ls", [], ["ls"], {}, object(), Text("ls"), type, ...):
        assert test.judge(value) is None
        assert "not text" in test.why(value)


def test_values_past_the_limit_are_undecided_unparsed(name: str) -> None:
    test = condition(name)
    assert test.judge("a" * (test.limit + 1)) is None
    assert str(test.limit) in test.why("a" * (test.limit + 1))


def test_a_parser_that_trips_leaves_it_undecided(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    test = condition(name)

    def trip(_self: Any, _value: str) -> Any:
        raise RecursionError("too deep")

    monkeypatch.setattr(type(test), "_look", trip)
    assert test.judge("ls") is None
    assert test.why("ls") == "the parser failed (RecursionError)"


@settings(max_examples=300)
@given(value=st.text(max_size=300))
def test_any_text_is_judged_without_the_safety_net(value: str) -> None:
    for kind in ARGUMENTS:
        if kind == "param_sql":  # the parser's errors are what the net is for
            continue
        assert condition(kind)._look(value)[0] in (True, False, None)


@settings(max_examples=200)
@given(
    value=st.one_of(st.text(max_size=200), st.text(alphabet="ab.,@/:;-_'\"\\<>|&$(){}[]!#%~* \n\t\0é．／", max_size=60))
)
def test_any_text_is_judged_and_explained_in_one_short_line(value: str) -> None:
    for kind in ARGUMENTS:
        test = condition(kind)
        assert test.judge(value) in (True, False, None)
        why = test.why(value)
        assert why.isprintable()
        assert len(why) < 240


def test_what_is_shown_of_a_value_is_short_and_escaped() -> None:
    long = "x" * 300
    shown = condition("param_email").why(f"a@{long}.com")
    assert long not in shown
    assert "…" in shown
    assert "\\e" in condition("param_shell").why("\x1b[31mls") or "\x1b" not in condition("param_shell").why(
        "\x1b[31mls"
    )


@pytest.mark.parametrize("missing", EXTRAS)
def test_a_missing_parser_is_named_with_its_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    extra, module = EXTRAS[missing]
    for loaded in list(sys.modules):
        if loaded.partition(".")[0] == module or loaded.startswith("aegis_core.policy.arguments."):
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    grammar, kind = ARGUMENTS[missing]
    with pytest.raises(
        MissingExtra, match=rf"^{missing} needs the extra '{extra}': pip install 'aegis-agents\[{extra}\]'$"
    ) as caught:
        kind(read(grammar, SPECS[missing]))
    assert caught.value.extra == extra


def test_importing_the_grammar_loads_no_parser() -> None:
    code = (
        "import sys, aegis_core.policy.arguments;"
        "print(sorted({'sqlglot', 'ada_url', 'tree_sitter', 'tree_sitter_bash'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_key_is_described_for_editors(name: str) -> None:
    for key, declared in keys_of(ARGUMENTS[name][0]).items():
        assert len(declared.doc) > 20, key


def test_a_single_text_stands_for_a_list_of_one() -> None:
    assert read(ShellSpec, {"programs": "git"}).programs == ("git",)
    assert read(PathSpec, {"name": "*.csv"}).name == ("*.csv",)


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("param_path", {}, "asks nothing of the path; name 'under', 'name' or both"),
        ("param_path", {"under": []}, "is an empty list"),
        ("param_path", {"under": [""]}, "must not contain an empty text"),
        ("param_path", {"under": 5}, "must be text or a list of texts, got 5"),
        ("param_path", {"under": ["/data", 5]}, "must be text or a list of texts"),
        ("param_path", {"under": ["/data/../x"]}, "under '/data/../x': it has a '..' segment"),
        ("param_path", {"under": ["~/x"]}, "under '~/x': it begins with '~'"),
        ("param_path", {"under": ["/data", "x"]}, "mixes absolute and relative folders"),
        ("param_path", {"under": ["/data"], "base": "x"}, "base 'x' must be an absolute path"),
        ("param_path", {"under": ["/data"], "base": "/x/.."}, "base '/x/..': it has a '..' segment"),
        (
            "param_path",
            {"under": ["/data"], "style": "windows"},
            "under '/data': it has a slash, and the style is windows",
        ),
        ("param_path", {"name": "[a"}, "'[' at position 1 that is never closed"),
        ("param_path", {"name": "*.csv", "resolve": "yes"}, "resolve: must be true or false, got 'yes'"),
        ("param_path", {"name": "*.csv", "style": "mac"}, "'posix' or 'windows'"),
        ("param_path", {"nam": "*.csv"}, "unknown key 'nam'"),
        ("param_sql", {}, "name 'statements', 'tables' or 'where_required'"),
        ("param_sql", {"functions": ["count"]}, "name 'statements', 'tables' or 'where_required'"),
        ("param_sql", {"statements": ["selct"]}, "'selct' is not a kind of statement; use one of select, insert"),
        (
            "param_sql",
            {"statements": ["select"], "dialect": "oracle"},
            "'postgres', 'mysql', 'sqlite', 'duckdb' or 'tsql'",
        ),
        ("param_sql", {"tables": []}, "is an empty list"),
        ("param_url", {}, "name 'schemes', 'hosts', 'ports', 'paths' or 'private'"),
        ("param_url", {"hosts": ["https://example.com"]}, "'https://example.com' is not a host; write 'example.com'"),
        ("param_url", {"hosts": ["example.com:443"]}, "'example.com:443' is not a host"),
        ("param_url", {"hosts": ["exam*.com"]}, "'exam*.com' is not a host"),
        ("param_url", {"hosts": ["münchen.de"]}, "in its xn-- form"),
        ("param_url", {"schemes": ["https://"]}, "'https://' is not a scheme; write 'https'"),
        ("param_url", {"ports": ["443"]}, "'443' is not a port"),
        ("param_url", {"ports": [True]}, "true is not a port"),
        ("param_url", {"ports": []}, "non-empty list of ports"),
        ("param_url", {"private": "no"}, "must be true or false"),
        ("param_shell", {}, "missing key 'programs'"),
        ("param_shell", {"programs": ["git status"]}, "'git status' is not a program; write its name"),
        ("param_shell", {"programs": ["git*"]}, "'git*' is not a program"),
        ("param_email", {}, "name 'domains', 'addresses' or both"),
        ("param_email", {"domains": ["@example.com"]}, "'@example.com' is not a domain; write 'example.com'"),
        ("param_email", {"domains": ["*"]}, "'*' is not a domain"),
        ("param_email", {"domains": ["exämple.com"]}, "xn--"),
        ("param_email", {"addresses": ["Bob <bob@example.com>"]}, "is not a plain address; write 'name@example.com'"),
    ],
)
def test_a_mistake_in_the_policy_is_said_precisely(name: str, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(Unfit) as caught:
        read(ARGUMENTS[name][0], spec)
    assert message in str(caught.value)


def test_specifications_are_values() -> None:
    spec = read(PathSpec, {"under": ["/data"]})
    assert spec == read(PathSpec, {"under": "/data"})
    assert hash(spec) == hash(read(PathSpec, {"under": "/data"}))
    with pytest.raises(AttributeError):
        spec.under = ("/",)  # type: ignore[misc]
