"""Importing an adapter loads no framework; using one that is not installed gives one sentence that names the extra."""

import subprocess
import sys

import pytest

FRAMEWORKS = {
    "langchain": (["langchain", "langchain_core", "langgraph"], "AegisMiddleware"),
    "llamaindex": (["llama_index", "workflows"], "govern_tool"),
}


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("adapter", FRAMEWORKS)
def test_importing_an_adapter_loads_no_framework(adapter: str):
    packages, _ = FRAMEWORKS[adapter]
    program = f"import sys, aegis.adapters.{adapter}; print([name for name in {packages} if name in sys.modules])"
    assert run(program) == "[]"


@pytest.mark.parametrize("adapter", FRAMEWORKS)
def test_a_missing_framework_is_one_sentence_that_names_the_extra(adapter: str):
    packages, name = FRAMEWORKS[adapter]
    program = f"""
import sys
sys.modules.update(dict.fromkeys({packages}))  # as if they were not installed
try:
    from aegis.adapters.{adapter} import {name}
except ImportError as error:
    print(error)
"""
    said = run(program)
    assert f"pip install 'aegis-agents[{adapter}]'" in said
    assert "\n" not in said
