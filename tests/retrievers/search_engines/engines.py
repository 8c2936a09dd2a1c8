"""A server on this machine that answers as a script says, and the passages and questions of the example corpus."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from retrievers import Passage
from retrievers.dense.encoder import Encoder

ISLANDS = Path(__file__).parents[3] / "examples" / "islands"
QUESTIONS = [json.loads(line)["text"] for line in (ISLANDS / "queries.jsonl").read_text("utf-8").splitlines()][:20]
HOSTILE = [
    'text:secret OR title:* AND NOT "x"',
    "(((( [* TO *] {a TO b} ^2 ~3 && || ! \\ /.*/ + - ? :",
    '"}}, {"match_all": {}}, {"x": "',
    "_id:1 \x00 \ud800 \u202e <script>",
    "a" * 5000,
    "'; drop collection x; --",
]


class WordEncoder(Encoder):
    """A random vector for each word, added up: fast, and different for different texts."""

    def __init__(self, name: str = "default", device: str | None = None) -> None:
        self.name, self.dimension, self.fingerprint = name, 384, "f" * 64

    def cut(self, passages: Sequence[Passage]) -> list[list[str]]:
        return [[passage.full_text] for passage in passages]

    def encode_documents(self, texts: list[str], batch_size: int) -> np.ndarray:
        return self.encode_queries(texts)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([self._vector(text) for text in texts]).reshape(len(texts), 384)

    def _vector(self, text: str) -> np.ndarray:
        words = re.findall(r"\w+", text.lower()) or [""]
        total = sum(np.random.default_rng(crc32(word.encode())).standard_normal(384) for word in words)
        return (total / np.linalg.norm(total)).astype(np.float32)


class Asked(NamedTuple):
    """One request that the server got."""

    method: str
    path: str
    body: Any
    headers: dict[str, str]


class Answer(NamedTuple):
    """What the server says to it."""

    body: Any
    status: int = 200


class Server(NamedTuple):
    """Where the server is, and what it was asked."""

    url: str
    asked: list[Asked]


@contextmanager
def serve(answer: Callable[[Asked], Answer], headers: dict[str, str]) -> Iterator[Server]:
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            got = Asked(self.command, self.path, json.loads(raw) if raw else None, dict(self.headers.items()))
            asked.append(got)
            said = answer(got)
            content = json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_address[1]}", asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
