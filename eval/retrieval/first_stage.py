"""The orders before reranking: our retrievers, other people's runs, and the order that came with the questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from eval.retrieval.settings import Kind, RetrievalRun, SearchSettings, run_name
from eval.retrieval.task import Task, first_with_text
from eval.selection import pooled
from rag.engine_settings import ENGINES
from rag.progress import StageProgress
from rag.questions import Question
from rag.retrieval import build_retriever, open_engine
from rag.settings import RetrieverSettings
from rag.settings_base import SettingsError
from retrievers import CorpusError, HybridRetriever, Passage, Retriever, load_corpus, load_index
from retrievers.corpora.trec import read_run

T = TypeVar("T")
Search = Callable[[Sequence[Question]], list[list[Passage]]]
"""The first passages of each question, best first."""


class FirstStages:
    """Orders of the passages of one corpus.

    Args:
        settings: what is searched; of a run with search engines, also their sections.
        kinds: retrievers, or "own".
        depth: how many passages of each question are kept.
        task: the questions.
        root: folder that paths are relative to.
        runs: TREC runs.
        progress: called as progress("indexing", done, total), in passages.

    Attributes:
        searches: the search of each name.

    Raises:
        CorpusError, FileNotFoundError: the corpus or a run cannot be read, or a run names a passage that is not there.
        SettingsError: there are no passages, or the index holds no such retriever.
    """

    def __init__(
        self,
        settings: SearchSettings,
        kinds: Sequence[Kind],
        depth: int,
        task: Task,
        root: Path,
        *,
        runs: Sequence[str] = (),
        progress: StageProgress | None = None,
    ):
        self._settings, self._kinds, self._depth = settings, kinds, depth
        self._data, self._excluded = task.data, task.excluded
        self._index = None if settings.index is None else load_index(root / settings.index)
        ours = [kind for kind in kinds if kind not in ("own", *ENGINES)]
        self._passages: Sequence[Passage] = self._load(root) if ours or runs else ()
        retrievers = self._open(ours, progress) if ours else {}
        retrievers |= {kind: open_engine(kind, settings, settings.dense.encoder) for kind in kinds if kind in ENGINES}  # type: ignore[arg-type]
        self.searches: dict[str, Search] = {
            kind: self._own(task.questions) if kind == "own" else self._search(retrievers[kind]) for kind in kinds
        }
        self.searches |= {run_name(path): self._replay(root / path, task.questions) for path in runs}

    def known(self) -> set[str] | None:
        """Ids of all passages; None if a search engine may hold others."""
        if set(self._kinds) & set(ENGINES):
            return None
        own = self._data.passages if "own" in self._kinds else ()
        return {passage.id for passages in (self._passages, own) for passage in passages}

    def _load(self, root: Path) -> Sequence[Passage]:
        corpus = self._settings.corpus
        if self._index is not None:
            return self._index.passages
        if corpus is None:
            return pooled(self._data, self._settings.pool, root).passages
        source = corpus if corpus.startswith("hf:") else root / corpus
        return list(load_corpus(source, passage_words=self._settings.passage_words))

    def _open(self, kinds: Sequence[str], progress: StageProgress | None) -> dict[str, Retriever]:
        """The retriever of each kind: the members of one hybrid, where there are several."""
        settings, total = self._settings, len(self._passages)
        whole = self._index
        if whole is None:
            kind = kinds[0] if len(kinds) == 1 else "hybrid"
            parts = {"kind": kind, "bm25": settings.bm25, "dense": settings.dense}
            report = None if progress is None else lambda done: progress("indexing", done, total)
            whole = build_retriever(self._passages, RetrieverSettings.model_validate(parts), report)
        members = whole.retrievers if isinstance(whole, HybridRetriever) else ()
        found = {getattr(one, "kind", ""): one for one in (whole, *members)}
        if missing := [kind for kind in kinds if kind not in found]:
            raise SettingsError(f"retrievers: {settings.index} holds {', '.join(found)}, not {missing[0]}")
        return found

    def _own(self, questions: Sequence[Question]) -> Search:
        first, passages = first_with_text(self._data), self._data.passages
        if not any(question.passages for question in questions):
            raise SettingsError("retrievers: own needs passages that come with the questions, and none has any")
        return lambda questions: [
            [first[passages[i].full_text] for i in question.passages[: self._depth]] for question in questions
        ]

    def _search(self, retriever: Retriever) -> Search:
        more = max(map(len, self._excluded.values()), default=0)
        return lambda questions: [
            self._hits(question, (hit.passage for hit in hits), lambda passage: passage.id)
            for question, hits in zip(
                questions,
                retriever.search_many([question.text for question in questions], self._depth + more),
                strict=True,
            )
        ]

    def _replay(self, path: Path, questions: Sequence[Question]) -> Search:
        ranked = read_run(path)
        ids = {q.id: self._hits(q, ranked.get(q.id, []), str) for q in questions}
        wanted = {name for own in ids.values() for name in own}
        passages = {passage.id: passage for passage in self._passages if passage.id in wanted}
        if missing := wanted - passages.keys():
            raise CorpusError(
                f"{path}: {len(missing)} passages are not in the corpus, such as {min(missing)!r}; "
                "give the corpus that the run was made from"
            )
        return lambda some: [[passages[name] for name in ids[q.id]] for q in some]

    def _hits(self, question: Question, found: Iterable[T], name: Callable[[T], str]) -> list[T]:
        """The first hits of a question, without those that are excluded."""
        excluded = self._excluded.get(question.id, frozenset())
        return list(islice((hit for hit in found if name(hit) not in excluded), self._depth))


def run_warnings(run: RetrievalRun, task: Task, root: Path) -> list[str]:
    """How many questions bring no passages, and how many each run misses, or has that are not in the data."""
    warnings = []
    bare = sum(not question.passages for question in task.questions)
    if "own" in run.kinds() and bare:
        warnings.append(f"{bare} of {len(task.questions)} questions bring no passages; they count as not found (own)")
    known = {question.id for question in task.data.questions}
    for path in run.runs:
        ranked = read_run(root / path)
        if missing := sum(question.id not in ranked for question in task.questions):
            warnings.append(
                f"{path} has no passages for {missing} of {len(task.questions)} questions; they count as not found"
            )
        if unknown := len(ranked.keys() - known):
            warnings.append(f"{path} has {unknown} questions that are not in the data; they are left out")
    return warnings
