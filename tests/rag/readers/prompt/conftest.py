"""A local server that speaks the protocol of chat completions, and misbehaves when told to."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rag.readers.prompt import endpoint
from rag.readers.prompt.endpoint import Endpoint


def capital_rule(prompt: str) -> str:
    """Answers with the last word of the first passage that speaks of a capital, and says so when none does."""
    for text in re.findall(r"<passage \d+>\n(.*?)\n</passage \d+>", prompt, re.S):
        if "capital" in text:
            return text.split()[-1].strip(".")
    return "No answer."


def ask(server, prompts=("one", "two", "three"), **options) -> list[str]:
    return [reply.text for reply in Endpoint(server.url, "tiny", **options).complete(list(prompts))]


def echo(prompt: str) -> str:
    return f"reply to {prompt}"


def completion(text: object, finish: str = "stop") -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": finish}]}).encode()


class Server:
    """Answers prompts, and misbehaves.

    Attributes: `reply` makes replies from prompts, `complete` whole bodies; `given` answers whatever asks for the
    log-probabilities of a given text, from path and body; `faults` are sent first: (status, headers, body) or seconds.
    """

    def __init__(self) -> None:
        self.reply: Callable[[str], str] = capital_rule
        self.complete: Callable[[str], bytes] = lambda prompt: completion(self.reply(prompt))
        self.given: Callable[[str, dict], tuple[int, bytes]] = lambda path, body: (400, b"unknown field")
        self.faults: deque = deque()
        self.delay = 0.0
        self.bodies: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.times: list[float] = []
        self.under_way = self.most_under_way = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                server.serve(self)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        with self._lock:
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
            self.paths.append(request.path)
            self.times.append(time.monotonic())
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            fault = self.faults.popleft() if self.faults else None
        try:
            time.sleep(fault if isinstance(fault, float) else self.delay)
            path = request.path.partition("?")[0].removeprefix("/v1")
            if not isinstance(fault, tuple) and ("prompt_logprobs" in body or path == "/completions"):
                (status, content), headers = self.given(path, body), {}
            elif path != "/chat/completions":
                status, headers, content = 404, {}, b"no such path"
            elif isinstance(fault, tuple):
                status, headers, content = fault
            else:
                status, headers, content = 200, {}, self.complete(body["messages"][0]["content"])
        finally:
            with self._lock:
                self.under_way -= 1
        try:
            request.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(content)
        except OSError:  # the client gave up waiting
            request.close_connection = True

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(endpoint, "_FIRST_WAIT", 0.01)
    running = Server()
    yield running
    running.close()
