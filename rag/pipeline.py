"""The main job: retrieve, read, attribute, rerank, answer again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from attribution import normalize_answer
from rag.answer import Answer, Evidence, OtherAnswer
from rag.explanation.coalition_answers import CoalitionAnswers
from rag.explanation.findings import ABOUT_ZERO, conflicts, pair_interactions
from rag.explanation.hierarchy import check_parts, explain_parts
from rag.explanation.minimal import minimal_sets
from rag.explanation.passages import Explanation, explain_passages
from rag.explanation.screening import Screener, default_screener, screen
from rag.provenance import sources, versions
from rag.readers import Reader
from rag.readers.loading import load_reader, set_threads
from rag.rerank import attributed_order, needs_pivots
from rag.retrieval import open_retriever
from rag.settings import Settings, load_settings
from retrievers import (
    Hit,
    Passage,
    Searcher,
)

Progress = Callable[[str, int, int], None]
"""Called as progress(stage, done, total)."""


class Pipeline:
    """Answers questions over one corpus and says which passages the answers come from.

    Args:
        retriever: finds the passages.
        reader: answers from them.
        settings: how many passages, how attribution is estimated, what the final answer is read from.
        screener: chooses passages where `attribution.screen` asks for it; by default the embedded reader.
        made_with: what answers say of where they come from; by default the versions alone (see `rag.provenance`).
    """

    def __init__(
        self,
        retriever: Searcher | None,
        reader: Reader,
        settings: Settings | None = None,
        screener: Screener | None = None,
        made_with: Mapping[str, Any] | None = None,
    ):
        self.retriever = retriever
        self.reader = reader
        self.settings = settings or Settings()
        self.screener = screener or (default_screener() if self.settings.attribution.screen else None)
        self.made_with = {"versions": versions()} if made_with is None else made_with

    @classmethod
    def from_config(
        cls,
        config: str | Path | Settings | None = None,
        *,
        corpus: str | Path | None = None,
        index: str | Path | None = None,
        overrides: Sequence[str] = (),
    ) -> Pipeline:
        """A pipeline from settings and a corpus, which is indexed in memory, a saved index, or neither.

        Neither is for settings that name a search engine.

        Raises:
            SettingsError: a setting is wrong, or not exactly one of these is given.
            CorpusError, IndexFormatError, FileNotFoundError: the corpus or index cannot be read.
        """
        settings = config if isinstance(config, Settings) else load_settings(config, overrides)
        set_threads(settings.threads)
        retriever = open_retriever(settings, corpus=corpus, index=index)
        return cls(retriever, load_reader(settings.reader), settings, made_with=sources(settings, corpus, index))

    def search(self, question: str, k: int | None = None) -> list[Hit]:
        """The retriever's passages, best first."""
        if self.retriever is None:
            raise ValueError("this pipeline has no retriever; bring your passages to `explain`")
        return self.retriever.search(question, k or self.settings.retriever.passages)

    def ask(self, question: str, *, progress: Progress | None = None) -> Answer:
        """Answer a question from the corpus."""
        started = time.perf_counter()
        hits = self.search(question)
        retrieve = time.perf_counter() - started
        answer = self.explain(question, hits, progress=progress)
        warnings = answer.warnings
        if not hits:
            warnings = (*warnings, "no passage matches the question; the answer is from the question alone")
        elif isinstance(self.retriever, Sized) and len(self.retriever) < self.settings.retriever.passages:
            wanted = self.settings.retriever.passages
            warnings = (*warnings, f"{wanted} passages asked for, the corpus has {len(self.retriever)}")
        return replace(answer, seconds={"retrieve": retrieve, **answer.seconds}, warnings=warnings)

    def explain(self, question: str, passages: Sequence[Passage | Hit], *, progress: Progress | None = None) -> Answer:
        """Answer a question from passages that you bring, in their given order."""
        hits = [item if isinstance(item, Hit) else Hit(item, 0.0) for item in passages]
        _check_ids(hit.passage.id for hit in hits)
        settings, keep = self.settings.attribution, self.settings.rerank.keep
        if settings.k is None and isinstance(keep, int):
            settings = settings.model_copy(update={"k": keep})
        if self.settings.hierarchy.asks:
            check_parts(self.reader, self.settings.hierarchy, settings.semivalue)  # before anything is spent
        started = time.perf_counter()
        read = self._screened(question, hits)
        screening = time.perf_counter() - started
        explanation = explain_passages(
            self.reader,
            question,
            [hits[index].passage for index in read],
            settings,
            None if progress is None else lambda done, total: progress("attribute", done, total),
            pivots=needs_pivots(self.settings.rerank.score),
        )
        started = time.perf_counter()
        order = attributed_order(explanation.attribution, self.settings.rerank.score)
        kept, text = distil(explanation.answers, explanation.text, order, keep)
        answered = time.perf_counter()
        attribution, answers = explanation.attribution, explanation.answers
        sufficient = counterfactual = None
        if settings.minimal_sets:
            sufficient, counterfactual = minimal_sets(answers, order, attribution.players, settings.minimal_sets)
        conflicting = conflicts(attribution, answers) if settings.utility == "votes" else ()
        interacting = pair_interactions(attribution, answers, settings.budget) if settings.interactions else None
        seconds = {**explanation.seconds, "answer": answered - started, "examine": time.perf_counter() - answered}
        if self.screener is not None:
            seconds = {"screen": screening, **seconds}
        hierarchy = None
        if self.settings.hierarchy.asks:
            seed = self.settings.attribution.seed
            hierarchy = explain_parts(self.reader, explanation, self.settings.hierarchy, seed=seed, progress=progress)
            seconds["parts"] = hierarchy.seconds
        return Answer(
            question=explanation.encoded.question,
            text=text,
            full_text=explanation.text,
            share=explanation.share(explanation.text),
            evidence=_evidence(hits, read, explanation, order, kept),
            others=_other_answers(explanation),
            attribution=attribution,
            hierarchy=hierarchy,
            seconds=seconds,
            warnings=tuple(_warnings(explanation, len(hits))),
            screened=tuple(hit.passage.id for index, hit in enumerate(hits) if index not in read),
            sufficient=sufficient,
            counterfactual=counterfactual,
            conflicts=conflicting,
            interactions=interacting,
            settings={
                **self.settings.model_dump(mode="json"),
                "reader_name": self.reader.name,
                "made_with": dict(self.made_with),
            },
        )

    def _screened(self, question: str, hits: Sequence[Hit]) -> list[int]:
        """The places of the passages that the reader gets."""
        settings = self.settings.attribution
        if self.screener is None:
            return list(range(len(hits)))
        return screen(self.screener, question, [hit.passage for hit in hits], settings.screen, settings.seed)


def distil(answers: CoalitionAnswers, full: str, order: Sequence[int], keep: int | str) -> tuple[list[int], str]:
    """The passages to keep and the answer read from them alone.

    Args:
        answers: gives the answers from subsets; nothing is encoded again.
        full: the answer from all passages.
        order: passages, best first.
        keep: a number of passages, or "smallest": the fewest first ones that give the full answer.
    """
    sizes = range(len(order) + 1) if keep == "smallest" else [min(int(keep), len(order))]
    prefixes = np.zeros((len(sizes), len(order)), dtype=bool)
    for row, size in enumerate(sizes):
        prefixes[row, list(order[:size])] = True
    said = answers(prefixes)
    if keep != "smallest":
        return list(order[: sizes[0]]), said[0]
    wanted = normalize_answer(full)
    size = next(size for size, answer in zip(sizes, said, strict=True) if normalize_answer(answer) == wanted)
    return list(order[:size]), said[size]


def _evidence(
    hits: Sequence[Hit], read: Sequence[int], explanation: Explanation, order: Sequence[int], kept: Sequence[int]
) -> tuple[Evidence, ...]:
    attribution = explanation.attribution
    return tuple(
        Evidence(
            passage=hits[read[index]].passage,
            rank=read[index] + 1,
            score=hits[read[index]].score,
            value=float(attribution.values[attribution.output, index]),
            error=float(attribution.errors[attribution.output, index]),
            kept=index in kept,
            cut_tokens=explanation.encoded.cut_tokens[index],
        )
        for index in order
    )


def _other_answers(explanation: Explanation) -> tuple[OtherAnswer, ...]:
    """All answers but the full one, with the passages that pull towards each."""
    attribution = explanation.attribution
    if attribution.utility != "votes":
        return ()
    others = [
        OtherAnswer(
            text,
            explanation.share(text),
            tuple(item.player for item in attribution.top(3, index) if item.value >= max(ABOUT_ZERO, 2 * item.error)),
        )
        for index, text in enumerate(attribution.outputs)
        if index != attribution.output
    ]
    return tuple(sorted(others, key=lambda other: -other.share))


def _check_ids(ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise ValueError(f"two passages have the id {name!r}; give each its own")
        seen.add(name)


def _warnings(explanation: Explanation, retrieved: int) -> Iterable[str]:
    encoded = explanation.encoded
    out = retrieved - len(encoded.passages)
    if out:
        yield (
            f"{out} of {retrieved} passages were screened out; the reader got the other {len(encoded.passages)}, and "
            "values say nothing of those left out"
        )
    cut = sum(tokens > 0 for tokens in encoded.cut_tokens)
    if cut:
        total = sum(encoded.cut_tokens)
        longer = "1 passage is" if cut == 1 else f"{cut} passages are"
        yield f"{longer} longer than the reader's limit; {total} tokens were not read"
    if encoded.question_cut_tokens:
        yield f"the question is longer than the limit; {encoded.question_cut_tokens} tokens were not read"
    texts = [passage.full_text for passage in encoded.passages]
    if len(set(texts)) < len(texts):
        yield f"of {len(texts)} passages only {len(set(texts))} differ in text"
