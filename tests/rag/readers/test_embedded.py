"""Mechanics of the embedded reader on a tiny random network, with the real tokenizer."""

from __future__ import annotations

import itertools
import json
import math
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rag import Pipeline
from rag.readers import Reader
from rag.readers.base import EnglishReader
from rag.readers.embedded import EmbeddedReader
from rag.readers.embedded.blocks import Tokens, assemble
from rag.readers.embedded.model import CopyReaderConfig, CopyReaderModel, extend_runs
from retrievers import BM25Retriever, Passage

from .conftest import random_coalitions, random_passages

QUESTION = "Where is the old tower?"
KHYBER = Passage("k", "Khyber Pass The Khyber Pass is a mountain pass.", "Khyber Pass")


@pytest.fixture(scope="module")
def folder(tiny_embedded) -> Path:
    return tiny_embedded


@pytest.fixture(scope="module")
def reader(folder) -> EmbeddedReader:
    return EmbeddedReader(folder, max_block_tokens=96, max_answer_tokens=5)


def test_it_is_a_reader(reader):
    assert isinstance(reader, Reader)


def test_masking_passages_equals_leaving_them_out(reader):
    passages = random_passages(6)
    coalitions = random_coalitions(60, 6)
    encoded = reader.encode(QUESTION, passages)
    answers = reader.generate(encoded, coalitions)
    scores = reader.score(encoded, coalitions, ["old stone tower", ""])
    assert len(set(answers)) > 3, "the answers do not depend on the coalition, so this shows nothing"
    for row, answer, score in zip(coalitions, answers, scores, strict=True):
        alone = reader.encode(QUESTION, [p for p, member in zip(passages, row, strict=True) if member])
        everything = np.ones((1, int(row.sum())), bool)
        assert reader.generate(alone, everything) == [answer]
        assert reader.score(alone, everything, ["old stone tower", ""])[0] == pytest.approx(score, abs=1e-4)


def test_batches_and_memory_change_nothing(folder, reader):
    passages, coalitions = random_passages(6, seed=1), random_coalitions(60, 6, seed=1)
    encoded = reader.encode(QUESTION, passages)
    together = reader.generate(encoded, coalitions)
    assert [reader.generate(encoded, row[None])[0] for row in coalitions] == together
    thrifty = EmbeddedReader(folder, max_block_tokens=96, max_answer_tokens=5, memory_mb=1)
    assert thrifty.generate(thrifty.encode(QUESTION, passages), coalitions) == together


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
def test_the_fast_choice_equals_the_mixture_written_out(folder, threshold, gate):
    reader = EmbeddedReader(folder, max_block_tokens=96, max_answer_tokens=6, no_answer_threshold=threshold)
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


def test_the_fast_choice_stops_where_a_text_begins_afresh(folder):
    reader = EmbeddedReader(folder, max_block_tokens=96, max_answer_tokens=6)
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


def test_the_vocabulary_counts_towards_no_answer(folder):
    """The pointer alone would not reach the threshold, and is sure of its one word."""
    reader = EmbeddedReader(folder, max_block_tokens=96, max_answer_tokens=1)
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


def test_score_is_the_product_of_its_steps(reader):
    passages = [Passage("t", "Stone tower by the stone tower."), *random_passages(2, seed=5), KHYBER]
    encoded = reader.encode(QUESTION, passages)
    coalitions = random_coalitions(6, 4, seed=5)
    answers = ["stone tower", "Stone tower by the", "", "the old tower", "a word that stands nowhere"]
    answers += ["Khyber Pass", "Khyber Pass The Khyber Pass", "the Khyber Pass"]
    scores = reader.score(encoded, coalitions, answers)
    stop = reader.model.config.stop_id
    for row, coalition in enumerate(coalitions):
        for column, answer in enumerate(answers):
            total, tokens = 0.0, [*reader.tokenizer.encode([answer])[0].ids, stop]
            with torch.inference_mode():
                for step, token in enumerate(tokens):
                    before = tokens[:step]
                    mixture = slow_mixture(reader.model, encoded.state.source, seen_by(encoded, coalition), before)
                    total += math.log(mixture[token])
            assert scores[row, column] == pytest.approx(total, abs=1e-3)


def test_answers_are_spelled_as_in_the_passages_that_are_seen(reader):
    encoded = reader.encode("Which castle?", [Passage("a", "EDINBURGH Castle."), Passage("b", "Edinburgh CASTLE")])
    ids = tuple(reader.tokenizer.encode(["edinburgh castle"])[0].ids)
    spelled = dict(reader._spellings(encoded, ids))
    assert spelled == {0: "EDINBURGH Castle", 1: "Edinburgh CASTLE"}
    assert reader._spellings(encoded, ()) == []


@pytest.mark.parametrize(
    ("text", "answer", "spelled"),
    [
        ("in Hel\u00adsin\u200bki now", "helsinki", "Helsinki"),
        (unicodedata.normalize("NFD", "at the Café, and"), "cafe", unicodedata.normalize("NFD", "Café")),
        (unicodedata.normalize("NFC", "at the Café, and"), "cafe", unicodedata.normalize("NFC", "Café")),
    ],
)
def test_answers_are_copied_with_their_accents_and_without_hyphens(reader, text, answer, spelled):
    encoded = reader.encode(QUESTION, [Passage("a", text)])
    ids = tuple(reader.tokenizer.encode([answer])[0].ids)
    assert reader._spellings(encoded, ids) == [(0, spelled)]


@pytest.mark.parametrize(
    ("question", "read"),
    [
        ("Where is the old tower?", True),
        ("Who wrote «À la recherche du temps perdu» (失われた時を求めて)?", True),
        ("What does TNF-\u03b1 do?", True),
        ("1 + 1?", True),
        ("東京タワーはどこですか。", False),
        ("서울의 수도는 어디입니까?", False),
        ("यह मीनार कहाँ है?", False),
        ("Где находится башня?", False),
        ("أين البرج القديم؟", False),
    ],
)
def test_it_says_which_questions_it_does_not_read(reader, question, read):
    assert isinstance(reader, EnglishReader)
    assert reader.reads(question) is read


def test_an_answer_to_a_question_that_is_not_read_carries_a_warning(reader):
    passages = [Passage("a", "東京タワーは港区にある。"), Passage("b", "The tower is old.")]
    answer = Pipeline(BM25Retriever(passages), reader).ask("東京タワーはどこですか。")
    assert answer.evidence[0].passage.id == "a"
    warnings = [line for line in answer.warnings if "in a language that the reader" in line]
    assert len(warnings) == 1
    assert warnings == [line for line in json.loads(answer.to_json())["warnings"] if "language" in line]
    assert "in a language that the reader" in answer.to_html()
    assert not any("language" in line for line in Pipeline(BM25Retriever(passages), reader).ask("an old one?").warnings)


def test_no_answer_borrows_the_spelling_of_a_passage_that_is_left_out(folder):
    """Passages in upper and lower case have the same word pieces, so only the spelling tells them apart."""
    reader = EmbeddedReader(folder, max_block_tokens=96, max_answer_tokens=1, no_answer_threshold=1.0)
    with torch.no_grad():
        reader.model.gate.bias.fill_(-20.0)  # copying alone
    quiet = random_passages(3, seed=6)
    passages = [*quiet, *(Passage(f"{p.id}+", p.text.upper(), p.title.upper()) for p in quiet)]
    encoded = reader.encode(QUESTION, passages)
    low, high = np.eye(6, dtype=bool)[:3], np.eye(6, dtype=bool)[3:]
    for lower, upper, passage in zip(reader.generate(encoded, low), reader.generate(encoded, high), quiet, strict=True):
        assert lower
        assert lower in passage.full_text
        assert upper == lower.upper() != lower


def test_special_tokens_written_in_a_passage_are_text(reader):
    passage = Passage("a", "The old [SEP] tower [PAD] and [CLS] stone.")
    encoded = reader.encode("what is [SEP]?", [passage])
    source = encoded.state.source
    config = reader.model.config
    assert not set(source.ids[0, source.copyable[0]].tolist()) & {config.pad_id, config.start_id, config.stop_id}
    assert source.ids[0].tolist().count(config.stop_id) == 3  # two in the passage's block, one in the question's
    everything = np.ones((1, 1), bool)
    ordinary, empty = reader.score(encoded, everything, ["[PAD]", ""])[0]
    assert ordinary < empty


def test_an_empty_passage_has_a_relevance_of_its_own(reader):
    sea, empty = Passage("a", "the sea and the old ship"), Passage("b", "")
    alone = [reader.relevance(reader.encode(QUESTION, [p]))[0] for p in (sea, empty)]
    assert alone[0] != pytest.approx(alone[1], abs=1e-3)
    together = reader.relevance(reader.encode(QUESTION, [empty, sea, empty]))
    assert together == pytest.approx([alone[1], alone[0], alone[1]], abs=1e-5)
    assert len(reader.generate(reader.encode(QUESTION, [empty, sea]), random_coalitions(4, 2))) == 4


@pytest.mark.parametrize("limit", [16, 40])
def test_a_long_question_leaves_room_for_the_passages(folder, limit):
    room = limit - limit // 2 - 3
    reader = EmbeddedReader(folder, max_block_tokens=limit, max_passage_tokens=room, max_answer_tokens=3)
    encoded = reader.encode("who " * 200, [Passage("a", "sea " * 300), Passage("b", "sea")])
    assert encoded.question_cut_tokens == 200 - limit // 2
    assert encoded.cut_tokens == (300 - room, 0)
    assert torch.bincount(encoded.state.source.block[0]).tolist() == [limit, limit - room + 1, limit // 2 + 2]
    assert len(reader.generate(encoded, random_coalitions(4, 2))) == 4


def test_a_long_question_is_cut_and_counted(reader):
    encoded = reader.encode("who " * 25_000, [Passage("a", "sea " * 300), Passage("b", "sea")])
    assert encoded.question_cut_tokens == 25_000 - 48
    assert encoded.cut_tokens == (0, 0)
    assert len(reader.generate(encoded, random_coalitions(4, 2))) == 4


def test_of_a_long_question_the_end_is_read(reader):
    story = "We were on the islands with two children and an old car. " * 12
    asked = "Which ferry carries cars to Suduroy?"
    for question in (story + asked, f"{story}{asked} Thank you for your help, and have a nice day."):
        pieces, cut = reader.tokenizer.encode_question(question, 256)
        read = reader.tokenizer.decode(pieces.ids)
        assert read == asked.lower()
        assert cut == len(reader.tokenizer.encode([question])[0].ids) - len(pieces.ids)
        assert [question[begin:end] for begin, end in pieces.offsets[:3]] == ["Which", "ferry", "carries"]
    endless = "why " * 300 + "here?"
    pieces, _ = reader.tokenizer.encode_question(endless, 256)
    assert reader.tokenizer.decode(pieces.ids).endswith("why here?")
    statement, _ = reader.tokenizer.encode_question(story + "Tell me about the ferry.", 256)
    assert "tell me about the ferry" in reader.tokenizer.decode(statement.ids)


def test_bfloat16_is_near_float32(folder, reader):
    half = EmbeddedReader(folder, max_block_tokens=96, max_answer_tokens=5, dtype="bfloat16")
    passages = random_passages(4, seed=3)
    exact, near = (one.encode(QUESTION, passages).state.source.states for one in (reader, half))
    assert near.dtype == torch.float32
    assert 0 < (exact - near).abs().max() < 0.1 * exact.abs().max()


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


def test_runs_follow_the_answer_through_the_source(reader):
    """Against a plain search for the longest answer suffix that ends at each token."""
    encoded = reader.encode("one two", [Passage("a", "one two one two three"), Passage("b", "two one two")])
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
