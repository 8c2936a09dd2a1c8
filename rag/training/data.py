"""Training questions: SQuAD-style files cut into the passages that the retriever serves, with hard negatives."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attribution import normalize_answer
from retrievers import BM25Retriever, CorpusError, Passage, split_text


@dataclass(frozen=True)
class Question:
    """A question with its gold passage.

    `answer` stands in the gold passage's `full_text` at `answer_start`; `answers` are all accepted ones.
    """

    id: str
    text: str
    article: str
    gold: int
    answer: str
    answer_start: int
    answers: tuple[str, ...]


@dataclass(frozen=True)
class QuestionSet:
    """Questions over a pool of passages; `negatives` holds pool indices per question, best match first."""

    passages: list[Passage]
    questions: list[Question]
    negatives: list[list[int]]


def read_squad(paths: Iterable[Path]) -> tuple[list[Passage], list[Question]]:
    """Passages and answerable questions of SQuAD JSON files, passages cut as the index cuts them.

    Questions whose answer is cut in two by a passage boundary are left out. Raises `CorpusError` for another layout.
    """
    passages: list[Passage] = []
    questions: list[Question] = []
    for path in paths:
        for article in _articles(Path(path)):
            title = article["title"].replace("_", " ")
            for number, paragraph in enumerate(article["paragraphs"]):
                first = len(passages)
                source = f"{article['title']}/{number}"
                pieces = split_text(paragraph["context"])
                for part, (start, end) in enumerate(pieces):
                    text = paragraph["context"][start:end]
                    passages.append(Passage(f"{Path(path).stem}/{source}#{part}", text, title))
                for entry in paragraph["qas"]:
                    question = _question(entry, title, pieces, passages, first)
                    if question is not None:
                        questions.append(question)
    return passages, questions


def _articles(path: Path) -> list[dict[str, Any]]:
    try:
        articles: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["data"]
        _ = [entry["question"] for article in articles for p in article["paragraphs"] for entry in p["qas"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path} is not SQuAD JSON, which holds data, paragraphs and qas: {error!r}") from None
    return articles


def _question(
    entry: dict[str, Any],
    title: str,
    pieces: Sequence[tuple[int, int]],
    passages: Sequence[Passage],
    first: int,
) -> Question | None:
    """One question, its target the answer that most annotators gave, the shortest of them on a tie."""
    counts = Counter((answer["text"], answer["answer_start"]) for answer in entry["answers"])
    by_vote = sorted(counts, key=lambda answer: (-counts[answer], len(answer[0])))
    for text, begin in by_vote:
        for part, (start, end) in enumerate(pieces):
            if start <= begin and begin + len(text) <= end and text.strip():
                passage = passages[first + part]
                shift = len(passage.full_text) - len(passage.text) - start
                accepted = tuple(dict.fromkeys(answer["text"] for answer in entry["answers"]))
                return Question(
                    entry["id"], entry["question"].strip(), title, first + part, text, begin + shift, accepted
                )
    return None


def holds_answer(text: str, answers: Iterable[str]) -> bool:
    """Whether any of the answers stands in the text as whole words, both normalised."""
    words = _whole_words(text)
    return any(_whole_words(answer) in words for answer in answers)


def _whole_words(text: str) -> str:
    return f" {normalize_answer(text)} "


def mine_negatives(passages: Sequence[Passage], questions: Sequence[Question], depth: int = 30) -> list[list[int]]:
    """The passages that BM25 ranks highest for each question, without those that hold an accepted answer."""
    retriever = BM25Retriever(passages)
    position = {passage.id: index for index, passage in enumerate(passages)}
    words = [_whole_words(passage.full_text) for passage in passages]
    negatives = []
    for question, hits in zip(questions, retriever.search_many([q.text for q in questions], depth), strict=True):
        answers = [_whole_words(answer) for answer in question.answers]
        found = [position[hit.passage.id] for hit in hits]
        negatives.append([p for p in found if p != question.gold and not any(a in words[p] for a in answers)])
    return negatives


def load_questions(paths: Iterable[Path], depth: int = 30) -> QuestionSet:
    """Read SQuAD JSON files and mine hard negatives over all their passages together."""
    passages, questions = read_squad(paths)
    return QuestionSet(passages, questions, mine_negatives(passages, questions, depth))


def split_by_article(data: QuestionSet, every: int = 20) -> tuple[list[int], list[int]]:
    """Question indices for training and for validation: each `every`-th article is held out, whole.

    Articles are ordered by name with digits left out, so that the split does not depend on file order.
    """
    names = {question.article for question in data.questions}
    articles = sorted(names, key=lambda name: (re.sub(r"\d", "", name), name))
    held_out = set(articles[every // 2 :: every])
    train = [i for i, q in enumerate(data.questions) if q.article not in held_out]
    return train, [i for i, q in enumerate(data.questions) if q.article in held_out]
