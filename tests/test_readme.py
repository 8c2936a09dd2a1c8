"""What the README shows must run and be true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.mark.parametrize("example", PYTHON, ids=[f"block{i}" for i in range(len(PYTHON))])
def test_python_examples_run_and_print_what_they_say(example):
    done = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = re.search(r"print\(answer\.text\)  # (.+)", example)
    if said:
        assert done.stdout.splitlines()[0] == said[1]


def test_commands_that_are_named_exist():
    known = subprocess.run([sys.executable, "-m", "rag", "--help"], cwd=ROOT, capture_output=True, text=True).stdout
    for command in set(re.findall(r"^ragshap (\w+)", README, re.M)):
        assert re.search(rf"^\s*{command}\s", known, re.M), command


def test_linked_files_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_make_targets_that_are_named_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_importing_rag_is_light():
    code = "import sys, rag, rag.cli; print(sorted({'torch', 'transformers', 'faiss', 'datasets'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
