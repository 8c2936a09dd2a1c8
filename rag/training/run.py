"""A whole training run: data, hard negatives, the network, held-out evaluation."""

from __future__ import annotations

import hashlib
import json
import operator
import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path

import torch

from rag.questions import QuestionSet, load_questions, mine_negatives, score_answer, split_by_article
from rag.readers.loading import load_reader
from rag.settings import ReaderSettings
from rag.training.bridges import add_bridges
from rag.training.learner import Learner
from rag.training.outdated import add_outdated
from rag.training.sampling import Example, ExampleSampler
from rag.training.settings import TrainSettings
from rag.training.trainer import CHECKPOINT, Row, Trainer
from retrievers import BM25Retriever, DenseRetriever, HybridRetriever, Retriever
from retrievers.storage.atomic import replace_file
from retrievers.storage.locks import writing

Progress = Callable[[str, int, int], None]
_DEPTH = 30  # passages retrieved for each question, of which those without the answer are negatives
_CALIBRATION_COALITIONS = 5


def train(
    paths: Sequence[Path],
    out: Path,
    settings: TrainSettings,
    *,
    progress: Progress = lambda stage, done, total: None,
    on_step: Callable[[int, Row], None] = lambda step, row: None,
) -> int:
    """Train a reader, or go on with a run that was stopped; the reader is left in `out / "reader"`.

    Args:
        paths: question files; one given twice is drawn from twice as often.
        out: folder for checkpoint, log, mined negatives and the reader.
        settings: of the run.
        progress: called as progress(stage, done, total) before training starts.
        on_step: called as on_step(step, row) with what is logged.

    Returns:
        The number of questions trained on.

    Raises:
        CorpusError, FileNotFoundError: a file cannot be read.
        ValueError: no question can be learned from, or the folder holds a run with other settings or data.
        BusyError: another run trains in the folder.
        DiskFullError: there is no room.
    """
    times = Counter(paths)
    progress("reading", 0, 1)
    parts = [load_questions([path]) for path in times]
    data = reduce(operator.add, parts)
    repeats = [count for part, count in zip(parts, times.values(), strict=True) for _ in part.questions]
    train_on, held_out = split_by_article(data.questions, settings.held_out)
    out.mkdir(parents=True, exist_ok=True)
    with writing(out / CHECKPOINT, "the last checkpoint is kept"):
        negatives = cached_negatives(data, settings.negatives, out / "negatives.json", progress)
        bridges: list[int] = []
        if any(stage.bridges for stage in settings.stages):
            data, negatives, bridges = add_bridges(data, train_on, negatives, settings.seed)
        doubles: list[int | None] | None = None
        if any(stage.outdated for stage in settings.stages):
            data, doubles = add_outdated(data, settings.seed)
        learner = make_learner(settings, data)
        usable = learner.usable(train_on)
        if not usable:
            raise ValueError("no question has a short answer that stands in a gold passage; nothing can be learned")
        questions = [index for turn in range(max(repeats)) for index in usable if repeats[index] > turn]
        fingerprint = hashlib.sha256(json.dumps([data.questions[i].text for i in questions]).encode()).hexdigest()
        sampler = ExampleSampler(data, negatives, settings.seed, doubles, learner.usable(bridges))
        evaluate = HeldOut(sampler, learner.usable(held_out), settings) if settings.evaluation.questions else None
        Trainer(learner, sampler, questions, settings, out, fingerprint, evaluate, on_step).run()
        if evaluate is not None:
            progress("calibrating no answer", 0, 1)
            learner.calibrate(out / "reader", evaluate.draw_all_sizes(_CALIBRATION_COALITIONS))
    return len(usable)


def make_learner(settings: TrainSettings, data: QuestionSet) -> Learner:
    """The network that `settings.start` names."""
    from rag.readers.embedded.initialize import from_minilm
    from rag.readers.embedded.weights import WEIGHTS, load_model
    from rag.training.embedded import EmbeddedLearner
    from rag.training.seq2seq import Seq2SeqLearner
    from retrievers.dense.encoder import DEFAULT, locate

    torch.manual_seed(settings.seed)  # of weights that start at random
    limit, dropout = settings.max_block_tokens, settings.dropout
    if settings.start == "minilm":
        model, folder = from_minilm(Path(locate(DEFAULT))), WEIGHTS
    elif ReaderSettings(checkpoint=settings.start).is_embedded:
        folder = WEIGHTS if settings.start == "embedded" else Path(settings.start)
        model = load_model(folder)
    else:
        return Seq2SeqLearner(settings.start, data, limit, dropout, settings.device)
    return EmbeddedLearner(model.to(settings.device), folder / "tokenizer.json", data, limit, dropout)


def cached_negatives(data: QuestionSet, kind: str, path: Path, progress: Progress) -> list[list[int]]:
    """Hard negatives per question, from the file if it holds those of these data, else mined and kept there."""
    texts = [[p.full_text for p in data.passages], [[q.text, *q.answers, *map(str, q.gold)] for q in data.questions]]
    key = hashlib.sha256(json.dumps([kind, _DEPTH, texts]).encode()).hexdigest()
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] == key:
            negatives: list[list[int]] = stored["negatives"]
            return negatives
    if kind == "own":
        negatives = [[p for p in question.passages if p not in question.gold] for question in data.questions]
    else:
        progress("indexing", 0, len(data.passages))
        retriever: Retriever = BM25Retriever(data.passages)
        if kind == "hybrid":
            dense = DenseRetriever()
            dense.add(data.passages, progress=lambda done: progress("indexing", done, len(data.passages)))
            retriever = HybridRetriever([retriever, dense])
        negatives = mine_negatives(
            retriever,
            data.passages,
            data.questions,
            _DEPTH,
            lambda done, total: progress("mining negatives", done, total),
        )
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps({"key": key, "negatives": negatives}), encoding="utf-8")
    return negatives


class HeldOut:
    """Reads held-out questions among hard negatives with the reader of a folder."""

    def __init__(self, sampler: ExampleSampler, questions: Sequence[int], settings: TrainSettings):
        self.sampler = sampler
        self.settings = settings
        count = min(len(questions), settings.evaluation.questions)
        self.questions = random.Random(settings.seed).sample(list(questions), count)

    def draw(self, coalitions: int) -> list[Example]:
        """The questions as training would show them, the same whenever asked for."""
        return self.sampler.draw(0, self.questions, self.settings.evaluation.negatives, coalitions)

    def draw_all_sizes(self, coalitions: int) -> list[Example]:
        """The questions among the negatives, among half of them, and so on, so that few passages occur as many do."""
        most = self.settings.evaluation.negatives
        numbers = [most >> halvings for halvings in range(max(1, most.bit_length()))]
        return [e for number in numbers for e in self.sampler.draw(0, self.questions, number, coalitions)]

    def __call__(self, folder: Path) -> Row:
        """Exact match and F1 in percent, from all passages together."""
        reader = load_reader(ReaderSettings(checkpoint=str(folder), device=self.settings.device))
        data, scores = self.sampler.data, []
        for example in self.draw(1):
            question = data.questions[example.question]
            encoded = reader.encode(question.text, [data.passages[index] for index in example.passages])
            answer = reader.generate(encoded, example.coalitions)[0]
            scores.append(score_answer(answer, question.answers))
        if not scores:
            return {}
        return {
            "held_out_exact_match": 100 * sum(score.exact_match for score in scores) / len(scores),
            "held_out_f1": 100 * sum(score.f1 for score in scores) / len(scores),
        }
