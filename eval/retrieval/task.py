"""The questions of an evaluation and what counts as found."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from eval.retrieval.settings import SearchSettings
from eval.selection import usable_questions
from rag.questions import Question, QuestionSet, draw_questions, holds_answer, load_questions, whole_words
from rag.settings_base import SettingsError
from retrievers import Passage
from retrievers.corpora.trec import read_qrels

Qrels = dict[str, dict[str, int]]


class Task(NamedTuple):
    """The questions of an evaluation.

    Attributes:
        data: all questions and passages of the data.
        questions: those that are measured.
        qrels: relevance by question and passage id; empty if nothing is judged.
        warnings: what was left out, and how much of it.
    """

    data: QuestionSet
    questions: list[Question]
    qrels: Qrels
    warnings: list[str]

    def relevant(self, question: Question) -> set[str]:
        """Ids of the passages that are judged relevant."""
        return {passage for passage, grade in self.qrels.get(question.id, {}).items() if grade > 0}

    def found(self, question: Question, passage: Passage) -> bool:
        """Whether a passage counts: it holds an accepted answer or, for a question without answers, is relevant."""
        if _has_words(question):
            return holds_answer(passage.full_text, question.answers)
        return passage.id in self.relevant(question)


def load_task(run: SearchSettings, root: Path) -> Task:
    """Load questions and judgements.

    Raises:
        CorpusError, FileNotFoundError: a file cannot be read, or two questions have one id.
        SettingsError: no question remains.
    """
    data = load_questions([root / path for path in run.data])
    wanted, warnings = usable_questions(data, run)
    qrels = _judgements(run, root) or gold_qrels(data)
    if unknown := len(qrels.keys() - {question.id for question in data.questions}):
        warnings.append(f"{unknown} judged questions are not in the data and are left out")
    usable = [q for q in wanted if _has_words(q) or any(grade > 0 for grade in qrels.get(q.id, {}).values())]
    if len(usable) < len(wanted):
        warnings.append(f"{len(wanted) - len(usable)} questions have neither an answer nor a relevant passage")
    if not usable:
        raise SettingsError(
            f"none of {len(data.questions)} questions is left by ids={run.ids}: each needs an accepted answer or "
            "a passage judged relevant; give qrels"
        )
    questions = draw_questions(usable, run.limit, run.seed)
    return Task(data, questions, qrels, warnings)


def _has_words(question: Question) -> bool:
    return any(whole_words(answer) != " " for answer in question.answers)


def gold_qrels(data: QuestionSet) -> Qrels:
    """Judgements from the passages that questions mark as gold; of passages with one text, the first's id."""
    first = first_with_text(data)
    return {q.id: {first[data.passages[i].full_text].id: 1 for i in q.gold} for q in data.questions if q.gold}


def first_with_text(data: QuestionSet) -> dict[str, Passage]:
    """By full text, the passage that stands for all with that text, as pooling keeps it."""
    return {passage.full_text: passage for passage in reversed(data.passages)}


def _judgements(run: SearchSettings, root: Path) -> Qrels:
    """Those of the qrels file, or of the BEIR folders among the data."""
    if run.qrels is not None:
        return read_qrels(root / run.qrels)
    judged: Qrels = {}
    for folder in (root / path / "qrels" for path in run.data):
        if not folder.is_dir():
            continue
        files = {file.name.split(".")[0]: file for file in sorted(folder.iterdir())}
        if run.split not in files:
            raise SettingsError(f"split: {folder} holds no {run.split!r}; there are {', '.join(files) or 'none'}")
        judged |= read_qrels(files[run.split])
    return judged
