"""What is loaded when; runs without the SDK too."""

import subprocess
import sys

NAMES = ["aegis_guardrails", "govern_agent", "govern_mcp_server", "govern_tool", "govern_tools"]


def python(code: str) -> str:
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    return (finished.stdout + finished.stderr).strip()


def test_the_adapter_loads_the_sdk_only_when_something_of_it_is_used():
    code = "import aegis.adapters.openai_agents as adapter, sys; print('agents' in sys.modules, adapter.__all__)"
    assert python(code) == f"False {NAMES}"


def test_a_missing_extra_is_named_in_one_sentence():
    code = "import sys; sys.modules['agents'] = None\nfrom aegis.adapters.openai_agents import govern_agent"
    assert python(code).endswith(
        "ImportError: govern_agent needs the OpenAI Agents SDK: pip install 'aegis-agents[openai-agents]'"
    )


def test_an_sdk_of_another_version_is_named_with_what_it_lacks():
    code = "import agents.tool as t; del t.invoke_function_tool; from aegis.adapters.openai_agents import govern_tool"
    if "No module named" not in python("import agents"):
        assert "ImportError: govern_tool knows openai-agents 0.24, and " in python(code)


def test_the_adapter_has_no_other_names():
    code = "import aegis.adapters.openai_agents as adapter; adapter.govern_everything"
    assert "has no attribute 'govern_everything'" in python(code)
