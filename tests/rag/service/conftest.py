"""A service over a scripted reader for mechanics, and one that real clients reach over the network, for meaning."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rag import Pipeline, load_settings
from rag.readers.interruption import checkpoint
from retrievers import BM25Retriever, Passage

from ..conftest import ScriptedReader

pytest.importorskip("fastapi", reason="the service needs pip install 'ragshap[serve]'")

TOWNS = [
    Passage("rome", "it is said to be Rome.", "first"),
    Passage("paris", "others say it is Paris.", "second"),
    Passage("paris again", "the guide names Paris too.", "third"),
    Passage("nothing", "nothing of note here.", "fourth"),
]
FERRY = "Which ferry carries cars to Suduroy?"
FERRY_TEXTS = [
    "Sheep graze on the steep slopes all year.",
    "The lighthouse was built in 1893.",
    "The ferry Smyril carries cars between Tórshavn and Suduroy.",
    "Puffins nest on the western cliffs.",
]
FAST = [
    "threads=1",
    "retriever.passages=8",
    "attribution.budget=150",
    "hierarchy.permutations=16",
    "hierarchy.shared=2",
]
EXAMPLES = Path(__file__).parents[3] / "examples" / "islands"


class SlowReader(ScriptedReader):
    """Reads for as long as `hold` is set, step by step; `started` says that it began, `steps` how far it came."""

    def __init__(self) -> None:
        self.hold, self.started = threading.Event(), threading.Event()
        self.steps = 0

    def generate(self, encoded, coalitions):
        self.started.set()
        while self.hold.is_set():
            checkpoint()
            self.steps += 1
            time.sleep(0.002)
        return super().generate(encoded, coalitions)


def make_client(reader=None, retriever=None, overrides=(), answerer=None, **settings):
    """A client of a service, as a context manager; settings are the service's."""
    from starlette.testclient import TestClient

    from rag.service import create_app
    from rag.service.settings import ServiceSettings

    loaded = load_settings(overrides=list(overrides))
    pipeline = Pipeline(retriever, reader or ScriptedReader(), loaded, answerer=answerer)
    app = create_app(pipeline, ServiceSettings(**settings))
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


@pytest.fixture
def towns() -> BM25Retriever:
    retriever = BM25Retriever()
    retriever.add(TOWNS)
    return retriever


@pytest.fixture
def client(towns) -> Iterator:
    with make_client(retriever=towns) as client:
        yield client


class Live:
    """A service on a port of this machine, run by the real server in a thread."""

    def __init__(self, pipeline: Pipeline, **settings):
        import uvicorn

        from rag.service import create_app
        from rag.service.settings import ServiceSettings

        self.pipeline = pipeline
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        app = create_app(pipeline, ServiceSettings(**settings))
        self.service = app.state.service
        self.server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    def __enter__(self) -> Live:
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            time.sleep(0.01)
        return self

    def __exit__(self, *_) -> None:
        self.server.should_exit = True
        self.thread.join(20)


@pytest.fixture(scope="session")
def islands() -> Pipeline:
    """The embedded reader over the example corpus."""
    return Pipeline.from_config("default", corpus=EXAMPLES, overrides=FAST)


@pytest.fixture(scope="session")
def live(islands) -> Iterator[Live]:
    with Live(islands) as live:
        yield live


def ranking(reader, query: str, texts: list[str]) -> np.ndarray:
    """Sums of the texts' positive exact Shapley values, from all coalitions, over all answers but "no answer"."""
    from attribution import VotesGame, exact

    encoded = reader.encode(query, [Passage(str(index), text) for index, text in enumerate(texts)])
    found = exact(VotesGame(lambda rows: reader.generate(encoded, rows)), len(texts))
    answers = [row for row, name in zip(found.values, found.outputs, strict=True) if name]
    return np.sum([np.maximum(row, 0) for row in answers], axis=0)
