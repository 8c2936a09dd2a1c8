"""Mechanics of the embedded reader on a tiny random network, with the real tokenizer."""

from __future__ import annotations

import itertools
import json
import unicodedata

import numpy as np
import pytest
import torch

from rag import Pipeline
from rag.readers import Reader
from rag.readers.base import EnglishReader
from rag.readers.embedded import EmbeddedReader
from rag.readers.embedded.model import extend_runs
from retrievers import BM25Retriever, Passage

from .conftest import QUESTION, random_coalitions, random_passages


def test_it_is_a_reader(tiny_reader):
    assert isinstance(tiny_reader, Reader)


def test_masking_passages_equals_leaving_them_out(tiny_reader):
    passages = random_passages(6)
    coalitions = random_coalitions(60, 6)
    encoded = tiny_reader.encode(QUESTION, passages)
    answers = tiny_reader.generate(encoded, coalitions)
    scores = tiny_reader.score(encoded, coalitions, ["old stone tower", ""])
    assert len(set(answers)) > 3, "the answers do not depend on the coalition, so this shows nothing"
    for row, answer, score in zip(coalitions, answers, scores, strict=True):
        alone = tiny_reader.encode(QUESTION, [p for p, member in zip(passages, row, strict=True) if member])
        everything = np.ones((1, int(row.sum())), bool)
        assert tiny_reader.generate(alone, everything) == [answer]
        assert tiny_reader.score(alone, everything, ["old stone tower", ""])[0] == pytest.approx(score, abs=1e-4)


def test_batches_and_memory_change_nothing(tiny_embedded, tiny_reader):
    passages, coalitions = random_passages(6, seed=1), random_coalitions(60, 6, seed=1)
    encoded = tiny_reader.encode(QUESTION, passages)
    together = tiny_reader.generate(encoded, coalitions)
    assert [tiny_reader.generate(encoded, row[None])[0] for row in coalitions] == together
    thrifty = EmbeddedReader(tiny_embedded, max_block_tokens=96, max_answer_tokens=5, memory_mb=1)
    assert thrifty.generate(thrifty.encode(QUESTION, passages), coalitions) == together


def test_answers_are_spelled_as_in_the_passages_that_are_seen(tiny_reader):
    encoded = tiny_reader.encode("Which castle?", [Passage("a", "EDINBURGH Castle."), Passage("b", "Edinburgh CASTLE")])
    ids = tuple(tiny_reader.tokenizer.encode(["edinburgh castle"])[0].ids)
    spelled = dict(tiny_reader._spellings(encoded, ids))
    assert spelled == {0: "EDINBURGH Castle", 1: "Edinburgh CASTLE"}
    assert tiny_reader._spellings(encoded, ()) == []


@pytest.mark.parametrize(
    ("text", "answer", "spelled"),
    [
        ("in Hel\u00adsin\u200bki now", "helsinki", "Helsinki"),
        (unicodedata.normalize("NFD", "at the Café, and"), "cafe", unicodedata.normalize("NFD", "Café")),
        (unicodedata.normalize("NFC", "at the Café, and"), "cafe", unicodedata.normalize("NFC", "Café")),
    ],
)
def test_answers_are_copied_with_their_accents_and_without_hyphens(tiny_reader, text, answer, spelled):
    encoded = tiny_reader.encode(QUESTION, [Passage("a", text)])
    ids = tuple(tiny_reader.tokenizer.encode([answer])[0].ids)
    assert tiny_reader._spellings(encoded, ids) == [(0, spelled)]


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
        ("Wie hoch ist der Alte Mann von Hoy?", False),
        ("Quelle est la hauteur de la tour Eiffel ?", False),
        ("¿Cuál es la capital de España?", False),
        ("De kerk werd in 1382 gebouwd en is 112 meter hoog.", False),
        ("Van Gogh and the Los Angeles County Museum", True),
        ("Die Hard box office", True),
        ("Paris", True),
    ],
)
def test_it_says_which_questions_it_does_not_read(tiny_reader, question, read):
    assert isinstance(tiny_reader, EnglishReader)
    assert tiny_reader.reads(question) is read


def test_an_answer_to_a_question_that_is_not_read_carries_a_warning(tiny_reader):
    passages = [Passage("a", "東京タワーは港区にある。"), Passage("b", "The tower is old.")]
    answer = Pipeline(BM25Retriever(passages), tiny_reader).ask("東京タワーはどこですか。")
    assert answer.evidence[0].passage.id == "a"
    warnings = [line for line in answer.warnings if "in a language that the reader" in line]
    assert len(warnings) == 1
    assert warnings == [line for line in json.loads(answer.to_json())["warnings"] if "language" in line]
    assert "in a language that the reader" in answer.to_html()
    assert not any(
        "language" in line for line in Pipeline(BM25Retriever(passages), tiny_reader).ask("an old one?").warnings
    )


def test_no_answer_borrows_the_spelling_of_a_passage_that_is_left_out(tiny_embedded):
    """Passages in upper and lower case have the same word pieces, so only the spelling tells them apart."""
    reader = EmbeddedReader(tiny_embedded, max_block_tokens=96, max_answer_tokens=1, no_answer_threshold=1.0)
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


def test_special_tokens_written_in_a_passage_are_text(tiny_reader):
    passage = Passage("a", "The old [SEP] tower [PAD] and [CLS] stone.")
    encoded = tiny_reader.encode("what is [SEP]?", [passage])
    source = encoded.state.source
    config = tiny_reader.model.config
    assert not set(source.ids[0, source.copyable[0]].tolist()) & {config.pad_id, config.start_id, config.stop_id}
    assert source.ids[0].tolist().count(config.stop_id) == 3  # two in the passage's block, one in the question's
    everything = np.ones((1, 1), bool)
    ordinary, empty = tiny_reader.score(encoded, everything, ["[PAD]", ""])[0]
    assert ordinary < empty


def test_an_empty_passage_has_a_relevance_of_its_own(tiny_reader):
    sea, empty = Passage("a", "the sea and the old ship"), Passage("b", "")
    alone = [tiny_reader.relevance(tiny_reader.encode(QUESTION, [p]))[0] for p in (sea, empty)]
    assert alone[0] != pytest.approx(alone[1], abs=1e-3)
    together = tiny_reader.relevance(tiny_reader.encode(QUESTION, [empty, sea, empty]))
    assert together == pytest.approx([alone[1], alone[0], alone[1]], abs=1e-5)
    assert len(tiny_reader.generate(tiny_reader.encode(QUESTION, [empty, sea]), random_coalitions(4, 2))) == 4


@pytest.mark.parametrize("limit", [16, 40])
def test_a_long_question_leaves_room_for_the_passages(tiny_embedded, limit):
    room = limit - limit // 2 - 3
    reader = EmbeddedReader(tiny_embedded, max_block_tokens=limit, max_passage_tokens=room, max_answer_tokens=3)
    encoded = reader.encode("who " * 200, [Passage("a", "sea " * 300), Passage("b", "sea")])
    assert encoded.question_cut_tokens == 200 - limit // 2
    assert encoded.cut_tokens == (300 - room, 0)
    assert torch.bincount(encoded.state.source.block[0]).tolist() == [limit, limit - room + 1, limit // 2 + 2]
    assert len(reader.generate(encoded, random_coalitions(4, 2))) == 4


def test_a_long_question_is_cut_and_counted(tiny_reader):
    encoded = tiny_reader.encode("who " * 25_000, [Passage("a", "sea " * 300), Passage("b", "sea")])
    assert encoded.question_cut_tokens == 25_000 - 48
    assert encoded.cut_tokens == (0, 0)
    assert len(tiny_reader.generate(encoded, random_coalitions(4, 2))) == 4


def test_of_a_long_question_the_end_is_read(tiny_reader):
    story = "We were on the islands with two children and an old car. " * 12
    asked = "Which ferry carries cars to Suduroy?"
    for question in (story + asked, f"{story}{asked} Thank you for your help, and have a nice day."):
        pieces, cut = tiny_reader.tokenizer.encode_question(question, 256)
        read = tiny_reader.tokenizer.decode(pieces.ids)
        assert read == asked.lower()
        assert cut == len(tiny_reader.tokenizer.encode([question])[0].ids) - len(pieces.ids)
        assert [question[begin:end] for begin, end in pieces.offsets[:3]] == ["Which", "ferry", "carries"]
    endless = "why " * 300 + "here?"
    pieces, _ = tiny_reader.tokenizer.encode_question(endless, 256)
    assert tiny_reader.tokenizer.decode(pieces.ids).endswith("why here?")
    statement, _ = tiny_reader.tokenizer.encode_question(story + "Tell me about the ferry.", 256)
    assert "tell me about the ferry" in tiny_reader.tokenizer.decode(statement.ids)


def test_bfloat16_is_near_float32(tiny_embedded, tiny_reader):
    half = EmbeddedReader(tiny_embedded, max_block_tokens=96, max_answer_tokens=5, dtype="bfloat16")
    passages = random_passages(4, seed=3)
    exact, near = (one.encode(QUESTION, passages).state.source.states for one in (tiny_reader, half))
    assert near.dtype == torch.float32
    assert 0 < (exact - near).abs().max() < 0.1 * exact.abs().max()


def test_no_passages_at_all(tiny_reader):
    encoded = tiny_reader.encode(QUESTION, [])
    assert len(tiny_reader.generate(encoded, np.ones((2, 0), bool))) == 2
    assert tiny_reader.relevance(encoded).shape == (0,)


def test_wrong_input_is_refused(tiny_embedded, tiny_reader):
    encoded = tiny_reader.encode(QUESTION, random_passages(3))
    with pytest.raises(ValueError, match=r"expected \(n_coalitions, 3\)"):
        tiny_reader.generate(encoded, np.ones((2, 4), bool))
    with pytest.raises(ValueError, match="question is empty"):
        tiny_reader.encode(" ", [])
    with pytest.raises(ValueError, match="at most 96 tokens"):
        EmbeddedReader(tiny_embedded, max_block_tokens=97)


def test_runs_follow_the_answer_through_the_source(tiny_reader):
    """Against a plain search for the longest answer suffix that ends at each token."""
    encoded = tiny_reader.encode("one two", [Passage("a", "one two one two three"), Passage("b", "two one two")])
    source = encoded.state.source
    ids = source.ids[0].tolist()
    answer = tiny_reader.tokenizer.encode(["one two one two"])[0].ids
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
