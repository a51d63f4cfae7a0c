"""LangChain's own suite for tools, run on governed ones."""

from typing import Any

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("langchain_tests")

from langchain_core.tools import BaseTool, tool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from aegis import Runtime
from aegis.adapters.langchain import govern_tool
from aegis.testing import MemoryAuditLogger
from tests.langchain.scripted import ALLOW_ALL


@tool
def multiply(a: int, b: int = 2) -> int:
    """Multiply two numbers."""
    return a * b


@tool(response_format="content_and_artifact")
async def draw(shape: str) -> tuple[str, bytes]:
    """Draw a shape."""
    return f"a {shape}", b"<svg/>"


class Divide(BaseTool):
    name: str = "divide"
    description: str = "Divide two numbers."
    precision: int = 2

    def _run(self, a: float, b: float) -> float:
        return round(a / b, self.precision)


class _Governed:
    original: BaseTool
    example: dict[str, Any]

    @property
    def tool_constructor(self) -> BaseTool:
        return govern_tool(self.original, Runtime(policy=ALLOW_ALL, audit_logger=MemoryAuditLogger()))

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return self.example


class TestFunction(_Governed, ToolsUnitTests):
    original, example = multiply, {"a": 3}


class TestClass(_Governed, ToolsUnitTests):
    original, example = Divide(precision=1), {"a": 3, "b": 2}


class TestFunctionAtWork(_Governed, ToolsIntegrationTests):
    original, example = multiply, {"a": 3}


class TestClassAtWork(_Governed, ToolsIntegrationTests):
    original, example = Divide(precision=1), {"a": 3, "b": 2}


class TestCoroutine(_Governed, ToolsUnitTests):
    original, example = draw, {"shape": "circle"}
