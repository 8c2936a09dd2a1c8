"""Learn a weight for the attention of each head from what coalitions do to answers.

AT2 (Cohen-Wang et al. 2025, "Learning to attribute with attention", arXiv:2504.13752) scores a source by a weighted
sum of the attention that it gets, and learns the weights from ablations of other questions. Here, a coalition's worth
is the logit of the answer's probability; its prediction is the sum of the scores of its passages. The weights are those
of least squares over the coalitions of all questions, each question's worth centred and divided by its standard
deviation, with a ridge penalty that cross-validation over questions chooses. Once learned, scores cost no evaluation
but that of the answer; see `eval.retrieval.learned_attention`.

Example: python -m eval.attribution.learn_attention DATA/openqa --ids even --questions 150 --out attention.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eval.attribution.methods import random_coalitions
from eval.records import save_json
from eval.retrieval.learned_attention import FORMAT
from eval.selection import Example, Selection, select_questions
from rag.provenance import made_with
from rag.readers.base import AttentiveReader
from rag.readers.loading import load_reader
from rag.scores import Scores, logit
from rag.settings import ReaderSettings
from rag.settings_base import SettingsError
from retrievers import CorpusError

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Weights of the ridge penalty that are tried, as multiples of the features' mean variance."""

_FOLDS = 5
_LEAST = -30.0  # logit of a probability; what is rarer counts as this rare


class Lesson(NamedTuple):
    """One question: attention of each head to its passages in sums over coalitions, and these coalitions' worth.

    Attributes:
        sums: `(n_coalitions, n_heads)`, columns centred.
        worth: `(n_coalitions,)`, centred, of standard deviation 1.
    """

    sums: Scores
    worth: Scores


class Learned(NamedTuple):
    """Weights of the heads `(n_heads,)`, the penalty chosen, and how well others' weights predict a question's worth.

    `correlation` is the mean over questions of Pearson's, by weights that were learned without their fold; `uniform`
    is that of equal weights.
    """

    weights: Scores
    penalty: float
    correlation: float
    uniform: float


def lesson(reader: AttentiveReader, example: Example, coalitions: int, seed: int) -> Lesson | None:
    """What a question teaches, from so many random coalitions; None where it is not answered or nothing matters."""
    question, passages = example
    n = len(passages)
    if n < 2:
        return None
    encoded = reader.encode(question.text, passages)
    answer = reader.generate(encoded, np.ones((1, n), dtype=bool))[0]
    if not answer:
        return None
    rows = random_coalitions(n, min(coalitions, 2**n), np.random.default_rng([seed, n]))
    worth = np.maximum(logit(reader.score(encoded, rows, [answer])[:, 0]), _LEAST)
    deviation = float(worth.std())
    if deviation < 1e-6:
        return None
    sums = rows @ reader.attention_by_head(encoded, answer)
    return Lesson(sums - sums.mean(axis=0), (worth - worth.mean()) / deviation)


def learn(lessons: Sequence[Lesson]) -> Learned:
    """The weights by the penalty that predicts best across folds of the questions.

    Raises:
        ValueError: there are fewer questions than folds.
    """
    if len(lessons) < _FOLDS:
        raise ValueError(f"{len(lessons)} questions teach something, and {_FOLDS} are the least to learn from")
    folds = [lessons[start::_FOLDS] for start in range(_FOLDS)]

    def predicted(penalty: float) -> float:
        found = []
        for number, held_out in enumerate(folds):
            weights = _least_squares(
                [one for other, fold in enumerate(folds) if other != number for one in fold], penalty
            )
            found += [_correlation(one, weights) for one in held_out]
        return float(np.mean(found))

    scores = {penalty: predicted(penalty) for penalty in PENALTIES}
    best = max(scores, key=lambda penalty: scores[penalty])
    equal = np.ones(lessons[0].sums.shape[1])
    uniform = float(np.mean([_correlation(one, equal) for one in lessons]))
    return Learned(_least_squares(lessons, best), best, scores[best], uniform)


def _least_squares(lessons: Sequence[Lesson], penalty: float) -> Scores:
    scale = np.sqrt(np.mean([(one.sums**2).mean(axis=0) for one in lessons], axis=0))
    scale[scale == 0] = 1.0
    features = [one.sums / scale for one in lessons]
    square = np.mean([own.T @ own / len(own) for own in features], axis=0)
    right = np.mean([own.T @ one.worth / len(own) for own, one in zip(features, lessons, strict=True)], axis=0)
    weights: Scores = np.linalg.solve(square + penalty * np.eye(len(square)), right) / scale
    return weights


def _correlation(one: Lesson, weights: Scores) -> float:
    predicted = one.sums @ weights
    size = float(np.linalg.norm(predicted) * np.linalg.norm(one.worth))
    return float(predicted @ one.worth) / size if size else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Learn the weights of a reader's heads and write them; 0 if that is done, 1 with one line if not."""
    parser = argparse.ArgumentParser(prog="python -m eval.attribution.learn_attention", description=__doc__)
    parser.add_argument("data", help="questions with their passages, as for `ragshap evaluate qa`")
    parser.add_argument("--ids", default="all", help="all, odd or even")
    parser.add_argument("--questions", type=int, default=150)
    parser.add_argument("--coalitions", type=int, default=64, help="of each question")
    parser.add_argument("--checkpoint", default="embedded")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        selection = Selection(data=[given.data], ids=given.ids, limit=given.questions)
        reader = load_reader(ReaderSettings(checkpoint=given.checkpoint))
        if not isinstance(reader, AttentiveReader):
            raise SettingsError(f"{given.checkpoint} has no cross-attention to learn from")
        examples = select_questions(selection).examples()
        found = [lesson(reader, example, given.coalitions, seed) for seed, example in enumerate(examples)]
        lessons = [one for one in found if one is not None]
        learned = learn(lessons)
    except (CorpusError, OSError, ValueError) as error:
        sys.stderr.write(f"eval.attribution.learn_attention: {error}\n")
        return 1
    made = made_with(vars(given) | {"out": str(given.out)}, ReaderSettings(checkpoint=given.checkpoint), [])
    report = {"questions": len(lessons), **learned._asdict(), "weights": learned.weights.round(6).tolist()}
    save_json(given.out, {"format": FORMAT, **made, **report})
    del report["weights"]
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
