"""The main job: retrieve, read, attribute, rerank, answer again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Sized
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from attribution import Attribution
from rag.answer import Answer, Evidence, OtherAnswer, TwoReaders
from rag.estimation import budget_of
from rag.explanation.citations import by_sentences, cite
from rag.explanation.findings import conflicts, is_about_zero, pair_interactions
from rag.explanation.hierarchy import explain_parts
from rag.explanation.minimal import minimal_sets
from rag.explanation.spans import Span
from rag.grades import order_of, session_grades
from rag.notices import notices
from rag.progress import StageProgress
from rag.provenance import sources, versions
from rag.readers.base import Closable, Reader, Screener, close
from rag.readers.loading import load_reader
from rag.retrieval import Corpus, SearchFunction, as_hits, as_searcher, open_retriever
from rag.session import Session
from rag.settings import AnswerSettings, HierarchySettings, Settings, load_settings
from rag.settings_base import SettingsError
from rag.threads import set_threads
from retrievers import Hit, Passage, Searcher


class Pipeline(Closable):
    """Answers questions over one corpus and says which passages the answers come from.

    Args:
        retriever: finds the passages; a function from a question and a number k to at most k passages will do. None,
            with no `corpus`, is for passages that you bring to `explain`.
        reader: answers from them; by default the one that the settings name.
        settings: how many passages, how attribution is estimated, what the final answer is read from.
        screener: chooses passages where `attribution.screen` asks for it; by default the embedded reader.
        made_with: what answers say of where they come from; by default the versions alone (see `rag.provenance`).
        corpus: passages or plain strings to index in memory, or the path of a corpus, instead of a retriever.
        answerer: gives the final answer from the kept passages; by default the reader that `answer.reader` names or,
            where it names none, the one that is attributed.

    Raises:
        SettingsError: both a retriever and a corpus are given.
    """

    def __init__(
        self,
        retriever: Searcher | SearchFunction | None = None,
        reader: Reader | None = None,
        settings: Settings | None = None,
        screener: Screener | None = None,
        made_with: Mapping[str, Any] | None = None,
        *,
        corpus: Corpus | None = None,
        answerer: Reader | None = None,
    ):
        self.settings = settings or Settings()
        if corpus is not None:
            if retriever is not None:
                raise SettingsError("give either a retriever or a corpus, one of the two")
            retriever = open_retriever(self.settings, corpus=corpus)
        self.retriever = None if retriever is None else as_searcher(retriever)
        self.reader = reader or load_reader(self.settings.reader)
        self.answerer, named = answerer, self.settings.answer.reader
        if answerer is None and named is not None:
            try:
                self.answerer = load_reader(named, "answer.reader")
            except BaseException:
                close(self.reader)
                raise
        self.screener = screener
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
        settings = load_settings(config, overrides)
        set_threads(settings.threads)
        retriever = open_retriever(settings, corpus=corpus, index=index)
        reader = load_reader(settings.reader)  # first, because it says best what is wrong with a checkpoint
        return cls(retriever, reader, settings, made_with=sources(settings, corpus, index))

    def close(self) -> None:
        """Release what the readers hold open, such as an endpoint's connections and its cache of replies."""
        close(self.reader)
        close(self.answerer)

    def search(self, question: str, k: int | None = None) -> list[Hit]:
        """The k best passages, best first; by default as many as `retriever.passages` says."""
        if self.retriever is None:
            raise ValueError("this pipeline has no retriever; bring your passages to `explain`")
        return self.retriever.search(question, self.settings.retriever.passages if k is None else k)

    def ask(self, question: str, *, progress: StageProgress | None = None) -> Answer:
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

    def explain(
        self,
        question: str,
        passages: Sequence[Passage | Hit | str],
        *,
        answer: str | None = None,
        spans: Sequence[Span] | None = None,
        progress: StageProgress | None = None,
    ) -> Answer:
        """Attribute an answer to passages or plain strings that you bring, in their given order.

        Args:
            question: the question.
            passages: what the answer is attributed to.
            answer: an answer that you have, from wherever, which is explained sentence by sentence; by default the
                reader answers. Its `text` is then the answer as given, and no passage is `kept`.
            spans: parts of the answer to explain in place of its sentences: words that it holds once, or characters
                `(start, end)`, counted without the white space around the answer. Values are of these together.
            progress: called as progress(stage, done, total).

        Raises:
            ValueError: the question or the answer is blank, the answer is longer than the reader can score or does not
                hold a span, or two passages have the same id.
            SettingsError: the settings contradict one another, or the reader cannot do what they ask for.
        """
        hits = as_hits(passages)
        own = self.settings.attribution
        players = [hit.passage for hit in hits]
        session = Session(
            self.reader, question, players, self.settings, screener=self.screener, answer=answer, spans=spans
        )
        clock = _Clock()
        report = None if progress is None else partial(progress, "attribute")
        citations, said = None, list[str]()
        if by_sentences(session):
            attribution, citations, said = cite(session, report)
        else:
            attribution = session.attribute(progress=report)
        others = _other_answers(session, attribution)
        share = session.share(session.answer)
        order = order_of(session_grades(session, attribution))
        clock.stop("attribute")
        kept, text = ([], session.answer) if session.given else session.distil(order, self.settings.rerank.keep)
        readers = None
        if self.answerer is not None and not session.given:
            by_rank = {session.read[index] + 1: hits[session.read[index]] for index in kept}
            text, readers, warnings = self._answered(question, by_rank, progress)
            said += warnings
        [no_answer_probability] = session.no_answer_probabilities(np.ones((1, session.n_read), dtype=bool))
        clock.stop("answer")
        sufficient = counterfactual = None
        if own.minimal_sets and not session.given:
            sufficient, counterfactual = minimal_sets(session, order, own.minimal_sets)
        conflicting = conflicts(attribution, session) if attribution.utility == "votes" else ()
        interacting = None
        if own.interactions and not answer:
            interacting = pair_interactions(attribution, session, budget_of(own, self.reader, session.n_read))
        clock.stop("examine")
        hierarchy = explain_parts(session, attribution, progress) if self.settings.hierarchy.asks else None
        reading: dict[str, float] = {
            name: session.seconds[name] for name in ("screen", "encode") if name in session.seconds
        }
        return Answer(
            question=session.encoded.question,
            text=text,
            full_text=session.answer,
            share=share,
            no_answer_probability=no_answer_probability,
            merged=session.matching.merged,
            evidence=_evidence(hits, session, attribution, order, kept),
            others=others,
            attribution=attribution,
            hierarchy=hierarchy,
            seconds={**reading, **clock.seconds, **({"parts": hierarchy.seconds} if hierarchy else {})},
            warnings=(*map(str, notices(session)), *said),
            screened=tuple(hit.passage.id for place, hit in enumerate(hits) if place not in session.read),
            sufficient=sufficient,
            counterfactual=counterfactual,
            conflicts=conflicting,
            interactions=interacting,
            citations=citations,
            readers=readers,
            settings={
                **self.settings.model_dump(mode="json"),
                "reader_name": self.reader.name,
                "made_with": dict(self.made_with),
            },
        )

    def rehearse(
        self,
        question: str,
        passages: Sequence[Passage | Hit | str],
        *,
        answer: str | None = None,
        spans: Sequence[Span] | None = None,
    ) -> int:
        """How many coalitions `explain` may ask its readers about, at most; costly readers log what they cost.

        Nothing is asked, except that an endpoint may be tried out for log-probabilities of an answer that is given.
        """
        players = [hit.passage for hit in as_hits(passages)]
        session = Session(
            self.reader, question, players, self.settings, screener=self.screener, answer=answer, spans=spans
        )
        if self.answerer is None or session.given:
            return session.most_decodes
        keep = self.settings.rerank.keep
        # Which passages will be kept is not known; the longest ones cost most.
        kept = sorted(session.encoded.passages, key=lambda passage: -len(passage.title) - len(passage.text))
        kept = kept if keep == "smallest" else kept[:keep]
        if self.settings.answer.attribute:
            return session.most_decodes + self._of_answerer(len(kept)).rehearse(question, kept)
        return session.most_decodes + Session(self.answerer, question, kept, most_decodes=1).most_decodes

    def _answered(
        self, question: str, kept: Mapping[int, Hit], progress: StageProgress | None
    ) -> tuple[str, TwoReaders, list[str]]:
        """The answer of the other reader from the kept passages, who is who, and what is to be said of the answer.

        The other reader gets the passages, given by their rank, best first, as if no other had been retrieved.
        """
        assert self.answerer is not None
        answering, ranks, hits = self.answerer.name, list(kept), list(kept.values())
        if self.settings.answer.attribute:
            report = None if progress is None else lambda _, done, total: progress("answer", done, total)
            found = self._of_answerer(len(hits)).explain(question, hits, progress=report)
            evidence = tuple(replace(one, rank=ranks[one.rank - 1]) for one in found.evidence)
            explanation = replace(found, evidence=evidence)
            text, said = found.text, list(found.warnings)
        else:
            session = Session(self.answerer, question, [hit.passage for hit in hits], most_decodes=1)
            text, explanation, said = session.answer, None, list(map(str, notices(session)))
        warnings = [f"{answering}, which gave the final answer: {warning}" for warning in said]
        return text, TwoReaders(answering, self.reader.name, explanation), warnings

    def _of_answerer(self, n_kept: int) -> Pipeline:
        """The pipeline that attributes the final answer to all of the kept passages, as wholes."""
        own = self.settings
        changed = {
            "reader": own.answer.reader or own.reader,
            "answer": AnswerSettings(),
            "hierarchy": HierarchySettings(),
            "attribution": own.attribution.model_copy(update={"screen": 0}),
            "rerank": own.rerank.model_copy(update={"keep": max(1, n_kept)}),
        }
        return Pipeline(None, self.answerer, own.model_copy(update=changed), made_with=self.made_with)


class _Clock:
    """Seconds of one stage after another."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.perf_counter()

    def stop(self, stage: str) -> None:
        """A stage ends, the next begins."""
        now = time.perf_counter()
        self.seconds[stage], self._started = now - self._started, now


def _evidence(
    hits: Sequence[Hit], session: Session, attribution: Attribution, order: Sequence[int], kept: Sequence[int]
) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            passage=hits[session.read[index]].passage,
            rank=session.read[index] + 1,
            score=hits[session.read[index]].score,
            value=float(attribution.values[attribution.output, index]),
            error=float(attribution.errors[attribution.output, index]),
            kept=index in kept,
            cut_tokens=session.encoded.cut_tokens[index],
        )
        for index in order
    )


def _other_answers(session: Session, attribution: Attribution) -> tuple[OtherAnswer, ...]:
    """All answers but the full one, with the passages that pull towards each."""
    if attribution.utility != "votes":
        return ()
    others = [
        OtherAnswer(
            text,
            session.share(text),
            tuple(
                item.player
                for item in attribution.top(3, index)
                if item.value > 0 and not is_about_zero(item.value, item.error)
            ),
        )
        for index, text in enumerate(attribution.outputs)
        if index != attribution.output
    ]
    return tuple(sorted(others, key=lambda other: -other.share))
