"""Ready-made policies that come with Aegis: where they are, and how their options are filled in.

An option of a pack is a line of its file, a list with a mark behind it: ``under: [/data] # --root``. What stands there
is the value it has until another is given, so every pack is a policy as it is.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_core.policy.wording import close_to, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["FOLDER", "fill", "options", "pack_names", "pack_path", "unknown_pack"]

FOLDER = Path(__file__).parents[2] / "aegis" / "packs"
"""Where they are. They are data: found beside this package, whoever else may own the import name ``aegis``."""

_OPTION = re.compile(
    r"^(?P<key> *(?:- )?[a-z_]+: )(?P<value>\[[^\[\]\n]*\])(?P<mark> # --(?P<name>[a-z]+))$", re.MULTILINE
)


def pack_names() -> tuple[str, ...]:
    """The names of all packs, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml") if "." not in path.stem))


def pack_path(name: str) -> Path:
    """A pack's file."""
    return FOLDER / f"{name}.yaml"


def unknown_pack(name: str) -> str:
    """What to say of a name that no pack has."""
    guess = close_to(name, pack_names())
    hint = f"did you mean {guess!r}?" if guess else f"there are {', '.join(pack_names())}"
    return f"no pack is called {shown(name)}; {hint}"


def options(text: str) -> dict[str, str]:
    """A pack's options, by name, and the value each has in its text."""
    return {found["name"]: found["value"] for found in _OPTION.finditer(text)}


def fill(text: str, given: Mapping[str, Sequence[str]]) -> str:
    """A pack's text with these options filled in; every line stays where it was.

    Raises:
        ValueError: If it has no such option.
    """
    known = options(text)
    for name in given:
        if name not in known:
            has = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise ValueError(f"has no option {name!r}; {has}")

    def filled(found: re.Match[str]) -> str:
        values = given.get(found["name"])
        # JSON's quoting is YAML's double quoting.
        written = found["value"] if values is None else json.dumps(list(values), ensure_ascii=False)
        return f"{found['key']}{written}{found['mark']}"

    return _OPTION.sub(filled, text)
