"""Packs as people use them: what each is for and what can be filled in, and a copy of one, with its tests."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from aegis.core.policy import Policy
from aegis.errors import PolicyError
from aegis.workbench.policytest import run_test_file
from aegis.workbench.testfile import SUFFIX, read_test_file
from aegis_core.errors import Problem
from aegis_core.policy.loading import read_policy_text
from aegis_core.policy.packs import FOLDER, fill, options, pack_names, pack_path, unknown_pack
from aegis_core.policy.yamltext import parse_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aegis.workbench.policytest import Case

__all__ = ["Pack", "add_pack", "all_packs", "filled_pack", "read_pack"]

_SCHEMA = re.compile(r"\A# yaml-language-server:.*\n")
"""The line that names the schema for editors, from where the pack lies: elsewhere it would lead nowhere."""


class Pack(NamedTuple):
    """A pack as it comes.

    Attributes:
        name: Its name.
        text: Its policy's text.
        tests: The text of its tests.
        options: What can be filled in, and with what it is filled.
    """

    name: str
    text: str
    tests: str
    options: Mapping[str, tuple[str, ...]]

    @property
    def summary(self) -> str:
        """What it is for: the comment it begins with."""
        head = _SCHEMA.sub("", self.text).partition("\nversion:")[0]
        return " ".join(line.lstrip("# ") for line in head.splitlines())


def all_packs() -> list[Pack]:
    """Every pack, by name."""
    return [read_pack(name) for name in pack_names()]


def read_pack(name: str) -> Pack:
    """A pack by its name.

    Raises:
        PolicyError: If there is none of this name.
    """
    if name not in pack_names():
        raise PolicyError(Problem(unknown_pack(name), "packs"))
    text = read_policy_text(pack_path(name))
    standing = {option: tuple(parse_yaml(value, name).data) for option, value in options(text).items()}
    return Pack(name, text, read_policy_text(FOLDER / f"{name}{SUFFIX}"), standing)


def filled_pack(pack: Pack, given: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """The text of a pack and of its tests with these options filled in.

    Raises:
        PolicyError: If it has no such option, or the policy would not be valid with it.
    """
    try:
        text = fill(pack.text, given)
    except ValueError as error:
        raise PolicyError(Problem(f"{error}", f"pack {pack.name!r}")) from None
    try:
        Policy.from_string(text, source=pack.name)
    except PolicyError as error:
        # An option stands in several rules, and the same is wrong with it in all of them.
        raise PolicyError(Problem(error.problems[0].message, f"pack {pack.name!r}")) from None
    return _SCHEMA.sub("", text), _filled_tests(pack, given)


def add_pack(pack: Pack, given: Mapping[str, Sequence[str]], folder: Path, *, replace: bool) -> tuple[Path, list[Case]]:
    """Copy a pack and its tests into a folder, and run the tests there.

    Args:
        pack: The pack.
        given: Its options.
        folder: Where to; made if it is not there.
        replace: Whether files of the same name may be replaced.

    Returns:
        The policy's file, and the tests that do not hold with these options.

    Raises:
        PolicyError: If the options do not fit, or a file is there already.
    """
    text, tests = filled_pack(pack, given)
    policy, beside = folder / f"{pack.name}.yaml", folder / f"{pack.name}{SUFFIX}"
    there = [path for path in (policy, beside) if path.exists()]
    if there and not replace:
        raise PolicyError([Problem("is there already; --force replaces it", str(path)) for path in there])
    folder.mkdir(parents=True, exist_ok=True)
    policy.write_text(text, encoding="utf-8")
    beside.write_text(tests, encoding="utf-8")
    return policy, [case for case in run_test_file(read_test_file(beside)).cases if not case.ok]


def _filled_tests(pack: Pack, given: Mapping[str, Sequence[str]]) -> str:
    """The tests speak of what is allowed as it comes; they are to speak of the first that is allowed here."""
    text = pack.tests
    for option, values in given.items():
        # A pattern stands for a host below it, a folder for what lies in it.
        quoted = json.dumps(values[0].replace("*", "www").rstrip("/"), ensure_ascii=False)
        if option == "server":
            text = _replaced(r"^target: .*(?= # --server$)", f"target: {quoted}", text)
        else:
            for standing in pack.options[option]:
                # In the tests these stand in double quotes, in which JSON's escapes mean what they mean in YAML.
                text = _replaced(rf"(?<=[\"@/]){re.escape(standing)}(?!\w)", quoted[1:-1], text)
    return text


def _replaced(pattern: str, replacement: str, text: str) -> str:
    return re.sub(pattern, lambda _: replacement, text, flags=re.MULTILINE)
