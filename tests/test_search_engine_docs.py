"""The Python examples of docs/search-engines.md whose engines run here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "search-engines.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.mark.parametrize("example", EXAMPLES, ids=["lucene", "milvus"])
def test_an_example_runs_and_prints_what_it_says(example, tmp_path):
    package = "pyserini" if "pyserini" in example else "milvus_lite"
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (said,) = re.findall(r"print\(.*\)  # (.+)", example)
    assert done.stdout.splitlines()[-1] == said
