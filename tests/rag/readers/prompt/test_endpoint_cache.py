"""Replies are kept on disk, and nothing else is."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rag.readers.prompt.endpoint import Endpoint

from .conftest import ask, echo

ROOT = Path(__file__).parents[4]


def test_replies_are_asked_for_once_and_stored_without_prompt_or_token(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "secret-token")
    server.reply = echo
    path = tmp_path / "new" / "replies.sqlite3"
    first = ask(server, ["a prompt", "b prompt"], cache=path, token_env="MY_TOKEN")
    assert ask(server, ["b prompt", "a prompt"], cache=path) == first[::-1]
    assert len(server.bodies) == 2
    for change in ({"max_answer_tokens": 5}, {"request": {"seed": 1}}):
        ask(server, ["a prompt"], cache=path, **change)
    Endpoint(server.url, "other", cache=path).complete(["a prompt"])
    assert len(server.bodies) == 5
    stored = path.read_bytes()
    assert b"secret-token" not in stored
    assert b"reply to a prompt" in stored
    assert b"Bearer" not in stored


def test_a_killed_run_goes_on_from_its_cache(server, tmp_path):
    server.reply, server.delay = echo, 0.05
    path = tmp_path / "replies.sqlite3"
    code = (
        "from rag.readers.prompt.endpoint import Endpoint\n"
        f"Endpoint({server.url!r}, 'tiny', cache={str(path)!r}, concurrency=2).complete([str(i) for i in range(400)])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    deadline = time.monotonic() + 60
    while len(server.bodies) < 12 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    sent = len(server.bodies)
    assert 12 <= sent < 400
    time.sleep(0.2)  # what was under way is answered to nobody
    server.delay = 0.0
    prompts = [body["messages"][0]["content"] for body in server.bodies]
    assert ask(server, prompts, cache=path) == [echo(p) for p in prompts]
    assert len(server.bodies) - sent <= 3  # those that were under way when it was killed


def test_replies_that_an_earlier_release_kept_are_read_but_for_those_that_may_be_reasoning(server, tmp_path):
    server.reply = echo
    path = tmp_path / "replies.sqlite3"
    ask(server, ["one", "two"], cache=path)
    with sqlite3.connect(path) as connection:
        keys = connection.execute("SELECT request FROM replies ORDER BY reply").fetchall()
        texts = ("paid for\nand “kept”", "<think>hm")
        connection.executemany(
            "UPDATE replies SET reply = ? WHERE request = ?",
            [(text, key) for text, (key,) in zip(texts, keys, strict=True)],
        )
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert ask(server, ["one", "two"], cache=path) == [texts[0], "reply to two"]
    assert len(server.bodies) == 3


def test_a_foreign_file_is_no_cache(server, tmp_path):
    text, other = tmp_path / "notes.txt", tmp_path / "other.sqlite3"
    text.write_text("my notes, which are long enough to be mistaken for a database" * 20, encoding="utf-8")
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (a)")
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(ValueError, match="cannot be used as a cache"):
            Endpoint(server.url, "tiny", cache=path)
        assert path.read_bytes() == before
    with pytest.raises(ValueError, match="cannot be used as a cache"):
        Endpoint(server.url, "tiny", cache=tmp_path)
