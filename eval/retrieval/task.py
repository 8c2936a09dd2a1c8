"""The questions of an evaluation and what counts as found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from eval.retrieval.settings import SearchSettings
from eval.selection import usable_questions
from rag.questions import Question, QuestionSet, draw_questions, holds_answer, load_questions, whole_words
from rag.settings_base import SettingsError
from retrievers import CorpusError, Passage
from retrievers.corpora.trec import read_qrels

Qrels = dict[str, dict[str, int]]

_JUDGEMENTS = (".tsv", ".txt", ".gz")  # endings of their files, beside which editors leave others


class Task(NamedTuple):
    """The questions of an evaluation.

    Attributes:
        data: all questions and passages of the data.
        questions: those that are measured.
        qrels: relevance by question and passage id; empty if nothing is judged.
        warnings: what was left out, and how much of it.
        excluded: by question, ids of passages that are never hits; only questions that have some.
    """

    data: QuestionSet
    questions: list[Question]
    qrels: Qrels
    warnings: list[str]
    excluded: dict[str, frozenset[str]]

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
        CorpusError, FileNotFoundError: a file cannot be read, or two BEIR folders judge one question.
        SettingsError: no question remains, or a folder's judgements are not there or not told apart.
    """
    data = load_questions([root / path for path in run.data])
    wanted, warnings = usable_questions(data, run)
    qrels = _judgements(run, root)
    if unknown := len(qrels.keys() - {question.id for question in data.questions}):
        warnings.append(f"{unknown} judged questions are not in the data and are left out")
    qrels = qrels or gold_qrels(data, wanted)
    usable = [q for q in wanted if _has_words(q) or any(grade > 0 for grade in qrels.get(q.id, {}).values())]
    if len(usable) < len(wanted):
        warnings.append(f"{len(wanted) - len(usable)} questions have neither an answer nor a relevant passage")
    if not usable:
        raise SettingsError(
            f"none of {len(data.questions)} questions is left by ids={run.ids}: each needs an accepted answer or "
            "a passage judged relevant; give qrels"
        )
    questions = draw_questions(usable, run.limit, run.seed)
    excluded, said = _excluded(run, root, data, questions)
    return Task(data, questions, qrels, [*warnings, *said], excluded)


def _excluded(
    run: SearchSettings, root: Path, data: QuestionSet, questions: Sequence[Question]
) -> tuple[dict[str, frozenset[str]], list[str]]:
    """Passages that are no hits of a question: itself where the corpus holds it, and what BRIGHT excludes."""
    listed = {q.id: named_passages(q, "excluded_ids") for q in questions}
    ignored = run.ignore_identical_ids
    if ignored is None:
        ignored = any((root / path).is_dir() for path in run.data)
    own = {passage.id for passage in data.passages} & listed.keys() if ignored else set()
    said = []
    if own:
        said.append(
            f"{len(own)} questions have the id of a passage; a question's own passage is left out of its hits, as BEIR "
            "does (ignore_identical_ids=false keeps it)"
        )
    if some := sum(bool(names) for names in listed.values()):
        said.append(f"{some} questions list excluded_ids; these passages are left out of their hits")
    found = {name: frozenset({*names, name} if ignored else names) for name, names in listed.items()}
    return {name: names for name, names in found.items() if names}, said


def named_passages(question: Question, field: str) -> list[str]:
    """The ids in a field of BRIGHT's, `gold_ids` or `excluded_ids`, which holds ["N/A"] where there are none.

    Raises:
        CorpusError: the field holds something else than ids.
    """
    names = question.metadata.get(field) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CorpusError(f"question {question.id!r}: {field} must be a list of passage ids, got {names!r}")
    return [name for name in names if name != "N/A"]


def _has_words(question: Question) -> bool:
    return any(whole_words(answer) != " " for answer in question.answers)


def gold_qrels(data: QuestionSet, questions: Sequence[Question]) -> Qrels:
    """Judgements from the passages that questions mark as gold or name in `gold_ids`; of one text, the first's id.

    The questions are some of the data's, each with an id of its own.
    """
    first = first_with_text(data)
    named = {
        q.id: [*(first[data.passages[i].full_text].id for i in q.gold), *named_passages(q, "gold_ids")]
        for q in questions
    }
    return {name: dict.fromkeys(passages, 1) for name, passages in named.items() if passages}


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
        files = [file for file in sorted(folder.iterdir()) if file.suffix in _JUDGEMENTS]
        named = [file for file in files if _split(file) == run.split]
        if not named:
            there = ", ".join(dict.fromkeys(map(_split, files)))
            raise SettingsError(f"split: {folder} holds no {run.split!r}; there are {there or 'none'}")
        if len(named) > 1:
            raise SettingsError(
                f"split: {folder} holds {' and '.join(file.name for file in named)}; keep one of them, or give qrels"
            )
        own = read_qrels(named[0])
        if twice := judged.keys() & own.keys():
            raise CorpusError(
                f"{named[0]}: the question {min(twice)!r} is judged in another folder too, whose ids cannot be told "
                "apart; evaluate the folders one by one"
            )
        judged |= own
    return judged


def _split(file: Path) -> str:
    return file.name.split(".")[0]
