"""Every example on the adapters' pages runs and prints what it says."""

from __future__ import annotations

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLES = [
    example
    for page in ("adapters", "mcp")
    for example in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"), re.S)
]
FRAMEWORK = re.compile(r"^from (langchain_core|llama_index|haystack|rerankers|mcp)\b", re.M)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: FRAMEWORK.search(example)[1])
def test_examples_run_and_print_what_they_say(example, monkeypatch, capsys):
    package = FRAMEWORK.search(example)[1]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install 'ragshap[adapters]'")
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    exec(compile(example, "<example>", "exec"), {"__name__": "__main__"})
    said = capsys.readouterr().out.splitlines()
    promised = re.findall(r"print\(.*\)  # (.+)", example)
    assert promised
    assert all(line in said for line in promised)
