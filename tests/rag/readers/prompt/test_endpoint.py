"""What is sent to an endpoint, how often and how fast, and what is made of its failures."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from rag.readers.prompt.endpoint import CallLimitError, Endpoint, EndpointError, retry_after

from .conftest import ask, completion, echo


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
        (200, {}, completion([7])),
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


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (completion("", "length"), r"used up reader\.max_answer_tokens .* raise it, or switch .* reasoning off"),
        (completion(None, "length"), r"used up reader\.max_answer_tokens"),
        (completion("<think>Rome?", "length"), r"used up reader\.max_answer_tokens"),
        (completion(None, "content_filter"), r"withheld the reply .* no vote"),
    ],
)
def test_a_reply_that_no_further_try_can_mend_is_an_error_at_once(server, tmp_path, body, message):
    server.faults.append((200, {}, body))
    with pytest.raises(EndpointError, match=message):
        ask(server, ["one"], cache=tmp_path / "replies.sqlite3")
    assert len(server.bodies) == 1
    assert ask(server, ["one"], cache=tmp_path / "replies.sqlite3") == ["No answer."]  # it was not kept


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
