from __future__ import annotations

import gc
import json
import re
import runpy
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest

from rag import Pipeline, Reranker, load_settings
from rag.cli import run
from rag.readers.loading import load_reader
from rag.readers.prompt.causal import CausalModel
from rag.readers.prompt.endpoint import CallLimitError, Endpoint, EndpointError, retry_after
from rag.readers.prompt.reader import PromptReader
from rag.settings_base import SettingsError
from retrievers import Passage

from ..conftest import random_coalitions, random_passages
from .conftest import completion

ROOT = Path(__file__).parents[4]
PASSAGES = [
    Passage("cats", "Cats sleep a lot."),
    Passage("oslo", "The capital is Oslo."),
    Passage("ships", "Ships sail to Bergen."),
    Passage("rome", "Another capital is Rome."),
]


def ask(server, prompts=("one", "two", "three"), **options) -> list[str]:
    return Endpoint(server.url, "tiny", **options).complete(list(prompts))


def echo(prompt: str) -> str:
    return f"reply to {prompt}"


def test_requests_are_greedy_and_say_what_the_settings_say(server, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "secret-token")
    request = {"max_tokens": None, "max_completion_tokens": 9, "chat_template_kwargs": {"enable_thinking": False}}
    ask(server, ["hello"], token_env="MY_TOKEN", request=request)
    assert server.bodies == [
        {
            "model": "tiny",
            "temperature": 0,
            "messages": [{"role": "user", "content": "hello"}],
            "max_completion_tokens": 9,
            "chat_template_kwargs": {"enable_thinking": False},
        }
    ]
    assert server.headers[0]["Authorization"] == "Bearer secret-token"
    ask(server, ["hello"], max_answer_tokens=7)
    assert server.bodies[1]["max_tokens"] == 7
    assert "Authorization" not in server.headers[1]


def test_values_say_which_passage_the_answer_comes_from(server):
    settings = load_settings(overrides=[f"reader.checkpoint={server.url}#tiny", "reader.endpoint.cache=null"])
    answer = Pipeline(None, load_reader(settings.reader), settings).explain("Which capital?", PASSAGES)
    assert answer.text == answer.full_text == "Oslo"
    values = {e.passage.id: e.value for e in answer.evidence}
    assert values == pytest.approx({"oslo": 1.0, "rome": 0.0, "cats": 0.0, "ships": 0.0})
    assert {other.text: other.share for other in answer.others} == {"Rome": 0.25, "": 0.25}
    assert len(server.bodies) == 16  # each coalition once, the final answer's among them


@pytest.mark.filterwarnings("error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [Pipeline, Reranker])
def test_who_loaded_an_endpoint_closes_its_connections_and_cache(server, tmp_path, kind):
    overrides = [f"reader.checkpoint={server.url}#tiny", f"reader.endpoint.cache={tmp_path}/replies.sqlite3"]
    with kind(settings=load_settings(overrides=overrides)) as holder:
        work = holder.explain if kind is Pipeline else holder.rerank
        work("Which capital?", PASSAGES)
        with pytest.raises(ValueError, match="question is empty"), holder:
            work(" ", PASSAGES)
    endpoint = holder.reader.model
    assert endpoint._client.is_closed
    with pytest.raises(OSError, match=r"cache of replies .* closed"):
        endpoint.cache.get("any")
    del holder, endpoint, work
    gc.collect()


def test_a_tiny_model_behind_the_endpoint_answers_as_it_does_here(server, gpt2):
    here = CausalModel(gpt2, max_answer_tokens=4)
    server.reply = lambda prompt: here.complete([prompt])[0]
    passages, coalitions = random_passages(4, seed=1), random_coalitions(16, 4, seed=2)
    local = PromptReader(here)
    remote = PromptReader(Endpoint(server.url, "tiny", concurrency=1))
    answers = remote.generate(remote.encode("where is the tower ?", passages), coalitions)
    assert answers == local.generate(local.encode("where is the tower ?", passages), coalitions)
    assert len(set(answers)) > 2


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


@pytest.mark.parametrize(
    "fault",
    [
        (500, {}, b"oops"),
        (429, {}, b"slow down"),
        (200, {}, b"<html>rubbish</html>"),
        (200, {}, b"[]"),
        (200, {}, b'{"choices": []}'),
        (200, {}, b'{"choices": [{"text": "wrong kind"}]}'),
        (200, {}, completion(None)),
        (200, {}, completion(["parts"])),
        (200, {"Content-Encoding": "gzip"}, b"not gzip"),
        (200, {"Content-Length": "1000"}, b"cut off"),
        0.4,
    ],
    ids=lambda fault: str(fault)[:40],
)
def test_what_may_pass_is_tried_again(server, fault):
    server.reply = echo
    server.faults.append(fault)
    assert ask(server, timeout=0.3, concurrency=1) == ["reply to one", "reply to two", "reply to three"]
    assert len(server.bodies) == 4


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ((503, {}, b"all\nbusy"), r"answered 503 .*'all busy' \(tried 3 times\)"),
        ((200, {}, b"<html>"), r"answered with no chat completion: '<html>' \(tried 3 times\)"),
        ((200, {}, b'{"choices": []}'), r"no chat completion: .*choices.* \(tried 3 times\)"),
        ((200, {}, b"\x1b[31mred"), r"no chat completion: '\\x1b\[31mred'"),
        ((200, {}, completion(None)), "answered without text"),
        (0.5, r"did not answer within 0\.2 s \(tried 3 times\)"),
    ],
)
def test_what_does_not_pass_is_a_clear_error(server, fault, message):
    server.faults.extend([fault] * 3)
    with pytest.raises(EndpointError, match=message) as error:
        ask(server, ["one"], retries=2, timeout=0.2)
    assert server.url in str(error.value)
    assert len(server.bodies) == 3


@pytest.mark.parametrize("status", [301, 400, 401, 404, 422])
def test_a_refusal_is_not_tried_again(server, status, monkeypatch):
    server.faults.append((status, {"Location": server.url}, b"key secret-token is wrong"))
    monkeypatch.setenv("MY_TOKEN", "secret-token")
    with pytest.raises(EndpointError, match=rf"answered {status}") as error:
        ask(server, ["one"], token_env="MY_TOKEN")
    assert "secret-token" not in str(error.value)
    assert len(server.bodies) == 1


def test_a_reply_of_thoughts_alone_says_what_to_raise(server):
    server.faults.append((200, {}, completion("", "length")))
    with pytest.raises(EndpointError, match=r"raise it, or switch .* reasoning off"):
        ask(server, ["one"])


def test_nobody_listens():
    started = time.monotonic()
    with pytest.raises(EndpointError, match=r"http://127\.0\.0\.1:9/v1/chat/completions cannot be reached"):
        Endpoint("http://127.0.0.1:9/v1", "tiny", retries=0).complete(["one"])
    assert time.monotonic() - started < 10


def test_retry_after_holds_all_requests_back(server):
    server.reply = echo
    server.faults.append((429, {"Retry-After": "1"}, b""))
    assert len(ask(server, [str(i) for i in range(6)], concurrency=1)) == 6
    assert server.times[1] - server.times[0] > 0.95
    assert server.times[-1] - server.times[1] < 0.9


def test_a_wait_beyond_reason_is_an_error(server):
    server.faults.append((429, {"Retry-After": "7200"}, b"quota"))
    with pytest.raises(EndpointError, match=r"429 .*'quota' and asks to wait 7,200 s"):
        ask(server, ["one"])


def test_retry_after_is_read_as_seconds_or_date():
    assert retry_after("2.5") == 2.5
    assert retry_after(None) == retry_after("soon") == retry_after("-3") == retry_after("nan") == 0
    later = datetime.now(timezone.utc) + timedelta(seconds=30)
    assert retry_after(format_datetime(later, usegmt=True)) == pytest.approx(30, abs=2)
    assert retry_after(format_datetime(later - timedelta(hours=1), usegmt=True)) == 0


def test_no_more_requests_at_once_than_allowed(server):
    server.delay = 0.05
    ask(server, [str(i) for i in range(12)], concurrency=3)
    assert server.most_under_way == 3


def test_the_cap_counts_every_request_and_the_next_run_goes_on(server, tmp_path):
    server.reply = echo
    server.faults.append((500, {}, b""))
    path = tmp_path / "replies.sqlite3"
    prompts = [str(i) for i in range(10)]
    with pytest.raises(CallLimitError) as error:
        ask(server, prompts, max_calls=6, concurrency=2, cache=path)
    assert len(server.bodies) == 6
    message = str(error.value)
    assert "cap of 6 calls (reader.endpoint.max_calls) is reached" in message
    assert f"5 of the 10 replies asked for came and are kept in {path}" in message
    assert ask(server, prompts, max_calls=5, cache=path) == [echo(p) for p in prompts]
    assert len(server.bodies) == 11
    assert ask(server, prompts, max_calls=1, cache=path) == [echo(p) for p in prompts]


def test_a_failure_stops_the_rest_and_keeps_what_came(server, tmp_path):
    path = tmp_path / "replies.sqlite3"
    server.faults.extend([None, None, (400, {}, b"bad")])
    with pytest.raises(EndpointError, match="2 of the 50 replies"):
        ask(server, [str(i) for i in range(50)], concurrency=1, cache=path)
    assert len(server.bodies) == 3


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
    prompts = [str(i) for i in range(sent)]
    assert ask(server, prompts, cache=path) == [echo(p) for p in prompts]
    assert len(server.bodies) - sent <= 3  # those that were under way when it was killed


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


def test_likelihood_is_refused(server):
    reader = PromptReader(Endpoint(server.url, "tiny"))
    with pytest.raises(ValueError, match=r"no log-probabilities of given answers; use attribution\.utility=votes"):
        reader.score(reader.encode("who?", PASSAGES), np.ones((1, 4), bool), ["Oslo"])
    with pytest.raises(SettingsError, match=r"attribution\.utility must be votes"):
        load_settings(overrides=[f"reader.checkpoint={server.url}#tiny", "attribution.utility=likelihood"])
    assert server.bodies == []


def test_the_cost_is_announced_before_the_first_call_and_holds(server, caplog):
    settings = load_settings(overrides=[f"reader.checkpoint={server.url}#tiny", "reader.endpoint.cache=null"])
    reader = load_reader(settings.reader)
    seen = []
    server.reply = lambda prompt: seen.append(len(caplog.records)) or "Oslo"
    Pipeline(None, reader, settings).explain("Which capital?", PASSAGES)
    assert "at most 16 calls" in caplog.text
    assert set(seen) == {1}
    cost = reader.cost(reader.encode("Which capital?", PASSAGES), 16)
    sent = sum(len(body["messages"][0]["content"]) for body in server.bodies) / 4
    assert cost.tokens_read == pytest.approx(sent, rel=0.15)
    assert cost.tokens_written == 16 * 32


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reader.checkpoint=http://localhost:8000/v1"], "must be URL#MODEL"),
        (["reader.checkpoint=http://#m"], "must be URL#MODEL"),
        (["reader.checkpoint=http://me:secret@host/v1#m"], "token_env"),
        (["reader.checkpoint=http://host/v1?key=secret#m"], "token_env"),
        (["reader.checkpoint=http://[x/v1#m"], "no address"),
        (["reader.endpoint.max_calls=0"], "reader.endpoint.max_calls"),
        (["reader.endpoint.request={stream: true}"], "request cannot hold stream"),
        (["reader.checkpoint=http://h/v1#m", "reader.prompt='{question}'"], "lacks {passages}, {no_answer}"),
        (["reader.prompt='{question}'"], "prompt is for causal models"),
    ],
)
def test_wrong_settings_are_refused_by_key(overrides, message):
    with pytest.raises(SettingsError) as error:
        load_settings(overrides=overrides)
    assert message in str(error.value)
    assert "secret" not in str(error.value)


def test_a_token_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    settings = load_settings(
        overrides=["reader.checkpoint=http://h/v1#m", "reader.endpoint={token_env: NO_SUCH_TOKEN, cache: null}"]
    )
    with pytest.raises(SettingsError, match=r"variable NO_SUCH_TOKEN .* is not set"):
        load_reader(settings.reader)


def explain(server, tmp_path, *overrides: str) -> list[str]:
    """Arguments of the command."""
    (tmp_path / "mine.jsonl").write_text(
        "\n".join(json.dumps({"id": p.id, "text": p.text}) for p in PASSAGES), encoding="utf-8"
    )
    settings = {"reader.checkpoint": f"{server.url}#tiny", "reader.endpoint.cache": f"{tmp_path}/replies.sqlite3"}
    changes = [f"{key}={value}" for key, value in settings.items()] + list(overrides)
    arguments = [part for change in changes for part in ("--set", change)]
    passages = ["--passages", str(tmp_path / "mine.jsonl")]
    return ["explain", "What is the capital?", *passages, "--config", "endpoint", *arguments, "--json"]


def test_the_command_says_the_cost_first_and_screens(server, tmp_path, capfd):
    assert run(explain(server, tmp_path, "attribution.screen=2")) == 0
    out, err = capfd.readouterr()
    content = json.loads(out)
    assert content["answer"] in ("Oslo", "Rome")
    assert {e["id"] for e in content["evidence"]} == {"oslo", "rome"}
    assert len(server.bodies) == 4
    assert re.search(r"#tiny: at most 4 calls, about [\d,]+ tokens read", err)


def test_the_command_stops_at_the_cap_in_one_line_and_goes_on(server, tmp_path, capfd):
    arguments = explain(server, tmp_path, "reader.endpoint.max_calls=10")
    assert run(arguments) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("ragshap: the cap of 10 calls")
    assert run(arguments) == 0
    assert json.loads(capfd.readouterr().out)["answer"] == "Oslo"
    assert len(server.bodies) == 16


def test_the_example_serves_a_checkpoint(gpt2):
    http = runpy.run_path(str(ROOT / "examples" / "serve_causal.py"))["serve"](str(gpt2), 0)
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    try:
        remote = Endpoint(f"http://127.0.0.1:{http.server_port}/v1", "tiny")
        assert remote.complete(["the old tower"]) == CausalModel(gpt2).complete(["the old tower"])
    finally:
        http.shutdown()
        http.server_close()
