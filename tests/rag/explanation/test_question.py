"""The question's words as players beside the passages: the game, its Owen values, and what they cost."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest

from attribution import Group, exact_owen
from rag import Pipeline, SettingsError, load_settings
from rag.answer import Answer
from rag.explanation.hierarchy import Hierarchy, explain_parts
from rag.explanation.parts import question_part, whole, words
from rag.explanation.question_game import QuestionGame
from rag.readers.base import EncodedQuestion, check_coalitions
from rag.readers.embedded import EmbeddedReader
from rag.readers.fid import FiDReader
from rag.session import Session
from rag.settings import AttributionSettings, HierarchySettings, Settings
from retrievers import Passage

from ..conftest import ScriptedReader


class MatchingReader:
    """Answers with the last word of the first passage that has most words of the question; "" if none has any."""

    name = "matching"

    def __init__(self):
        self.hidden, self.read = [], []

    def encode(self, question, passages):
        return EncodedQuestion(question, tuple(passages), (0,) * len(passages), 0, set(question.split()))

    def generate(self, encoded, coalitions):
        rows = check_coalitions(coalitions, len(encoded.passages))
        return [self._answer(encoded.state, [encoded.passages[i] for i in np.flatnonzero(row)]) for row in rows]

    def score(self, encoded, coalitions, answers):
        return np.array([[float(text == said) for text in answers] for said in self.generate(encoded, coalitions)])

    def extend(self, encoded, variants, masking="attention"):
        left = [Passage("left", _without(encoded.passages[v.passage].text, v.hidden)) for v in variants]
        passages = (*encoded.passages, *left)
        return replace(encoded, passages=passages, cut_tokens=(0,) * len(passages))

    def hide_question(self, encoded, hidden, columns, masking="attention"):
        self.hidden.append(hidden)
        self.read.append(tuple(columns))
        return self.encode(_without(encoded.question, hidden), [encoded.passages[column] for column in columns])

    @staticmethod
    def _answer(question, passages):
        shared = [len(question & set(passage.text.split())) for passage in passages]
        best = max(shared, default=0)
        return passages[shared.index(best)].text.split()[-1] if best else ""


def _without(text, hidden):
    return "".join(c for i, c in enumerate(text) if not any(start <= i < end for start, end in hidden))


QUESTION = "capital of Norway today"
PASSAGES = [
    Passage("oslo", "the capital of Norway is Oslo"),
    Passage("bergen", "the rain of Norway is Bergen"),
    Passage("cats", "cats sleep"),
]


@pytest.fixture
def reader():
    return MatchingReader()


def hierarchy(reader, passages=PASSAGES, question=QUESTION, *, utility="votes", **settings) -> Hierarchy:
    settings = {"question": True, "permutations": 64, "shared": 2, "open": "top-n", "passages": 1} | settings
    chosen = Settings(attribution=AttributionSettings(utility=utility), hierarchy=HierarchySettings(**settings))
    session = Session(reader, question, passages, chosen)
    return explain_parts(session, session.attribute())


def group(part) -> Group:
    return Group(part.kind, tuple(group(child) for child in part.parts))


@pytest.mark.parametrize("checkpoint", ["t5", "bart"])
def test_owen_values_are_the_mean_over_nested_orders_of_plain_texts(checkpoint, request):
    """Each coalition read as a text of its own, with an unknown word, which is what masks, for each hidden one."""
    reader = FiDReader(request.getfixturevalue(checkpoint), max_block_tokens=64, max_answer_tokens=4)
    assert reader.tokenizer.mask_token_id is None
    passages = [Passage("a", "old tower"), Passage("b", "ferry bridge")]
    question = "where is rock"
    encoded = reader.encode(question, passages)
    tree = Group("all", (Group("a"), Group("b", (Group(""),) * 2), Group("question", (Group(""),) * 3)))
    players = [[whole(passages[0])], words(passages[1], whole(passages[1]))]

    def worth(encoded, rows):
        return reader.score(encoded, rows, ["old stone"])[:, 0]

    game = QuestionGame(reader, encoded, players, question_part(question, divided=True).parts, worth, "mask")
    found = exact_owen(game, tree)

    def plain(coalition):
        show = lambda text, row: " ".join(w if s else "xyzzy" for w, s in zip(text.split(), row, strict=True))  # noqa: E731
        shown = [passages[0]] if coalition[0] else []
        if coalition[1:3].any():
            shown.append(Passage("b", show(passages[1].text, coalition[1:3])))
        alone = reader.encode(show(question, coalition[3:]), shown)
        return worth(alone, np.ones((1, len(shown)), bool))[0]

    known = {row: plain(np.array(row)) for row in product([False, True], repeat=6)}
    orders = [
        [player for part in outer for player in part]
        for b, q in product(permutations([1, 2]), permutations([3, 4, 5]))
        for outer in permutations([(0,), b, q])
    ]
    values = np.zeros(6)
    for order in orders:
        row = [False] * 6
        for player in order:
            before = known[tuple(row)]
            row[player] = True
            values[player] += (known[tuple(row)] - before) / len(orders)
    is_player = [not node.parts for node in tree.walk()]
    np.testing.assert_allclose(found.values[0, is_player], values, atol=1e-4)
    assert np.abs(values[3:]).min() > 1e-3
    assert found.values[0, 0] == pytest.approx(known[(True,) * 6] - known[(False,) * 6], abs=1e-4)


@pytest.mark.parametrize("level", ["passage", "sentence", "word"])
def test_estimates_are_owen_values_and_sum_exactly(reader, level):
    passages = [Passage("oslo", "the capital of Norway is Oslo. it lies on a fjord."), *PASSAGES[1:]]
    result = hierarchy(reader, passages, level=level, permutations=1024, sentences=1)
    depth = {part.kind for passage in result.passages for part in passage.walk()}
    assert depth == {"passage": {"passage"}, "sentence": {"passage", "sentence"}}.get(
        level, {"passage", "sentence", "word"}
    )
    question = result.question
    assert [QUESTION[word.start : word.end] for word in question.parts] == QUESTION.split()
    top = [*result.passages, question]
    for node in (node for part in top for node in part.walk() if node.parts):
        assert node.value == pytest.approx(sum(part.value for part in node.parts), abs=1e-12)
    assert sum(part.value for part in top) == pytest.approx(1.0)  # "Oslo." from all, "" from nothing

    encoded = reader.encode(QUESTION, passages)
    players = [[node for node in part.walk() if not node.parts] for part in result.passages]
    said = lambda e, rows: np.array([text == result.answer for text in reader.generate(e, rows)], float)  # noqa: E731
    game = QuestionGame(reader, encoded, players, question.parts, said)
    truth = exact_owen(game, Group("all", tuple(group(part) for part in top)))
    nodes = [node for part in top for node in part.walk()]
    for node, value in zip(nodes, truth.values[0, 1:], strict=True):
        assert abs(node.value - value) <= 4 * node.error + 1e-9
    capital, _, _, today = question.parts
    assert capital.value > 0.1
    assert today.value == 0


def test_each_state_of_the_question_is_encoded_once_with_what_is_read(reader):
    """Two orders of the words for each draw, with one state less than words in each; and no word, in two calls."""
    result = hierarchy(reader, level="passage", question="capital of the old Norway as it is today", permutations=32)
    n_words = 9
    assert len(reader.hidden) == len(set(reader.hidden)) + 1 == result.questions
    assert result.questions <= 32 // 2 * (n_words - 1) + 2
    assert sum(map(len, reader.read)) < 3 * len(reader.read)  # not all passages each time
    assert result.variants == 0


def test_fewer_states_where_more_orders_share_the_words(reader):
    question = "capital of the old Norway as it is today"
    few, many = (hierarchy(MatchingReader(), question=question, shared=shared).questions for shared in (8, 1))
    assert few <= 64 // 8 * 8 + 2 < many


def test_log_probabilities_go_to_the_question_too(t5):
    reader = FiDReader(t5, max_block_tokens=64, max_answer_tokens=4)
    passages = [Passage("a", "old tower. new bridge"), Passage("b", "ferry bridge island")]
    result = hierarchy(reader, passages, "where is rock ?", utility="likelihood", level="sentence", permutations=8)
    encoded = reader.encode("where is rock ?", passages)
    nothing = reader.hide_question(encoded, ((0, 5), (6, 8), (9, 13), (14, 15)), [], "attention")
    all_, none = (
        reader.score(e, np.ones((1, len(e.passages)), bool), [result.answer])[0, 0] for e in (encoded, nothing)
    )
    total = sum(part.value for part in result.passages) + result.question.value
    assert total == pytest.approx(all_ - none, abs=1e-4)
    assert all(word.value for word in result.question.parts)


def test_the_question_alone(reader):
    result = hierarchy(reader, [], level="word")
    assert result.passages == ()
    assert [word.value for word in result.question.parts] == [0.0] * 4


@pytest.mark.parametrize("masking", ["attention", "mask", "delete"])
def test_the_embedded_reader_needs_the_words_that_tell(masking, embedded_reader):
    """Without a question one of the answers cannot be given: in the half of the orders in which it comes last."""
    passages = [
        Passage("a", "Anna Berg built the bridge in 1912. Carl Dahl painted the chapel in 1950."),
        Passage("b", "Cats sleep for most of the day."),
    ]
    settings = load_settings(
        None, ["hierarchy.question=true", "hierarchy.permutations=32", f"hierarchy.masking={masking}"]
    )
    pipeline, all_words, telling = Pipeline(None, embedded_reader, settings), 0.0, 0.0
    for question, expected in (("Who painted the chapel?", "Carl Dahl"), ("Who built the bridge?", "Anna Berg")):
        answer = pipeline.explain(question, passages)
        assert answer.full_text == expected
        _, verb, _, noun = answer.hierarchy.question.parts
        all_words += answer.hierarchy.question.value
        telling += verb.value + noun.value
        assert answer.hierarchy.level == "passage"
        assert "parts" in answer.seconds
        assert Answer.from_json(answer.to_json()) == answer
    assert all_words > 0.4
    if masking != "mask":  # what is left between mask tokens says little to this reader
        assert telling > 0.1


@pytest.fixture(scope="module")
def embedded_reader():
    return EmbeddedReader()


def test_it_comes_back_from_json_also_from_version_1(reader):
    result = hierarchy(reader, level="sentence")
    content = json.loads(json.dumps(result.to_dict()))
    assert Hierarchy.from_dict(content) == result
    old = {name: value for name, value in content.items() if name not in ("question", "questions")} | {"version": 1}
    assert Hierarchy.from_dict(old) == replace(result, question=None, questions=0)
    with pytest.raises(ValueError, match="hierarchy"):
        Hierarchy.from_dict(content | {"question": {}})


def test_progress_reaches_what_was_asked_for(reader):
    calls = []
    settings = HierarchySettings(level="sentence", question=True, permutations=16)
    session = Session(reader, QUESTION, PASSAGES, Settings(hierarchy=settings))
    explain_parts(session, session.attribute(), lambda *call: calls.append(call))
    assert {stage for stage, _, _ in calls} == {"sentences"}
    assert all(done <= total for _, done, total in calls)
    assert calls[-1][1] == calls[-1][2]


def test_what_cannot_be_done_is_said_before_anything_is_spent(reader):
    scripted = ScriptedReader()
    scripted.encode = None  # would be called
    settings = load_settings(None, ["hierarchy.question=true"])
    with pytest.raises(
        SettingsError, match=r"hierarchy\.question: reader 'scripted' cannot hide parts of passages and"
    ):
        Pipeline(None, scripted, settings).explain("where?", PASSAGES)
    settings = load_settings(None, ["hierarchy.question=true", "attribution.semivalue=banzhaf"])
    with pytest.raises(SettingsError, match=r"hierarchy\.question: true goes with attribution\.semivalue=shapley, not"):
        Pipeline(None, reader, settings).explain("where?", PASSAGES)
