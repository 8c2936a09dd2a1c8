"""Every example on every page works: Python prints the promised lines, commands and options exist, settings load."""

from __future__ import annotations

import ast
import io
import json
from contextlib import redirect_stdout
from importlib.util import find_spec

import pytest
import yaml

from rag.cli.app import run
from rag.settings import Settings
from rag.settings_base import load_section
from rag.training.settings import TrainSettings

from .pages import Block, blocks
from .stand_in import ADDRESS

pytestmark = pytest.mark.slow

BLOCKS = blocks()
SERVERS = {"http://127.0.0.1:8000": "service", ADDRESS: "search_engine"}  # fixtures by address
RUN = ("docs/index.md", "docs/settings.md")  # pages whose commands run, from the first to the last


def in_language(*languages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in languages], ids=str)


def not_installed(example: str) -> set[str]:
    """Top-level modules and namespace parts that an example imports and that are not installed."""
    imports = [node for node in ast.walk(ast.parse(example)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = [name.name for node in imports if isinstance(node, ast.Import) for name in node.names]
    missing = set()
    for module in [*modules, *(node.module for node in imports if isinstance(node, ast.ImportFrom))]:
        parts = module.split(".")
        for name in (".".join(parts[:depth]) for depth in range(1, len(parts) + 1)):
            spec = find_spec(name)
            if spec is None:
                missing.add(name)
            if spec is None or spec.origin is not None:  # only a namespace is shared by several distributions
                break
    return missing


@in_language("python")
def test_python_prints_the_promised_lines(block: Block, folder, request):
    if missing := not_installed(block.text):
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")
    example = block.text
    for address, fixture in SERVERS.items():
        if address in example:
            example = example.replace(address, request.getfixturevalue(fixture))
    printed = io.StringIO()  # standard error stays: the MCP SDK keeps the stream that it finds when it is imported
    try:
        with redirect_stdout(printed):
            exec(compile(example, str(block), "exec"), {"__name__": "__main__"})
    except ImportError as error:
        if "pip install 'ragshap[" not in str(error):
            raise
        pytest.skip(str(error))
    lines = printed.getvalue().splitlines()
    assert block.promised() - set(lines) == set(), lines


@in_language("")
def test_commands_and_their_options_exist(block: Block, capsys):
    """`--help` after all options is answered only when these have been parsed."""
    for arguments in block.commands():
        assert run([*arguments, "--help"]) == 0, (arguments, capsys.readouterr().err)


@pytest.mark.parametrize("page", RUN)
def test_commands_run_and_print_what_is_shown(page, folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    printed: list[str] = []
    for block in (block for block in BLOCKS if block.page == page):
        if block.language == "text":
            shown = [" ".join(line.split()) for line in block.text.splitlines()]
            assert [line for line in shown if line not in printed] == [], printed
        for arguments in block.commands() if not block.language else ():
            assert run(arguments) == 0, (arguments, capsys.readouterr().err)
            printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


@in_language("yaml")
def test_settings_load(block: Block, tmp_path):
    kind = TrainSettings if block.page == "docs/training.md" else Settings
    (tmp_path / "mine.yaml").write_text(block.text, encoding="utf-8")
    assert (
        load_section(kind, tmp_path / "mine.yaml").model_dump(exclude_defaults=True).keys()
        == yaml.safe_load(block.text).keys()
    )


@in_language("json")
def test_json_is_whole(block: Block):
    assert json.loads(block.text)


def test_blocks_are_of_kinds_that_are_tested():
    assert {block.language for block in BLOCKS} == {"", "python", "text", "yaml", "json"}
    assert sum(len(block.commands()) for block in BLOCKS if not block.language) > 50
