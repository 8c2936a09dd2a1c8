"""Log-probabilities of given texts from endpoints, in the protocols that there are, and servers without them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from rag import Pipeline, load_settings
from rag.readers.loading import load_reader
from rag.readers.prompt.causal import CausalModel
from rag.readers.prompt.endpoint import Endpoint, EndpointError
from rag.readers.prompt.given_text import GivenTextError, _last
from rag.readers.prompt.reader import PromptReader
from rag.settings_base import SettingsError
from retrievers import Passage

from ..conftest import random_coalitions, random_passages

PASSAGES = [Passage("cats", "Cats sleep a lot."), Passage("oslo", "The capital is Oslo.")]
ANSWER = "The capital is Oslo. Cats sleep."


def tokens_of(prompt: str, text: str) -> list[tuple[str, float]]:
    """Words as tokens; a word is the likelier, the more often the prompt has it."""
    return [(f" {word}", -4.0 / (1 + prompt.count(word))) for word in text.split()]


def vllm(path: str, body: dict, log_probs=tokens_of) -> tuple[int, bytes]:
    if path != "/chat/completions":
        return 404, b"no such path"
    user, assistant = body["messages"]
    assert body["continue_final_message"] is True
    assert body["add_generation_prompt"] is False
    assert body["max_tokens"] == 1
    before = [("<|im_start|>", -9.0), ("user", -1.0), ("assistant", -1.0), ("\n", -0.5)]
    entries = [{"7": {"logprob": p, "rank": 1, "decoded_token": t}} for t, p in before]
    found = log_probs(user["content"], assistant["content"])
    entries += [{"8": {"logprob": p, "rank": 3, "decoded_token": t}, "9": {"logprob": 0.0}} for t, p in found]
    choice = {"message": {"content": " more"}, "finish_reason": "length"}
    return 200, json.dumps({"choices": [choice], "prompt_logprobs": [None, *entries]}).encode()


def echo(path: str, body: dict) -> tuple[int, bytes]:
    if path != "/completions":
        return 200, json.dumps({"choices": [{"message": {"content": "One"}, "finish_reason": "length"}]}).encode()
    whole = body["prompt"]
    prompt, text = (whole[:15], whole[16:]) if whole.startswith("Count") else whole.rsplit(" The capital", 1)
    text = text if whole.startswith("Count") else f"The capital{text}"
    found = [*((f" {word}", -1.0) for word in prompt.split()), *tokens_of(prompt, text), (" more", -0.1)]
    log_probs = {"tokens": [t for t, _ in found], "token_logprobs": [None, *(p for _, p in found[1:])]}
    return 200, json.dumps({"choices": [{"text": f"{whole} more", "logprobs": log_probs}]}).encode()


def explain(server, *overrides: str, passages=PASSAGES, answer=ANSWER):
    changes = [f"reader.checkpoint={server.url}#tiny", "reader.endpoint.cache=null", *overrides]
    settings = load_settings(overrides=changes)
    return Pipeline(None, load_reader(settings.reader), settings).explain("What?", passages, answer=answer)


@pytest.mark.parametrize(("protocol", "name"), [(vllm, "prompt_logprobs"), (echo, "echo")])
def test_a_given_answer_is_explained_by_the_log_probabilities_of_the_endpoint(server, protocol, name, caplog):
    server.given = protocol
    explained = explain(server)
    assert explained.attribution.utility == "likelihood"
    first, second = explained.citations.sentences
    assert (first.passages, second.passages) == (("oslo",), ("cats",))
    assert (first.tokens, second.tokens) == (4, 2)
    # "capital" and "Oslo." stand in the prompt with one passage and not without it.
    assert first.drop == pytest.approx(2 * (4 - 2) + 2 * (4 - 2), abs=3)
    tried = 1 if name == "prompt_logprobs" else 2
    assert len(server.bodies) == tried + 4  # the trial, and each coalition once
    assert f"log-probabilities of given answers by {name}" in caplog.text
    assert "at most 4 calls" in caplog.text


def test_a_model_behind_an_endpoint_scores_as_it_does_here(server, llama):
    here = CausalModel(llama)
    text = "the tower is old . a whale"

    def pieces(prompt: str, given: str) -> list[tuple[str, float]]:
        [log_probs], offsets = here.score_tokens([prompt], given)
        return [(given[start:end], p) for p, (start, end) in zip(log_probs.tolist(), offsets, strict=True)]

    server.given = lambda path, body: vllm(path, body, pieces)
    passages, coalitions = random_passages(4, seed=1), random_coalitions(9, 4, seed=2)
    local, remote = PromptReader(here), PromptReader(Endpoint(server.url, "tiny"))
    expected = local.score_tokens(local.encode("where is it ?", passages), coalitions, text)
    encoded = remote.encode("where is it ?", passages)
    found = remote.score_tokens(encoded, coalitions, text)
    assert found.log_probs == pytest.approx(expected.log_probs, rel=1e-5)  # what is read together differs
    assert [text[a:b].strip() for a, b in found.offsets] == [text[a:b].strip() for a, b in expected.offsets]
    assert remote.score(encoded, coalitions, [text])[:, 0] == pytest.approx(expected.log_probs.sum(axis=1), rel=1e-5)


def ignores_all(path: str, body: dict) -> tuple[int, bytes]:
    choice = {"message": {"content": "One"}, "text": "One", "finish_reason": "length"}
    return 200, json.dumps({"choices": [{**choice, "logprobs": {"tokens": ["One"], "token_logprobs": [-1]}}]}).encode()


def fails(path: str, body: dict) -> tuple[int, bytes]:
    return 500, b"Only no echo is supported"  # as llama.cpp's server says it


@pytest.mark.parametrize(("protocol", "reason"), [(ignores_all, "ignores echo"), (fails, "Only no echo")])
def test_a_server_without_them_is_noticed_at_once_and_never_trusted(server, protocol, reason, caplog):
    server.given, server.reply = protocol, lambda prompt: "Yes:\nThe capital is Oslo." if "Oslo" in prompt else "Cats."
    explained = explain(server)
    assert explained.attribution.utility == "similarity"
    assert any("gives no log-probabilities of given answers" in warning for warning in explained.warnings)
    assert reason in caplog.text
    written = [body for body in server.bodies if "prompt_logprobs" not in body and "echo" not in body]
    assert "in whole sentences" in written[0]["messages"][0]["content"]
    assert {body["max_tokens"] for body in written} == {32}  # the answer is short enough
    assert explained.citations.sentences[0].passages == ("oslo",)
    given = [body for body in server.bodies if "prompt_logprobs" in body or "echo" in body]
    assert len(given) == 2
    with pytest.raises(SettingsError, match=r"attribution\.utility: the reader .* gives no log-probabilities"):
        explain(server, "attribution.utility=likelihood")
    with pytest.raises(ValueError, match=rf"no log-probabilities of given answers .*{reason}.* use attribution"):
        Endpoint(server.url, "tiny").score(["a"], ["b"])


def test_a_long_given_answer_leaves_room_for_replies_as_long(server, caplog):
    server.reply = lambda prompt: "The capital is Oslo."
    explain(server, "attribution.utility=similarity", answer=" ".join(["Cats sleep a lot."] * 10))
    assert {body["max_tokens"] for body in server.bodies} == {80}
    assert len(server.bodies) == 4  # no trial
    assert "at most 320 written" in caplog.text


def test_replies_of_votes_ask_for_no_log_probabilities(server):
    explain(server, answer=None)
    assert not any("prompt_logprobs" in body or "echo" in body for body in server.bodies)


def test_impossible_tokens_count_a_number_and_are_reported(server):
    def impossible(prompt: str, text: str) -> list[tuple[str, float]]:
        return [(token, -math.inf if "sleep" in token else p) for token, p in tokens_of(prompt, text)]

    server.given = lambda path, body: vllm(path, body, impossible)
    explained = explain(server)
    assert np.isfinite(explained.attribution.values).all()
    assert any("1 token of the answer impossible" in warning for warning in explained.warnings)


def test_an_endpoint_that_stops_half_way_is_not_asked_again_for_what_came(server, tmp_path):
    server.given = vllm
    cache = f"reader.endpoint.cache={tmp_path}/replies.sqlite3"
    passages = [Passage(str(i), f"Cats {i} sleep.") for i in range(4)]
    assert Endpoint(server.url, "tiny", cache=tmp_path / "replies.sqlite3").scores_tokens()
    with pytest.raises(EndpointError, match="came and are kept"):
        explain(server, cache, "reader.endpoint.max_calls=6", passages=passages)
    explain(server, cache, passages=passages)
    assert len(server.bodies) == 1 + 16


@pytest.mark.parametrize(
    ("pieces", "text", "places"),
    [
        (["\n", "The", " cat", "."], "The cat.", [(0, 3), (4, 7), (7, 8)]),
        (["x", "The", "cat", "."], "The cat.", [(0, 3), (4, 7), (7, 8)]),  # white space was decoded away
        (["\ufffd", "\ufffd", "t", "\ufffd", "\ufffd", "."], "ét日.", [(0, 1), (0, 1), (1, 2), (2, 3), (2, 3), (3, 4)]),
        (["", "é", "t"], "ét", [(0, 0), (0, 1), (1, 2)][1:]),  # decoded with what came before
        (["b", "bytes:\\xe2\\x80", "bytes:\\x94"], "b—", [(0, 1), (1, 2), (1, 2)]),
    ],
)
def test_tokens_are_found_in_the_text_whatever_of_them_could_be_decoded(pieces, text, places):
    found = _last(pieces, [-1.0] * len(pieces), text)
    assert [(token.start, token.end) for token in found] == places


def test_tokens_of_another_text_are_refused():
    with pytest.raises(GivenTextError):
        _last(["The", " dog"], [-1.0, -1.0], "The cat")
