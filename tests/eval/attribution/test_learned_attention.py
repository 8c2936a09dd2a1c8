"""Learned weights of attention heads: found where they are known, the same as by another library, and used as said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from eval.attribution.learn_attention import PENALTIES, Lesson, learn, lesson, main
from eval.retrieval.scoring import ScoredSession, parse_scoring, score_passages
from eval.retrieval.settings import RerankedBy
from eval.runner import provenance
from eval.selection import Example
from rag.questions import Question
from rag.readers.base import EncodedQuestion
from rag.scores import logit
from rag.settings import AttributionSettings
from rag.settings_base import SettingsError
from retrievers import Passage

pytestmark = pytest.mark.slow

HERE = Path(__file__).parents[3]
TRUE = np.array([3.0, 0.0, -1.0])
PASSAGES = [Passage(str(number), f"text {number}") for number in range(6)]


class HeadsReader:
    """Attends at random, by the question; the answer's log-odds are the attention of a coalition, weighted by TRUE."""

    name = "heads"

    def encode(self, question, passages):
        heads = np.random.default_rng(len(question)).dirichlet(np.ones(len(passages)), 3).T
        return EncodedQuestion(question, tuple(passages), (0,) * len(passages), 0, heads)

    def generate(self, encoded, coalitions):
        return ["it"] * len(coalitions)

    def score(self, encoded, coalitions, answers):
        odds = coalitions @ encoded.state @ TRUE - 2
        return np.repeat(-np.log1p(np.exp(-odds))[:, None], len(answers), axis=1)

    def attention(self, encoded, answer):
        return encoded.state.mean(axis=1)

    def attention_by_head(self, encoded, answer):
        return encoded.state


def asked(text: str) -> Question:
    return Question(text, text, ("it",), "article")


def lessons(count: int = 12) -> list[Lesson]:
    examples = [Example(asked("q" * (1 + number)), PASSAGES) for number in range(count)]
    return [lesson(HeadsReader(), example, 30, seed) for seed, example in enumerate(examples)]


def test_a_lesson_is_the_attention_to_coalitions_and_what_they_do():
    one = lessons(1)[0]
    assert one.sums.shape == (30, 3)
    assert one.sums.mean(axis=0) == pytest.approx(np.zeros(3))
    assert one.worth.std() == pytest.approx(1)
    # The log-odds are linear in the sums, so that the true weights predict them exactly.
    assert np.corrcoef(one.sums @ TRUE, one.worth)[0, 1] == pytest.approx(1)


def test_the_weights_are_found_up_to_their_scale():
    learned = learn(lessons())
    assert learned.penalty == min(PENALTIES)
    assert learned.correlation > 0.99 > learned.uniform
    assert learned.weights / np.linalg.norm(learned.weights) == pytest.approx(TRUE / np.linalg.norm(TRUE), abs=0.05)


def test_least_squares_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    noisy = [Lesson(one.sums, one.worth + rng.standard_normal(30)) for one in lessons()]
    learned = learn(noisy)
    scale = np.sqrt(np.mean([(one.sums**2).mean(axis=0) for one in noisy], axis=0))
    features, worth = np.concatenate([one.sums for one in noisy]) / scale, np.concatenate([one.worth for one in noisy])
    ridge = Ridge(alpha=learned.penalty * len(worth), fit_intercept=False).fit(features, worth)
    assert learned.weights == pytest.approx(ridge.coef_ / scale)


@pytest.mark.parametrize(("passages", "answer"), [(PASSAGES[:1], "it"), (PASSAGES, "")])
def test_what_teaches_nothing(passages, answer):
    class Silent(HeadsReader):
        def generate(self, encoded, coalitions):
            return [answer] * len(coalitions)

    assert lesson(Silent(), Example(asked("q"), passages), 30, 0) is None


def test_too_few_questions_are_refused():
    with pytest.raises(ValueError, match="4 questions teach something, and 5 are the least to learn from"):
        learn(lessons(4))


def written(path: Path, weights: list[float]) -> Path:
    path.write_text(json.dumps({"format": "ragshap-learned-attention", "weights": weights}))
    return path


def test_scores_are_weighted_sums(tmp_path):
    session = ScoredSession(HeadsReader(), "where?", PASSAGES, AttributionSettings())
    file = written(tmp_path / "weights.json", TRUE.tolist())
    scored = score_passages(session, parse_scoring(f"learned-attention:{file}+rrf"))
    assert scored.scores == pytest.approx(session.encoded.state @ TRUE)
    assert scored.evaluations == 1
    whole = session.likelihoods(np.ones((1, 6), dtype=bool), ["it"])[:, 0]
    assert logit(whole) == pytest.approx(scored.scores.sum() - 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("[1, 2]", "expected an object of the format"),
        ('{"format": "ragshap-learned-attention", "weights": ["a"]}', "cannot be read"),
        ('{"format": "ragshap-learned-attention", "weights": [1, 2]}', "weights of 2 heads, and the reader"),
    ],
)  # fmt: skip
def test_files_that_hold_no_weights_for_the_reader(tmp_path, content, message):
    file = tmp_path / "weights.json"
    if content is not None:
        file.write_text(content)
    session = ScoredSession(HeadsReader(), "where?", PASSAGES, AttributionSettings())
    with pytest.raises(SettingsError, match=message) as error:
        score_passages(session, parse_scoring(f"learned-attention:{file}"))
    assert "\n" not in str(error.value)


def test_a_name_needs_a_file():
    with pytest.raises(ValueError, match="learned-attention: needs a file of weights behind it"):
        parse_scoring("learned-attention:+rrf")


def test_records_depend_on_what_the_file_holds(tmp_path):
    file = written(tmp_path / "weights.json", [1.0])
    run = RerankedBy(rerank=[f"learned-attention:{file}", "cross-encoder:no/such-model"])
    first = provenance(run, Path(), None)["files"]
    assert set(first) == {str(file)}
    assert provenance(run, Path(), None)["files"] == first
    written(file, [2.0])
    assert provenance(run, Path(), None)["files"] != first


def test_the_command_learns_for_the_embedded_reader(tmp_path, capsys):
    out = tmp_path / "weights.json"
    data = str(HERE / "examples" / "islands")
    assert main([data, "--questions", "6", "--coalitions", "12", "--out", str(out)]) == 0
    said = json.loads(capsys.readouterr().out)
    content = json.loads(out.read_text())
    assert len(content["weights"]) == 24
    assert said["questions"] == content["questions"] <= 6
    assert len(content["reader"]) == 64
    assert main([data, "--questions", "2", "--out", str(out)]) == 1
    assert "2 questions teach something" in capsys.readouterr().err
