"""What the README names must be there; its examples are tests/docs/test_examples.py's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_linked_files_exist():
    targets = re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", README) + re.findall(r'src="([^"]+)"', README)
    assert "docs/explanation.png" in targets
    for target in targets:
        assert (ROOT / target).exists(), target


def test_make_targets_that_are_named_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make ([\w-]+)", README, re.M)):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_importing_rag_is_light():
    code = "import sys, rag, rag.cli; print(sorted({'torch', 'transformers', 'faiss', 'datasets'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
