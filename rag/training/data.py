"""What a run learns from: questions by source, their hard negatives, and what is held out."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from rag.progress import StageProgress
from rag.questions import QuestionSet, draw_questions, load_questions, mine_negatives, split_by_article
from rag.questions.overlap import near_questions, question_digest, read_digests
from rag.questions.pool import load_pool, with_pool
from rag.training.settings import DataSettings, Source
from retrievers import BM25Retriever, DenseRetriever, HybridRetriever, Retriever
from retrievers.storage.atomic import replace_text

_DEPTH = 30  # passages retrieved for each question, of which those without the answer are negatives


@dataclass(frozen=True)
class TrainingData:
    """Questions of all sources together.

    Attributes:
        sources: questions and passages of each, with its pool.
        questions: all of them, with their passages.
        train: indices of the questions that may be trained on.
        times: how often each question is drawn in an epoch.
        held_out: indices of the questions that are held out.
    """

    sources: list[QuestionSet]
    questions: QuestionSet
    train: list[int]
    times: list[int]
    held_out: list[int]


def load_training_data(settings: DataSettings, root: Path, seed: int, progress: StageProgress) -> TrainingData:
    """Read all sources, and split their questions.

    Args:
        settings: of the data.
        root: folder that their paths are relative to.
        seed: of the draw of a source's questions.
        progress: called as progress(stage, done, total).
    """
    parts: list[QuestionSet] = []
    times: list[int] = []
    for number, source in enumerate(settings.sources):
        progress("reading", number, len(settings.sources))
        parts.append(_read(source, root, seed))
        times += [source.times] * len(parts[-1].questions)
    together = reduce(operator.add, parts)
    train, held_out = _split(together, settings.held_out)
    if settings.exclude:
        others = [question.text for path in settings.exclude for question in load_questions([root / path]).questions]
        near = near_questions([question.text for question in together.questions], others)
        train = [index for index in train if index not in near]
    return TrainingData(parts, together, train, times, held_out)


def find_negatives(data: TrainingData, kind: str, out: Path, progress: StageProgress) -> list[list[int]]:
    """Indices of hard negatives per question, best match first; those mined are kept in `out`, and found again.

    They come from the question's own source. Those of others would be told apart by their kind alone: by length, or by
    how they are written.
    """
    negatives: list[list[int]] = []
    shift = 0
    for number, part in enumerate(data.sources, start=1):
        mined = cached_negatives(part, kind, out / f"negatives-{number}.json", progress)
        negatives += [[passage + shift for passage in row] for row in mined]
        shift += len(part.passages)
    return negatives


def _read(source: Source, root: Path, seed: int) -> QuestionSet:
    found = load_questions([root / path for path in source.files])
    drawn = QuestionSet(found.passages, draw_questions(found.questions, source.limit, seed), found.notes)
    return with_pool(drawn, load_pool([root / path for path in source.pool]))


def _split(data: QuestionSet, held_out: int | str) -> tuple[list[int], list[int]]:
    if isinstance(held_out, int):
        return split_by_article(data.questions, held_out)
    digests = read_digests(held_out)
    listed = [index for index, q in enumerate(data.questions) if question_digest(q.text) in digests]
    articles = {data.questions[index].article for index in listed}
    gold = {place for index in listed for place in data.questions[index].gold}
    train = [i for i, q in enumerate(data.questions) if q.article not in articles and not gold & set(q.gold)]
    return train, listed


def cached_negatives(data: QuestionSet, kind: str, path: Path, progress: StageProgress) -> list[list[int]]:
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
    replace_text(path, json.dumps({"key": key, "negatives": negatives}))
    return negatives


def drawn_questions(data: TrainingData, usable: Sequence[int]) -> list[int]:
    """The usable questions, those of a source with `times` so many times."""
    return [index for turn in range(max(data.times)) for index in usable if data.times[index] > turn]
