"""TREC runs and BEIR folders: in as a run or by our own retriever, out as a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rag.offline.writing import Part, Rerank, strictly_descending
from rag.questions import load_questions
from rag.questions.loading import read_beir_queries
from retrievers import CorpusError, Hit, Passage
from retrievers.corpora.trec import stream_run


class RankedQuestion(NamedTuple):
    """A question's id and text, the ids of all its passages, best first, and the first passages themselves."""

    name: str
    text: str
    ids: list[str]
    passages: list[Passage]

    def reranked(self, rerank: Rerank) -> Part:
        """Its lines of a run."""
        reranking = rerank(self.text, [Hit(passage, 0.0) for passage in self.passages]) if self.passages else None
        ranked = reranking.passages if reranking else ()
        order = [*(one.passage.id for one in ranked), *self.ids[len(ranked) :]]
        scores = strictly_descending([one.score for one in ranked], len(order))
        lines = enumerate(zip(order, scores, strict=True), start=1)
        text = "".join(f"{self.name} Q0 {id} {rank} {score} ragshap\n" for rank, (id, score) in lines)
        return Part(text, reranking.notices if reranking else ())


class RunTask:
    """Reranks the passages of questions into a TREC run.

    Args:
        found: gives every question with its passages, the same each time.
        total: number of questions.
    """

    head = between = tail = ""

    def __init__(self, found: Callable[[], Iterator[RankedQuestion]], total: int):
        self._found, self.total = found, total

    def __iter__(self) -> Iterator[RankedQuestion]:
        """The questions with their passages."""
        return self._found()

    @classmethod
    def of_run(
        cls, path: Path, queries: Mapping[str, str], passages: Sequence[Passage], depth: int
    ) -> tuple[RunTask, list[str]]:
        """A run that another engine made, checked before anything is computed, and warnings about it.

        Args:
            path: the run; the lines of a question stand together.
            queries: texts by question id.
            passages: where those that it names are found.
            depth: how many first passages are reranked; the others follow in their order.

        Raises:
            CorpusError: a question, or a passage to rerank, is unknown, or an id holds white space.
        """
        place = {passage.id: number for number, passage in enumerate(passages)}
        n_questions = 0
        for name, ids in stream_run(path):
            n_questions += 1
            if name not in queries:
                raise CorpusError(
                    f"{path}: question {name!r} is not in the queries; give those that the run was made for"
                )
            for one in (name, *ids):
                _check_id(one)
            if missing := [one for one in ids[:depth] if one not in place]:
                raise CorpusError(
                    f"{path}: passage {missing[0]!r} of question {name!r} is not in the corpus; "
                    "give the corpus that the run was made from"
                )

        def found() -> Iterator[RankedQuestion]:
            for name, ids in stream_run(path):
                yield RankedQuestion(name, queries[name], ids, [passages[place[one]] for one in ids[:depth]])

        left = len(queries) - n_questions
        warnings = [f"{path} has no passages for {left} of {len(queries)} questions; they are left out"] if left else []
        return cls(found, n_questions), warnings

    @classmethod
    def of_search(cls, queries: Mapping[str, str], search: Callable[[str], list[Hit]]) -> RunTask:
        """What a retriever of ours finds for every question; ids with white space raise `CorpusError`."""

        def found() -> Iterator[RankedQuestion]:
            for name, text in queries.items():
                passages = [hit.passage for hit in search(text)]
                for one in (name, *(passage.id for passage in passages)):
                    _check_id(one)
                yield RankedQuestion(name, text, [passage.id for passage in passages], passages)

        return cls(found, len(queries))


def _check_id(name: str) -> None:
    if len(name.split()) != 1:
        raise CorpusError(f"the id {name!r} holds white space, which no TREC run can")


def read_queries(path: Path) -> tuple[dict[str, str], list[str]]:
    """Question texts by id, of a BEIR folder or any question file, and what of the file was left out.

    Raises:
        CorpusError, FileNotFoundError: the file cannot be read, an id comes twice, or a question is blank.
    """
    found = read_beir_queries(path) if path.is_dir() else load_questions([path])
    queries: dict[str, str] = {}
    for question in found.questions:
        if question.id in queries:
            raise CorpusError(f"{path}: the question id {question.id!r} occurs twice")
        if not question.text:
            raise CorpusError(f"{path}: question {question.id!r} is blank")
        queries[question.id] = question.text
    if not queries:
        raise CorpusError(f"{path} holds no question")
    return queries, found.notes
