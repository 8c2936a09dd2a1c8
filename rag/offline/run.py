"""TREC runs and BEIR folders: in as a run or by our own retriever, out as a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rag.offline.writing import Rerank, strictly_descending
from rag.questions import load_questions
from retrievers import CorpusError, Hit, Passage
from retrievers.corpora.decoding import packed_or_plain
from retrievers.corpora.formats import read_jsonl
from retrievers.corpora.trec import stream_run


class RankedQuestion(NamedTuple):
    """A question's id and text, the ids of all its passages, best first, and the first passages themselves."""

    name: str
    text: str
    ids: list[str]
    passages: list[Passage]

    def reranked(self, rerank: Rerank) -> str:
        """Its lines of a run."""
        hits = rerank(self.text, [Hit(passage, 0.0) for passage in self.passages]) if self.passages else []
        order = [*(hit.passage.id for hit in hits), *self.ids[len(hits) :]]
        scores = strictly_descending([hit.score for hit in hits], len(order))
        lines = enumerate(zip(order, scores, strict=True), start=1)
        return "".join(f"{self.name} Q0 {id} {rank} {score} ragshap\n" for rank, (id, score) in lines)


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
            CorpusError: a question, or a passage to rerank, is unknown.
        """
        place = {passage.id: number for number, passage in enumerate(passages)}
        n_questions = 0
        for name, ids in stream_run(path):
            n_questions += 1
            if name not in queries:
                raise CorpusError(
                    f"{path}: question {name!r} is not in the queries; give those that the run was made for"
                )
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
                    if len(one.split()) != 1:
                        raise CorpusError(f"the id {one!r} holds white space, which no TREC run can")
                yield RankedQuestion(name, text, [passage.id for passage in passages], passages)

        return cls(found, len(queries))


def read_queries(path: Path) -> dict[str, str]:
    """Question texts by id: a BEIR folder's `queries.jsonl`, such a file, or any question file.

    Raises:
        CorpusError, FileNotFoundError: the file cannot be read, an id comes twice, or a question is blank.
    """
    file = packed_or_plain(path / "queries.jsonl") or path / "queries.jsonl" if path.is_dir() else path
    if file.name in ("queries.jsonl", "queries.jsonl.gz"):
        if not file.exists():
            raise FileNotFoundError(f"no such file: {file}")
        named = [(record.where, record.id, record.text) for record in read_jsonl(file)]
    else:
        named = [(str(path), question.id, question.text) for question in load_questions([path]).questions]
    queries: dict[str, str] = {}
    for where, name, text in named:
        if name in queries:
            raise CorpusError(f"{where}: the question id {name!r} occurs twice")
        if not text.strip():
            raise CorpusError(f"{where}: question {name!r} is blank")
        queries[name] = text
    if not queries:
        raise CorpusError(f"{file} holds no question")
    return queries
