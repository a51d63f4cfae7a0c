"""The shim of examples/custom_shim.py passes the conformance list, wrapping tools and around a loop's hooks."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aegis.errors import ActionRefused
from tests.integrations.conformance import Answer, Behaviour, Door, conformance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aegis import Runtime


def _shim() -> Any:
    path = Path(__file__).parents[2] / "examples" / "custom_shim.py"
    spec = spec_from_file_location("custom_shim", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


SHIM = _shim()


class Wrapped(Door):
    target = "custom"

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        governed = SHIM.govern_tool(SHIM.Tool("send_note", tool), runtime)
        try:
            return Answer(await SHIM.answer(governed, dict(arguments)))
        except Exception as error:  # noqa: BLE001 - what came back is what is tested
            return Answer(error=error)


class Hooked(Door):
    """A loop that runs the tool itself, with the arguments it has: an approver's edits cannot be passed on."""

    target = "custom"
    edits = False

    async def call(self, runtime: Runtime, tool: Callable[..., Any], arguments: Mapping[str, Any]) -> Answer:
        hooks = SHIM.Hooks(runtime)
        try:
            await hooks.before("1", "send_note", dict(arguments))
        except ActionRefused as refused:
            return Answer(str(refused))
        except Exception as error:  # noqa: BLE001 - what came back is what is tested
            return Answer(error=error)
        try:
            value = await tool(**arguments)
        except BaseException as error:
            await hooks.failed("1", error)
            if not isinstance(error, Exception):
                raise
            return Answer(error=error)
        await hooks.after("1", value)
        return Answer(str(value))


@pytest.mark.parametrize(
    ("door", "behaviour"),
    [
        pytest.param(door, behaviour, id=f"{type(door).__name__}-{behaviour.__name__}")
        for door in (Wrapped(), Hooked())
        for behaviour in conformance(door)
    ],
)
async def test_custom(door: Door, behaviour: Behaviour):
    await behaviour(door)
