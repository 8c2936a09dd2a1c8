"""What examples expect to be there: the example corpus, notes of one's own, a running service, a search engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .pages import ROOT


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The working folder of an example: as a checkout's root to read from, and nothing that is written stays."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "my-notes").mkdir()
    (tmp_path / "my-notes" / "log.txt").write_text("The roof leaked after the storm of 3 March.\n", encoding="utf-8")
    (tmp_path / "my-notes" / "boat.txt").write_text("The boat was painted blue in April.\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    return tmp_path


@pytest.fixture(scope="session")
def service() -> Iterator[str]:
    """The address of the service as docs/service.md starts it, over the example corpus."""
    from ..rag.service.conftest import FAST, Live, Pipeline

    with Live(Pipeline.from_config("default", corpus=ROOT / "examples" / "islands", overrides=FAST)) as live:
        yield live.url


@pytest.fixture(scope="session")
def elasticsearch() -> Iterator[str]:
    """The address of a stand-in for Elasticsearch that counts two documents in any index."""
    from ..retrievers.engines import Answer, serve

    with serve(lambda asked: Answer({"count": 2}), {"X-Elastic-Product": "Elasticsearch"}) as server:
        yield server.url
