"""A reader behind an endpoint, from settings and the command line to values, warnings and its end."""

from __future__ import annotations

import gc
import json
import logging
import re
import runpy
import threading
from pathlib import Path

import numpy as np
import pytest

from attribution.games import all_coalitions
from rag import Pipeline, Reranker, load_settings
from rag.cli import run
from rag.readers.loading import load_reader
from rag.readers.prompt.causal import CausalModel
from rag.readers.prompt.endpoint import Endpoint, EndpointError
from rag.readers.prompt.prefixes import common_length
from rag.readers.prompt.reader import PromptReader, shared_tokens
from rag.settings import Settings
from rag.settings_base import SettingsError
from retrievers import Passage

from ..conftest import random_coalitions, random_passages
from .conftest import capital_rule, completion

ROOT = Path(__file__).parents[4]
PASSAGES = [
    Passage("cats", "Cats sleep a lot."),
    Passage("oslo", "The capital is Oslo."),
    Passage("ships", "Ships sail to Bergen."),
    Passage("rome", "Another capital is Rome."),
]


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
    server.reply = lambda prompt: here.complete([prompt])[0].text
    passages, coalitions = random_passages(4, seed=1), random_coalitions(16, 4, seed=2)
    local = PromptReader(here)
    remote = PromptReader(Endpoint(server.url, "tiny", concurrency=1))
    answers = remote.generate(remote.encode("where is the tower ?", passages), coalitions)
    assert answers == local.generate(local.encode("where is the tower ?", passages), coalitions)
    assert len(set(answers)) > 2


def test_cut_replies_and_reasoning_are_counted_in_the_answer(server, tmp_path):
    said = {"Oslo": completion("<think>" + 400 * "x" + "</think>Oslo"), "Rome": completion("Rome and", "length")}

    def faults(prompt: str) -> bytes:
        return said.get(capital_rule(prompt), completion("no answer"))

    server.complete = faults
    overrides = [f"reader.checkpoint={server.url}#tiny", f"reader.endpoint.cache={tmp_path}/replies.sqlite3"]
    for _ in range(2):  # asked, and from the cache
        with Pipeline(settings=load_settings(overrides=overrides)) as pipeline:
            answer = pipeline.explain("Which capital?", PASSAGES)
        assert answer.text == "Oslo"
        assert {other.text for other in answer.others} == {"Rome and", ""}
        cut, reasoned = (warning for warning in answer.warnings if "tokens read" not in warning)
        assert cut.startswith("4 of 16 replies ended at the limit of 32 tokens")
        assert reasoned.startswith("8 of 16 replies held reasoning, about 800 tokens")
    assert len(server.bodies) == 16


def test_headers_are_sent_and_neither_shown_nor_saved_nor_logged(server, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_KEY", "secret-key")
    path = tmp_path / "replies.sqlite3"
    headers = "{api-key: '${MY_KEY}', X-Team: secret-team}"
    overrides = [f"reader.checkpoint={server.url}?api-version=7#tiny", f"reader.endpoint.headers={headers}"]
    settings = load_settings(overrides=[*overrides, f"reader.endpoint.cache={path}"])
    with Pipeline(settings=settings) as pipeline:
        answer = pipeline.explain("Which capital?", PASSAGES)
        server.faults.append((401, {}, b"the key secret-key of secret-team is wrong"))
        with pytest.raises(EndpointError, match="the key … of … is wrong") as error:
            pipeline.explain("Which other capital?", PASSAGES)
    sent = {name.lower(): value for name, value in server.headers[0].items()}
    assert (sent["api-key"], sent["x-team"]) == ("secret-key", "secret-team")
    assert set(server.paths) == {"/v1/chat/completions?api-version=7"}
    shown = [answer.to_json(), answer.to_html(), repr(settings), str(settings), str(error.value), caplog.text]
    assert "secret" not in "".join(shown)
    assert b"secret" not in path.read_bytes()
    assert Settings.model_validate(settings.model_dump()) == settings  # as the service makes those of a request


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
    given = "The capital of the islands is Kirkwall."
    scored = reader.cost(reader.encode("Which capital?", PASSAGES), 16, scored=given)
    assert scored.tokens_read == cost.tokens_read + 16 * len(reader.model.places(given))
    assert scored.tokens_written == 0


@pytest.mark.parametrize(
    ("request_fields", "announced", "limit", "setting"),
    [
        ("{}", "at most 512", "the limit of 32", "reader.max_answer_tokens"),
        ("{max_tokens: 70}", "at most 1,120", "the limit of 70", "reader.endpoint.request.max_tokens"),
        (
            "{max_tokens: null, max_completion_tokens: 500}",
            "at most 8,000",
            "the limit of 500",
            "reader.endpoint.request.max_completion_tokens",
        ),
        ("{max_tokens: null}", "any number", "their limit of", "reader.endpoint.request"),
    ],
)
def test_the_cost_and_remarks_are_those_of_the_limit_that_is_sent(
    server, caplog, request_fields, announced, limit, setting
):
    server.complete = lambda prompt: completion("Oslo and", "length")
    overrides = [f"reader.checkpoint={server.url}#tiny", "reader.endpoint.cache=null"]
    settings = load_settings(overrides=[*overrides, f"reader.endpoint.request={request_fields}"])
    answer = Pipeline(None, load_reader(settings.reader), settings).explain("Which capital?", PASSAGES)
    assert f"and {announced} written" in caplog.text
    remark = f"16 of 16 replies ended at {limit} tokens before the answer did; raise {setting}"
    assert remark in answer.warnings


@pytest.mark.parametrize("value", ["'64'", "64.5", "true", "0"])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_that_is_no_whole_number_is_a_settings_error(server, name, value):
    overrides = [f"reader.checkpoint={server.url}#tiny", f"reader.endpoint.request={{{name}: {value}}}"]
    settings = load_settings(overrides=overrides)
    with pytest.raises(SettingsError, match=rf"reader\.endpoint\.request\.{name} must be a whole number from 1 on"):
        load_reader(settings.reader)


def usage(**fields) -> dict:
    return {"usage": {"prompt_tokens": 100, "completion_tokens": 3, **fields}}


@pytest.mark.parametrize(
    ("fields", "cached"),
    [
        (usage(prompt_tokens_details={"cached_tokens": 60}), 60),  # OpenAI, vLLM, SGLang
        ({**usage(), "timings": {"cache_n": 60, "prompt_n": 40}}, 60),  # llama.cpp
        (usage(prompt_tokens_details=None), 0),
        (usage(prompt_tokens_details={"cached_tokens": "many"}), 0),
        ({"usage": []}, 0),
    ],
)
def test_what_was_spent_is_said_with_the_tokens_of_the_servers_cache(server, fields, cached):
    server.complete = lambda prompt: json.dumps({**json.loads(completion(capital_rule(prompt))), **fields}).encode()
    settings = load_settings(overrides=[f"reader.checkpoint={server.url}#tiny", "reader.endpoint.cache=null"])
    pipeline = Pipeline(None, load_reader(settings.reader), settings)
    said = [warning for warning in pipeline.explain("Which capital?", PASSAGES).warnings if "tokens read" in warning]
    read, written = (1600, 48) if fields["usage"] else (0, 0)
    assert said == [
        f"16 calls; {read:,} tokens read, {16 * cached:,} of them from the endpoint's cache, and {written} written"
    ]
    again = pipeline.explain("Which capital?", PASSAGES)  # of a cache in memory: nothing is spent
    assert not any("tokens read" in warning for warning in again.warnings)


def test_prompts_that_begin_alike_are_sent_one_after_another(server):
    reader = PromptReader(Endpoint(server.url, "tiny", concurrency=1))
    rows = random_coalitions(40, 4, seed=3)
    reader.generate(reader.encode("Which capital?", PASSAGES), rows)
    sent = [body["messages"][0]["content"] for body in server.bodies]
    for place in range(2, len(sent)):
        shared = [common_length(sent[place], before) for before in sent[:place]]
        assert shared[-1] == max(shared)


def test_shared_tokens_are_those_of_the_trie_less_its_nodes():
    tokens = np.array([3.0, 5.0, 7.0, 11.0])
    for rows in (random_coalitions(9, 4, seed=1), all_coalitions(4)):
        rows = np.unique(rows, axis=0)
        paths = [tuple(np.flatnonzero(row)) for row in rows]
        nodes = {path[:end] for path in paths for end in range(1, len(path) + 1)}
        read = sum(tokens[path[-1]] for path in nodes)
        assert shared_tokens(np.random.default_rng(0).permutation(rows), tokens) == (rows @ tokens).sum() - read


def test_a_local_model_says_how_long_it_may_take(gpt2, caplog, monkeypatch):
    settings = load_settings(overrides=["attribution.minimal_sets=0"])
    local = PromptReader(CausalModel(gpt2, max_answer_tokens=2))
    Pipeline(None, local, settings).rehearse("Which capital?", PASSAGES)
    assert "it may take" not in caplog.text  # no time worth saying
    monkeypatch.setattr(CausalModel, "_timed", lambda self, tokens: 12.8 if tokens > 1 else 0.1)
    Pipeline(None, PromptReader(CausalModel(gpt2)), settings).rehearse("Which capital?", PASSAGES)
    assert re.search(r"at most 16 coalitions, about [\d,]+ tokens, of which [\d,]+ are read once", caplog.text)


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


def test_a_dry_run_says_the_cost_and_asks_nothing(server, tmp_path, capfd):
    arguments = explain(server, tmp_path)
    assert run([*arguments, "--dry-run"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["coalitions"] == 16
    assert re.search(r"#tiny: at most 16 calls, about [\d,]+ tokens read", err)
    assert run([*arguments[:-1], "--dry-run"]) == 0
    assert "At most 16 coalitions" in capfd.readouterr().out
    assert server.bodies == []


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


def test_a_token_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    settings = load_settings(
        overrides=["reader.checkpoint=http://h/v1#m", "reader.endpoint={token_env: NO_SUCH_TOKEN, cache: null}"]
    )
    with pytest.raises(SettingsError, match=r"variable NO_SUCH_TOKEN .* is not set"):
        load_reader(settings.reader)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reader.checkpoint=http://localhost:8000/v1"], "must be URL#MODEL"),
        (["reader.checkpoint=http://#m"], "must be URL#MODEL"),
        (["reader.checkpoint=http://me:secret@host/v1#m"], "token_env"),
        (["reader.checkpoint=http://host/v1?key=secret#m"], "token_env"),
        (["reader.checkpoint=http://h/v1#m", "reader.endpoint.headers={key: [secret]}"], "reader.endpoint.headers.key"),
        (["reader.checkpoint=http://h/v1#m", "reader.endpoint.headers={key: 'secret"], "this is not a valid value"),
        (["reader.checkpoint=http://h/v1#m", "reader.chat_template_kwargs={think: no}"], "reader.endpoint.request"),
        (["reader.chat_template_kwargs={think: no}"], "is for causal models"),
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
