"""The mixture of copying and vocabulary from which the embedded reader answers, against the same written out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rag.readers.embedded import EmbeddedReader
from rag.readers.embedded.blocks import Tokens, assemble
from rag.readers.embedded.model import CopyReaderConfig, CopyReaderModel
from retrievers import Passage

from .conftest import KHYBER, QUESTION, random_coalitions, random_passages


def slow_mixture(model: CopyReaderModel, source, seen: list[bool], answer: list[int]) -> torch.Tensor:
    """Probability of each next token, `(vocab_size,)`: the paper formula in plain loops over the source tokens."""
    hidden = model.decode(torch.tensor([[model.config.start_id, *answer]]), source, torch.tensor([seen]))[0, -1]
    ids, copyable, afresh = (part[0].tolist() for part in (source.ids, source.copyable, source.afresh))
    start, end, relevance = (part[0].tolist() for part in (source.start, source.end, source.relevance))
    w_start, w_relevance, w_follow, w_whole, w_end = model.feature_weights.tolist()
    step = len(answer)
    similar = source.keys[0] @ model.copy_query(hidden) / model.config.hidden_size**0.5

    def run(last: int) -> int:
        """Length of the longest end of the answer that stands in one passage, ending at token `last`."""
        length = 0
        while (
            length < step and last >= length and copyable[last - length] and ids[last - length] == answer[-1 - length]
        ):
            length += 1
            if afresh[last - length + 1]:
                break
        return length

    scores, stop, whole, over = {}, float(model.stop(hidden)), [], []
    for position in range(len(ids)):
        if not (seen[position] and copyable[position]):
            continue
        scores[position] = float(similar[position]) + w_relevance * relevance[position]
        if step == 0:
            scores[position] += w_start * start[position]
        else:
            before = run(position - 1)
            scores[position] += w_follow * (before > 0) + w_whole * (before == step)
            if before and afresh[position]:
                over.append(scores.pop(position))
            if run(position) == step:
                first = position - step + 1
                whole.append((math.exp(start[first] + relevance[first]), math.exp(end[position])))
    if whole:
        stop += w_end * math.log(sum(w * e for w, e in whole) / sum(w for w, _ in whole))
    stop = math.log(sum(map(math.exp, [stop, *over])))
    total = math.exp(stop) + sum(map(math.exp, scores.values()))
    gate = float(model.gate(hidden).sigmoid())
    logits = model.to_vocabulary(hidden) @ model.encoder.get_input_embeddings().weight.t() + model.vocabulary_bias
    mixture = gate * logits.double().softmax(-1)
    mixture[model.config.stop_id] += (1 - gate) * math.exp(stop) / total
    for position, score in scores.items():
        mixture[ids[position]] += (1 - gate) * math.exp(score) / total
    return mixture


def seen_by(encoded, coalition: np.ndarray) -> list[bool]:
    return [bool([*coalition, not coalition.any()][block]) for block in encoded.state.source.block[0]]


def slow_greedy(reader: EmbeddedReader, encoded, coalition: np.ndarray) -> list[int]:
    """Greedy decoding with the whole mixture written out at every step, nothing cached, one coalition."""
    seen, stop = seen_by(encoded, coalition), reader.model.config.stop_id
    tokens: list[int] = []
    while len(tokens) < reader.max_answer_tokens:
        mixture = slow_mixture(reader.model, encoded.state.source, seen, tokens)
        if not tokens:
            if mixture[stop] >= reader.no_answer_threshold:
                return []
            mixture[stop] = 0
        token = int(mixture.argmax())
        if token == stop:
            break
        tokens.append(token)
    return tokens


@pytest.mark.parametrize("gate", [-3.0, -1.0])
@pytest.mark.parametrize("threshold", [0.02, 0.5])
def test_the_fast_choice_equals_the_mixture_written_out(tiny_embedded, threshold, gate):
    reader = EmbeddedReader(tiny_embedded, max_block_tokens=96, max_answer_tokens=6, no_answer_threshold=threshold)
    reader.model.gate.bias.data.fill_(gate)
    encoded = reader.encode(QUESTION, random_passages(4, seed=2))
    coalitions = random_coalitions(24, 4, seed=2)
    with torch.inference_mode():
        expected = [slow_greedy(reader, encoded, row) for row in coalitions]
    answers = reader.generate(encoded, coalitions)
    assert len(set(map(tuple, expected))) > 2
    assert len(set(map(len, expected))) > 2, "all rows end together, so none has to leave the batch"
    for answer, tokens in zip(answers, expected, strict=True):
        assert answer.lower().split() == reader.tokenizer.decode(tokens).split()


def test_the_fast_choice_stops_where_a_text_begins_afresh(tiny_embedded):
    reader = EmbeddedReader(tiny_embedded, max_block_tokens=96, max_answer_tokens=6)
    joined = [replace(p, text=f"{p.title} {p.title} {p.text}") for p in random_passages(4, seed=2)]
    encoded, plain = reader.encode(QUESTION, joined), reader.encode(QUESTION, joined)
    assert encoded.state.source.afresh.sum() == 4
    coalitions = random_coalitions(24, 4, seed=2)
    with torch.inference_mode():
        plain.state.source.afresh.fill_(False)
        expected = [slow_greedy(reader, encoded, row) for row in coalitions]
    answers = reader.generate(encoded, coalitions)
    assert answers != reader.generate(plain, coalitions), "no answer reaches such a place, so this shows nothing"
    for answer, tokens in zip(answers, expected, strict=True):
        assert answer.lower().split() == reader.tokenizer.decode(tokens).split()


def test_the_vocabulary_counts_towards_no_answer(tiny_embedded):
    """The pointer alone would not reach the threshold, and is sure of its one word."""
    reader = EmbeddedReader(tiny_embedded, max_block_tokens=96, max_answer_tokens=1)
    stop = reader.model.config.stop_id
    with torch.no_grad():
        reader.model.vocabulary_bias[stop] = 100.0
        reader.model.gate.weight.zero_()
        reader.model.stop.bias.fill_(-20.0)
        encoded = reader.encode(QUESTION, [Passage("a", "sea")])
        chance = float(slow_mixture(reader.model, encoded.state.source, seen_by(encoded, np.ones(1, bool)), [])[stop])
    assert 0 < chance < 0.5
    answers = []
    for reader.no_answer_threshold in (0.99 * chance, 1.01 * chance):
        answers += reader.generate(encoded, np.ones((1, 1), bool))
    assert answers == ["", "sea"]


def test_first_tokens_are_a_distribution():
    """Over a small vocabulary, the chances of all first tokens, stopping at once among them, sum to one."""
    torch.manual_seed(3)
    config = CopyReaderConfig(200, 32, 4, 64, 1, 1, 96)
    model = CopyReaderModel(config).eval()
    pairs = [([150, 151], Tokens([160 + i, 170, 180, 170], [(j, j + 1) for j in range(4)])) for i in range(3)]
    blocks = assemble([*pairs, ([150, 151], None)], 96)
    states = model.encode_blocks(blocks.ids, blocks.types, blocks.mask)
    row, column = blocks.mask.bool().nonzero(as_tuple=True)
    source = model.source(
        states[row, column][None],
        blocks.ids[row, column][None],
        row[None],
        blocks.copyable[row, column][None],
        blocks.afresh[row, column][None],
        states[None, :, 0],
    )
    visible = source.block < 2
    targets = torch.arange(1, config.vocab_size)[:, None]  # the padding token is never a target
    with torch.inference_mode():
        hidden = model.decode(torch.tensor([[config.start_id]]), source, visible)
        log_probs = model.token_log_probs(hidden.expand(len(targets), -1, -1), source, visible, targets)[:, 0]
        padding = slow_mixture(model, source, visible[0].tolist(), [])[config.pad_id]
    assert float(log_probs.double().exp().sum() + padding) == pytest.approx(1, abs=1e-5)


def test_score_is_the_product_of_its_steps(tiny_reader):
    passages = [Passage("t", "Stone tower by the stone tower."), *random_passages(2, seed=5), KHYBER]
    encoded = tiny_reader.encode(QUESTION, passages)
    coalitions = random_coalitions(6, 4, seed=5)
    answers = ["stone tower", "Stone tower by the", "", "the old tower", "a word that stands nowhere"]
    answers += ["Khyber Pass", "Khyber Pass The Khyber Pass", "the Khyber Pass"]
    scores = tiny_reader.score(encoded, coalitions, answers)
    stop = tiny_reader.model.config.stop_id
    for row, coalition in enumerate(coalitions):
        for column, answer in enumerate(answers):
            total, tokens = 0.0, [*tiny_reader.tokenizer.encode([answer])[0].ids, stop]
            with torch.inference_mode():
                for step, token in enumerate(tokens):
                    before = tokens[:step]
                    mixture = slow_mixture(tiny_reader.model, encoded.state.source, seen_by(encoded, coalition), before)
                    total += math.log(mixture[token])
            assert scores[row, column] == pytest.approx(total, abs=1e-3)
