"""What a user gets from ``pip install``: built, installed and imported for real, in environments of their own."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FRAMEWORKS_AND_PARSERS = {
    "ada_url",
    "agents",
    "langchain_core",
    "llama_index",
    "mcp",
    "sqlglot",
    "starlette",
    "tree_sitter",
}


class Environment:
    """A virtual environment, and the ways a user starts things in it."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=os.name != "nt")
        self.folder = folder
        self.scripts = folder / ("Scripts" if os.name == "nt" else "bin")

    def install(self, *what: str) -> None:
        _run([sys.executable, "-m", "pip", "--python", self._python, "install", "--quiet", *what], cwd=self.folder)

    def python(self, *arguments: str) -> str:
        return _run([self._python, *arguments], cwd=self.folder)

    def aegis(self, *arguments: str) -> str:
        return _run([str(self.scripts / "aegis"), *arguments], cwd=self.folder)

    @property
    def _python(self) -> str:
        return str(self.scripts / "python")


def _run(command: list[str], *, cwd: Path) -> str:
    # Away from the checkout and its PYTHONPATH: only what was installed can be imported.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", ".", str(ROOT)], cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel, with no extra."""
    environment = Environment(tmp_path_factory.mktemp("bare") / "venv")
    environment.install(str(wheel))
    return environment


def test_every_package_in_the_wheel_says_that_it_is_typed(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert {"aegis", "aegis_core", "aegis_mcp"} <= packages
    assert all({f"{package}/__init__.py", f"{package}/py.typed"} <= names for package in packages)


def test_the_wheel_has_the_license_and_no_tests(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "typings/", "integrations/", "benchmarks/"))]


def test_importing_aegis_loads_no_framework_no_parser_and_no_web_stack(bare: Environment):
    loaded = bare.python("-c", "import sys, aegis; print(*{name.partition('.')[0] for name in sys.modules})").split()
    assert "aegis" in loaded
    assert not FRAMEWORKS_AND_PARSERS.intersection(loaded)


def test_the_packs_are_in_the_wheel_with_their_tests_and_a_policy_may_include_one(wheel: Path, bare: Environment):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("aegis/packs/")}
    policies = {name for name in names if not name.endswith(".aegis-test.yaml")}
    assert len(policies) >= 9
    assert names - policies == {name.replace(".yaml", ".aegis-test.yaml") for name in policies}
    listed = {line.split()[0] for line in bare.aegis("packs", "list").splitlines()}
    assert listed == {Path(name).stem for name in policies}
    (bare.folder / "policy.yaml").write_text('version: "1"\ninclude: [memory]\n', encoding="utf-8")
    assert "memory_reads" in bare.aegis("check", "policy.yaml", "read_graph", "memory", "--expect", "auto")
    assert "1 approval" in bare.aegis(
        "test", str(next(bare.folder.rglob("memory.aegis-test.yaml"))), "--fail-under", "100"
    )


def test_both_ways_to_start_the_command_line_tell_the_version(wheel: Path, bare: Environment):
    version = wheel.name.split("-")[1]
    assert version in bare.aegis("--version")
    assert bare.aegis("--version") == bare.python("-m", "aegis", "--version")


def test_the_mcp_adapter_is_importable_without_the_sdk_and_names_the_extra_when_it_is_used(bare: Environment):
    said = bare.python(
        "-c",
        """
from aegis import Policy, Runtime
from aegis.adapters.mcp import govern_session
from aegis.testing import MemoryAuditLogger

policy = Policy.from_string('version: "1"\\nrules: []')
with Runtime(policy=policy, audit_logger=MemoryAuditLogger()) as runtime:
    try:
        govern_session(object(), runtime, server="filesystem")
    except ImportError as error:
        print(error)
""",
    )
    assert "aegis-agents[mcp]" in said
    assert len(said.splitlines()) == 1


def test_an_editable_install_with_the_mcp_extra_finds_our_shim_and_the_real_sdk(
    tmp_path_factory: pytest.TempPathFactory,
):
    environment = Environment(tmp_path_factory.mktemp("editable") / "venv")
    environment.install("--editable", f"{ROOT}[mcp]")
    shim, sdk = environment.python(
        "-c", "import aegis_mcp, mcp.types; print(aegis_mcp.__file__); print(mcp.__file__)"
    ).splitlines()
    assert Path(shim).is_relative_to(ROOT / "integrations" / "mcp")
    assert Path(sdk).is_relative_to(environment.folder)
    assert environment.aegis("--version")
