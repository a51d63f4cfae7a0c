"""The shape of the repository that the packaging relies on."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIMS = sorted(path for path in (ROOT / "integrations").iterdir() if path.is_dir())
PLACEHOLDERS = "alice|bob|carol|agent|user|me|you"
MACHINE_PATH = re.compile(rf"(?<![\w.:-])/(?:work|(?:home|Users)/(?!(?:{PLACEHOLDERS})\b)\w+)/")
OUTSIDE_PATH = re.compile(r"\.\./shared[/]|(?<![\w./-])shared[/]")


def tracked_files() -> list[Path]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def lines_matching(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    found: list[str] = []
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # not a text file
        found += [f"{path.relative_to(ROOT)}:{n}: {line}" for n, line in enumerate(lines, 1) if pattern.search(line)]
    return found


def test_nothing_beside_a_shim_could_be_imported_in_the_place_of_its_sdk():
    # In an editable install integrations/<framework>/ is on sys.path, and integrations/ may be: with an __init__.py in
    # either, `import mcp` would find our folder instead of the SDK.
    assert SHIMS
    assert not (ROOT / "integrations" / "__init__.py").exists()
    for folder in SHIMS:
        names = {path.name for path in folder.iterdir()} - {"__pycache__"}
        assert names <= {"README.md", f"aegis_{folder.name}"}


@pytest.mark.parametrize("package", ["aegis", "aegis_core", *(f"integrations/{f.name}/aegis_{f.name}" for f in SHIMS)])
def test_every_package_is_typed_and_in_the_wheel(package: str):
    assert (ROOT / package / "__init__.py").is_file()
    assert (ROOT / package / "py.typed").is_file()
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert package in build["targets"]["wheel"]["packages"]


def test_no_file_names_a_path_of_somebodys_machine():
    assert not lines_matching(MACHINE_PATH, tracked_files())


def test_no_source_file_names_a_folder_outside_the_repository():
    sources = [path for path in tracked_files() if path.suffix == ".py" and "tests" not in path.parts]
    assert not lines_matching(OUTSIDE_PATH, sources)
