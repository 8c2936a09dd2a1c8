"""Answers explained sentence by sentence: a reader whose log-probabilities can be worked out by hand, and real ones."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import BaseModelOutput

from attribution import exact
from rag import Answer, Pipeline, load_settings
from rag.explanation import sentence_games, similarity
from rag.explanation.sentence_games import LikelihoodOfSentences
from rag.readers.base import EncodedQuestion, TokenScores
from rag.readers.fid import FiDReader
from rag.readers.prompt.causal import CausalModel
from rag.readers.prompt.reader import PromptReader
from rag.settings_base import SettingsError
from retrievers import Passage

from ..conftest import ScriptedReader, WordReader
from ..readers.conftest import random_coalitions, random_passages

ROWE, SMITH, BOTH, NONE = (
    Passage("rowe", "Rowe built a tower at sea."),
    Passage("smith", "Smith built a bridge."),
    Passage("both", "Rowe met Smith."),
    Passage("none", "Sheep graze here."),
)
PASSAGES = [ROWE, SMITH, BOTH, NONE]
ANSWER = "Rowe built a tower at sea.  Smith built a bridge. Jones dug tunnels."


def plain_worth(words: Sequence[str], passages: Sequence[Passage]) -> float:
    return sum(-8 / (1 + sum(word in passage.text.split() for passage in passages)) for word in words)


def test_values_of_each_sentence_are_the_shapley_values_of_a_game_of_its_own():
    answer = Pipeline(None, WordReader()).explain("who?", PASSAGES, answer=ANSWER)
    cited = answer.citations
    assert answer.text == answer.full_text == cited.answer == ANSWER
    assert cited.attribution.values.shape == cited.attribution.errors.shape == (3, 4)
    assert cited.attribution.evaluations == answer.attribution.evaluations == 16
    assert cited.attribution.utility == "likelihood"
    texts = ["Rowe built a tower at sea.", "Smith built a bridge.", "Jones dug tunnels."]
    assert [cited.text(sentence) for sentence in cited.sentences] == list(cited.attribution.outputs) == texts
    for row, text in enumerate(texts):

        def alone(rows: np.ndarray, words: Sequence[str] = text.split()) -> list[float]:
            shown = ([p for p, seen in zip(PASSAGES, row, strict=True) if seen] for row in rows)
            return [plain_worth(words, passages) for passages in shown]

        assert cited.attribution.values[row] == pytest.approx(exact(alone, 4).values[0])
    # What the passages do for the whole answer is the sum of what they do for its sentences.
    assert answer.attribution.outputs == (ANSWER,)
    assert answer.attribution.values[0] == pytest.approx(cited.attribution.values.sum(axis=0))
    assert {e.passage.id: e.value for e in answer.evidence} == pytest.approx(
        dict(zip(answer.attribution.players, answer.attribution.values[0], strict=True))
    )
    assert not any(e.kept for e in answer.evidence)


def test_sampled_values_have_standard_errors_that_cover_the_exact_ones():
    passages = [*PASSAGES, *(Passage(f"more {i}", f"tower bridge {i} {'Rowe' * (i % 2)}") for i in range(6))]
    sampled = load_settings(overrides=["attribution.budget=200", "attribution.estimator=permutation"])
    found = Pipeline(None, WordReader(), sampled).explain("who?", passages, answer=ANSWER).citations.attribution
    everything = load_settings(overrides=["attribution.budget=1024"])
    exactly = Pipeline(None, WordReader(), everything).explain("who?", passages, answer=ANSWER).citations.attribution
    assert (found.samples is None, exactly.samples) == (False, None)
    assert found.errors.shape == found.values.shape == (3, 10)
    assert found.errors[:2].max() > 0
    assert (np.abs(found.values - exactly.values) <= 4 * found.errors + 1e-9).all()


def test_each_sentence_names_what_carries_it_and_what_nothing_does():
    cited = Pipeline(None, WordReader()).explain("who?", PASSAGES, answer=ANSWER).citations
    first, second, third = cited.sentences
    assert first.passages[0] == "rowe"
    assert second.passages[0] == "smith"
    assert third.passages == ()
    assert (first.tokens, second.tokens, third.tokens) == (6, 4, 3)
    assert [sentence.supported for sentence in cited.sentences] == [True, True, False]
    assert cited.unsupported == (third,)
    strict = load_settings(overrides=["attribution.support=-1"])
    judged = Pipeline(None, WordReader(), strict).explain("who?", PASSAGES, answer=ANSWER).citations.sentences
    assert [sentence.supported for sentence in judged] == [False, False, False]
    names = {passage.id: passage for passage in PASSAGES}
    for sentence in cited.sentences:
        words = cited.text(sentence).split()
        carrying = [names[name] for name in sentence.passages]
        rest = [passage for passage in PASSAGES if passage not in carrying]
        full = plain_worth(words, PASSAGES)
        assert sentence.drop == pytest.approx(full - plain_worth(words, rest))
        assert sentence.hold == pytest.approx(plain_worth(words, carrying) - full)


def test_chosen_spans_are_the_outputs_and_count_their_own_tokens_alone():
    explained = Pipeline(None, WordReader()).explain("who?", PASSAGES, answer=ANSWER, spans=["a bridge", (0, 12)])
    cited = explained.citations
    assert cited.chosen
    assert [cited.text(one) for one in cited.sentences] == ["Rowe built a", "a bridge"]
    sentences = Pipeline(None, WordReader()).explain("who?", PASSAGES, answer=ANSWER).citations
    assert not sentences.chosen
    game = LikelihoodOfSentences(
        WordReader(), EncodedQuestion("who?", tuple(PASSAGES), (0,) * 4, 0, None), ANSWER, [(0, 12)]
    )
    assert game(np.ones((1, 4), dtype=bool))[0, 0] == pytest.approx(plain_worth(["Rowe", "built", "a"], PASSAGES))
    assert cited.attribution.full == pytest.approx(
        [plain_worth(["Rowe", "built", "a"], PASSAGES), plain_worth(["a", "bridge."], PASSAGES)]
    )
    assert explained.attribution.values[0] == pytest.approx(cited.attribution.values.sum(axis=0))


def test_a_span_of_the_readers_own_short_answer_is_explained_too():
    explained = Pipeline(None, WordReader()).explain("who?", PASSAGES)
    first = explained.full_text.split()[0]
    part = Pipeline(None, WordReader()).explain("who?", PASSAGES, spans=[first])
    assert part.attribution.utility == "likelihood"
    assert [part.citations.text(one) for one in part.citations.sentences] == [first]


def test_logits_are_those_of_the_mean_probability_of_a_token():
    settings = load_settings(overrides=["attribution.utility=logit"])
    found = Pipeline(None, WordReader(), settings).explain("who?", PASSAGES, answer=ANSWER)
    plain = Pipeline(None, WordReader()).explain("who?", PASSAGES, answer=ANSWER)
    assert found.attribution.utility == found.citations.attribution.utility == "logit"
    counts = np.array([6, 4, 3])
    for ours, log_probs in (
        (found.citations.attribution.full, plain.citations.attribution.full / counts),
        (found.attribution.full, plain.attribution.full / counts.sum()),
    ):
        probability = np.exp(log_probs)
        assert ours == pytest.approx(np.log(probability / (1 - probability)))
    pairs = zip(found.citations.sentences, plain.citations.sentences, strict=True)
    assert all(one.supported == other.supported and one.log_prob == other.log_prob for one, other in pairs)


def test_each_token_is_listed_with_its_log_probability_from_all_passages_and_none():
    first, *_ = Pipeline(None, WordReader()).explain("who?", PASSAGES, answer=ANSWER).citations.sentences
    tokens = first.token_log_probs
    assert [ANSWER[token.start : token.end].strip() for token in tokens] == [
        "Rowe",
        "built",
        "a",
        "tower",
        "at",
        "sea.",
    ]
    assert [token.full for token in tokens] == pytest.approx([plain_worth([w], PASSAGES) for w in ANSWER.split()[:6]])
    assert {token.empty for token in tokens} == {-8.0}
    assert first.log_prob == pytest.approx(plain_worth(ANSWER.split()[:6], PASSAGES) / 6)


def test_a_short_answer_is_one_sentence():
    answer = Pipeline(None, WordReader()).explain("who?", PASSAGES, answer=" Smith ")
    assert answer.text == "Smith"
    assert [answer.citations.text(sentence) for sentence in answer.citations.sentences] == ["Smith"]
    assert answer.attribution == answer.citations.attribution
    assert (answer.sufficient, answer.counterfactual, answer.others) == (None, None, ())


def test_a_long_answer_of_the_readers_own_is_explained_by_sentences_and_says_so():
    class Wordy(WordReader):
        def generate(self, encoded: EncodedQuestion, coalitions: np.ndarray) -> list[str]:
            return [f"{ANSWER} {int(row.sum())}" if row.any() else "" for row in coalitions]

    answer = Pipeline(None, Wordy()).explain("who?", PASSAGES)
    assert answer.full_text == f"{ANSWER} 4"
    assert len(answer.citations.sentences) >= 3
    assert answer.attribution.utility == "likelihood"
    assert any("more than 12 words" in warning for warning in answer.warnings)
    chosen = Pipeline(None, Wordy()).explain("who?", PASSAGES, spans=["4"])
    assert any("spans were chosen, so values are of the spans' likelihood" in warning for warning in chosen.warnings)
    short = Pipeline(None, WordReader()).explain("who?", PASSAGES)
    assert (short.citations, short.attribution.utility) == (None, "votes")


def test_a_reader_without_log_probabilities_is_asked_for_similar_answers(monkeypatch):
    class Letters:
        def encode_documents(self, texts: list[str], batch_size: int) -> np.ndarray:
            counts = np.array(
                [[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]
            )
            return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    monkeypatch.setattr(similarity, "default_encoder", Letters)
    passages = [Passage("a", "it is Rome."), Passage("b", "nothing here.")]
    answer = Pipeline(None, ScriptedReader()).explain("where?", passages, answer="Rome.")
    assert answer.attribution.utility == "similarity"
    assert any("no log-probabilities" in warning for warning in answer.warnings)
    assert answer.attribution.values[0] == pytest.approx([1.0, 0.0])
    [sentence] = answer.citations.sentences
    assert (sentence.passages, sentence.tokens, sentence.supported) == (("a",), None, None)


def test_rouge_l_is_the_share_of_a_sentences_words_that_the_answer_holds_in_order():
    measure = similarity.rouge_l(["The cat sat on a mat.", "Der Bär schläft.", "猫が好き"])
    assert measure("On the mat sat a cat") == pytest.approx([3 / 6, 0, 0])  # "the sat a"
    assert measure("Der große Bär schläft") == pytest.approx([0, 1, 0])
    assert measure("猫が好きです")[2] > 0.8


@pytest.mark.parametrize("utility", ["similarity", "rouge-l"])
def test_a_given_answer_is_compared_with_answers_at_length_where_a_reader_writes_such(utility):
    class Writing(ScriptedReader):
        lengths: ClassVar[set[int]] = set()

        def write(self, encoded: EncodedQuestion, coalitions: np.ndarray, words: int) -> list[str]:
            self.lengths.add(words)
            shown = ([p.text for p, seen in zip(encoded.passages, row, strict=True) if seen] for row in coalitions)
            return [" ".join(texts) for texts in shown]

    passages = [Passage("a", "The roof leaked in March."), Passage("b", "The boat was painted blue.")]
    settings = load_settings(overrides=[f"attribution.utility={utility}"])
    given = "The boat was painted blue. The roof leaked in March."
    answer = Pipeline(None, Writing(), settings).explain("what?", passages, answer=given)
    assert answer.attribution.utility == utility
    assert [sentence.passages for sentence in answer.citations.sentences] == [("b",), ("a",)]
    assert answer.citations.attribution.full == pytest.approx([1, 1])
    assert Writing.lengths == {10}


def test_rouge_l_without_its_library_is_an_error_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(ImportError, match=r"pip install 'ragshap\[rouge\]'"):
        similarity.rouge_l(["A sentence."])


def test_an_answer_comes_back_from_json_with_its_citations():
    answer = Pipeline(None, WordReader()).explain("who?", PASSAGES, answer=ANSWER)
    assert Answer.from_json(answer.to_json()).citations == answer.citations
    assert answer.to_dict()["citations"]["sentences"][2]["text"] == "Jones dug tunnels."


def test_an_answer_in_a_language_that_the_reader_does_not_read_is_reported():
    class English(WordReader):
        def reads(self, text: str) -> bool:
            return text.isascii()

    warnings = Pipeline(None, English()).explain("who?", PASSAGES, answer="罗伊建了一座塔。").warnings
    assert any("the answer to explain is in a language" in warning for warning in warnings)
    assert not Pipeline(None, English()).explain("who?", PASSAGES, answer="Rowe built.").warnings


def test_passages_that_the_reader_mostly_does_not_read_are_reported():
    class English(WordReader):
        def reads(self, text: str) -> bool:
            return text.isascii()

    def warnings(*texts):
        passages = [Passage(str(number), text) for number, text in enumerate(texts)]
        return Pipeline(None, English()).explain("who?", passages).warnings

    said = "2 of 3 passages are in a language that the reader"
    assert any(said in warning for warning in warnings("Rowe.", "罗伊建了一座塔。", "琼斯挖了隧道。"))
    assert not warnings("Rowe.", "Jones.", "琼斯挖了隧道。")
    assert not warnings()


def test_a_blank_answer_is_refused():
    with pytest.raises(ValueError, match="the answer to explain is empty"):
        Pipeline(None, WordReader()).explain("who?", PASSAGES, answer=" \n")


def test_without_passages_nothing_is_supported():
    answer = Pipeline(None, WordReader()).explain("who?", [], answer=ANSWER)
    assert [sentence.supported for sentence in answer.citations.sentences] == [False] * 3


def test_tokens_that_the_reader_thinks_impossible_count_a_number_and_are_reported():
    class Impossible(WordReader):
        def score_tokens(self, encoded: EncodedQuestion, coalitions: np.ndarray, answer: str) -> TokenScores:
            found = WordReader.score_tokens(self, encoded, coalitions, answer)
            found.log_probs[:] = -1
            found.log_probs[:, 1] = -np.inf
            return found

    answer = Pipeline(None, Impossible()).explain("who?", PASSAGES, answer="Smith built")
    assert answer.attribution.full == pytest.approx([sentence_games.LEAST_LOG_PROB - 1])
    assert any("1 token of the answer impossible" in warning for warning in answer.warnings)


def test_nan_is_refused():
    class Undefined(WordReader):
        worst = np.nan

    with pytest.raises(ValueError, match="nan as the log-probability"):
        Pipeline(None, Undefined()).explain("who?", PASSAGES, answer="Smith")


def test_similarity_of_parts_is_refused():
    settings = load_settings(overrides=["attribution.utility=similarity", "hierarchy.level=sentence"])
    with pytest.raises(SettingsError, match=r"hierarchy\.level"):
        Pipeline(None, WordReader(), settings).explain("who?", PASSAGES, answer="Smith")


LONG = "the old stone tower is in the sea . the ferry was red . a whale"


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_sentences_of_encoder_decoders_are_scored_as_the_stock_model_does(family, request):
    reader = FiDReader(request.getfixturevalue(family), max_block_tokens=64)
    encoded = reader.encode("where is it ?", random_passages(3, seed=9))
    target = reader.tokenizer(text_target=LONG, return_tensors="pt").input_ids
    with torch.inference_mode():
        logits = reader.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded.state.states),
            attention_mask=torch.ones(1, 1, 1, encoded.state.states.shape[1], dtype=torch.bool)
            & (encoded.state.block < 3),
            labels=target,
        ).logits
    steps = logits[0].log_softmax(-1)[torch.arange(target.shape[1]), target[0]].tolist()
    words = steps[1:-1] if family == "bart" else steps[:-1]  # without the tokens that begin and end an answer
    spans = [(0, 36), (37, 55), (56, 63)]
    counts = [len(LONG[start:end].split()) for start, end in spans]
    assert len(words) == sum(counts) == 16
    expected = [sum(part) for part in np.split(words, np.cumsum(counts)[:-1])]
    game = LikelihoodOfSentences(reader, encoded, LONG, spans)
    assert game(np.ones((1, 3), dtype=bool))[0] == pytest.approx(expected, rel=1e-4)
    assert game.tokens == tuple(counts)


def test_a_causal_model_scores_all_sentences_in_one_pass_as_one_call_each_does(llama):
    reader = PromptReader(CausalModel(llama))
    passages, coalitions = random_passages(4, seed=2), random_coalitions(8, 4, seed=3)
    encoded = reader.encode("where is it ?", passages)
    spans = [(0, 36), (37, 55), (56, 63)]
    found = LikelihoodOfSentences(reader, encoded, LONG, spans)(coalitions)
    # The log-probability of a sentence after others is that of all of them less that of the others.
    plain = reader.score(encoded, coalitions, [LONG[:end] for _, end in spans])
    assert found == pytest.approx(np.diff(plain, axis=1, prepend=0.0), abs=1e-4)
    assert len(np.unique(found[:, 0].round(3))) > 3


def test_an_answer_longer_than_the_window_is_refused_in_one_line(bart):
    reader = FiDReader(bart, max_block_tokens=64)
    with pytest.raises(ValueError, match=r"the answer has 300 tokens, and the reader .* scores at most 127"):
        Pipeline(None, reader).explain("where ?", random_passages(2), answer="tower " * 300)


def test_what_cannot_be_seen_between_sentences_is_left_out():
    answer = "Rowe built a tower at sea.\n\n\u200b\n\nSmith built a bridge."
    cited = Pipeline(None, WordReader()).explain("who?", PASSAGES, answer=answer).citations
    assert [cited.text(one) for one in cited.sentences] == ["Rowe built a tower at sea.", "Smith built a bridge."]
    assert not cited.chosen


@pytest.mark.parametrize(
    ("answer", "spans", "owned"),
    [("A b c", [(0, 1)], [[0]]), ("A b c", [(0, 1), (4, 5)], [[0], [3, 4]]), ("A b ", [(2, 3)], [[1, 2, 3]])],
)
def test_white_space_behind_the_last_span_counts_with_it_only_where_nothing_follows(answer, spans, owned):
    class Characters(WordReader):
        """Has a token for each character, of log-probability -1, -2, -4, ..., so that sums tell which they are of."""

        def score_tokens(self, encoded, coalitions, answer):
            scores = np.tile(-(2.0 ** np.arange(len(answer))), (len(coalitions), 1))
            return TokenScores(scores, tuple((i, i + 1) for i in range(len(answer))))

    game = LikelihoodOfSentences(Characters(), None, answer, spans)
    worth = game(np.zeros((1, 2), dtype=bool))
    assert worth.tolist() == [[-sum(2.0**token for token in tokens) for tokens in owned]]
