"""What the examples need: the example corpus, notes of your own, a running service and a search engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import stand_in
from .pages import ROOT


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The working folder of an example: it reads as a checkout's root does, and nothing written to it stays."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "my-notes").mkdir()
    for name, text in stand_in.NOTES.items():
        (tmp_path / "my-notes" / f"{name}.txt").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    return tmp_path


@pytest.fixture(scope="session")
def service() -> Iterator[str]:
    """The address of the service as docs/service.md starts it, over the example corpus."""
    from rag import Pipeline

    from ..rag.service.conftest import FAST, Live

    with Live(Pipeline.from_config("default", corpus=ROOT / "examples" / "islands", overrides=FAST)) as live:
        yield live.url


@pytest.fixture(scope="session")
def search_engine() -> Iterator[str]:
    """The address of the stand-in for Elasticsearch and OpenSearch."""
    with stand_in.search_engine() as url:
        yield url
