"""The orders before reranking: our retrievers, other people's runs, and the order that came with the questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from eval.retrieval.settings import Kind, RetrievalRun, run_name
from eval.retrieval.task import Task, first_with_text
from eval.selection import pooled
from rag.engine_settings import ENGINES
from rag.questions import Question
from rag.retrieval import build_retriever, open_engine
from rag.settings import RetrieverSettings
from rag.settings_base import SettingsError
from retrievers import CorpusError, HybridRetriever, Passage, Retriever, load_corpus, load_index
from retrievers.corpora.trec import read_run

Search = Callable[[Sequence[Question]], list[list[Passage]]]
"""The first passages of each question, best first."""


class FirstStages:
    """The orders that a run names, over one corpus.

    Args:
        run: retrievers, runs and corpus.
        task: the questions.
        root: folder that paths are relative to.
        progress: called as progress("indexing …", done, total), in passages.

    Attributes:
        searches: the search of each name.

    Raises:
        CorpusError, FileNotFoundError: the corpus or a run cannot be read, or a run names a passage that is not there.
        SettingsError: there are no passages, or the index holds no such retriever.
    """

    def __init__(
        self, run: RetrievalRun, task: Task, root: Path, progress: Callable[[str, int, int], None] | None = None
    ):
        self._progress = progress
        self._run, self._root, self._data = run, root, task.data
        self._depth = run.kept()
        self._built: dict[str, Retriever] = {}
        self._index = None if run.index is None else load_index(root / run.index)
        self._passages: Sequence[Passage] = self._load() if set(run.first_stages()) - {"own", *ENGINES} else ()
        self.searches: dict[str, Search] = {kind: self._search(kind) for kind in run.kinds()}
        self.searches |= {run_name(path): self._replay(root / path, task.questions) for path in run.runs}

    def known(self) -> set[str] | None:
        """Ids of all passages; None if a search engine may hold others."""
        if set(self._run.kinds()) & set(ENGINES):
            return None
        own = self._data.passages if "own" in self._run.kinds() else ()
        return {passage.id for passages in (self._passages, own) for passage in passages}

    def _load(self) -> Sequence[Passage]:
        run = self._run
        if self._index is not None:
            return self._index.passages
        if run.corpus is not None:
            source = run.corpus if run.corpus.startswith("hf:") else self._root / run.corpus
            return list(load_corpus(source, passage_words=run.passage_words))
        return pooled(self._data, run.pool, self._root)

    def _search(self, kind: Kind) -> Search:
        if kind == "own":
            first, passages = first_with_text(self._data), self._data.passages
            return lambda questions: [
                [first[passages[i].full_text] for i in q.passages[: self._depth]] for q in questions
            ]
        retriever = self._retriever(kind)
        return lambda questions: [
            [hit.passage for hit in hits]
            for hits in retriever.search_many([question.text for question in questions], self._depth)
        ]

    def _retriever(self, kind: str) -> Retriever:
        if kind in self._built:
            return self._built[kind]
        if kind in ENGINES:
            self._built[kind] = open_engine(kind, self._run, self._run.dense.encoder)
            return self._built[kind]
        if self._index is not None:
            parts = self._index.retrievers if isinstance(self._index, HybridRetriever) else ()
            found = {getattr(part, "kind", ""): part for part in (self._index, *parts)}
            if kind not in found:
                raise SettingsError(f"retrievers: {self._run.index} holds {', '.join(found)}, not {kind}")
            self._built[kind] = found[kind]
        elif kind == "hybrid":
            self._built[kind] = HybridRetriever([self._retriever("bm25"), self._retriever("dense")])
        else:
            settings = RetrieverSettings.model_validate(
                {"kind": kind, "bm25": self._run.bm25, "dense": self._run.dense}
            )
            self._built[kind] = build_retriever(self._passages, settings, self._report(kind))
        return self._built[kind]

    def _report(self, kind: str) -> Callable[[int], None] | None:
        report = self._progress
        return None if report is None else lambda done: report(f"indexing {kind}", done, len(self._passages))

    def _replay(self, path: Path, questions: Sequence[Question]) -> Search:
        ranked = read_run(path)
        wanted = {name for question in questions for name in ranked.get(question.id, [])[: self._depth]}
        passages = {passage.id: passage for passage in self._passages if passage.id in wanted}
        if missing := wanted - passages.keys():
            raise CorpusError(
                f"{path}: {len(missing)} passages are not in the corpus, such as {min(missing)!r}; "
                "give the corpus that the run was made from"
            )
        return lambda asked: [[passages[name] for name in ranked.get(q.id, [])[: self._depth]] for q in asked]


def run_warnings(run: RetrievalRun, task: Task, root: Path) -> list[str]:
    """How many questions each run misses, and how many it has that are not in the data."""
    said = []
    known = {question.id for question in task.data.questions}
    for path in run.runs:
        ranked = read_run(root / path)
        if missing := sum(question.id not in ranked for question in task.questions):
            said.append(
                f"{path} has no passages for {missing} of {len(task.questions)} questions; they count as not found"
            )
        if unknown := len(ranked.keys() - known):
            said.append(f"{path} has {unknown} questions that are not in the data; they are left out")
    return said
