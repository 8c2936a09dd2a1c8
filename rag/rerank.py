"""Order passages by what they contributed to the answer."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rag.grades import answer_grades, order_of, probability, relevance_of
from rag.notices import notices, of_cuts
from rag.readers.base import Closable, Notice, Reader, Screener, close
from rag.readers.loading import load_reader
from rag.retrieval import as_hits
from rag.scores import Scores, passage_scores
from rag.session import Session, default_screener
from rag.settings import Settings, load_settings
from rag.threads import set_threads
from retrievers import Hit, Passage

_BATCH = 32  # passages whose relevance is read at once


class Ranked(NamedTuple):
    """One passage of a reranking.

    Attributes:
        passage: the passage.
        rank: its rank before, from 1.
        score: what the passages are ordered by, in [0, 1]; see `rag.grades`.
        relevance: how relevant the reader finds it, in [0, 1]; None if the reader does not say.
        contribution: its `rerank.score`; None if it was not attributed.
        value: its value for the answer; None if it was not attributed.
        error: standard error of the value; None likewise.
    """

    passage: Passage
    rank: int
    score: float
    relevance: float | None
    contribution: float | None = None
    value: float | None = None
    error: float | None = None


@dataclass(frozen=True)
class Reranking:
    """Passages in attributed order.

    Attributes:
        answer: the answer that they are attributed, the reader's from all passages it got; "" is "no answer".
        passages: all passages, best first.
        attributed: how many of them have a value.
        tokens: how many tokens were read, each as often as it was encoded.
        notices: what was cut, screened out, or cannot be relied on.
    """

    answer: str
    passages: tuple[Ranked, ...]
    attributed: int
    tokens: int
    notices: tuple[Notice, ...]

    @property
    def warnings(self) -> list[str]:
        """The notices as sentences."""
        return list(map(str, self.notices))


class Reranker(Closable):
    """Reranks retrieved passages by attribution.

    Args:
        reader: the reader whose answer is attributed; by default the one that the settings name.
        settings: of which `reader`, `attribution` and `rerank` matter.
        screener: chooses passages where `attribution.screen` or `most` asks for it; by default the embedded reader.
    """

    def __init__(
        self, reader: Reader | None = None, settings: Settings | None = None, screener: Screener | None = None
    ):
        self.settings = settings or Settings()
        self.reader = reader or load_reader(self.settings.reader)
        self.screener = screener

    @classmethod
    def from_config(cls, config: str | Path | Settings | None = None, *, overrides: Sequence[str] = ()) -> Reranker:
        """A reranker from settings, of which `reader`, `attribution`, `rerank` and `threads` matter.

        Raises:
            SettingsError: a setting is wrong.
            FileNotFoundError: there is no such file of settings.
        """
        settings = load_settings(config, overrides)
        set_threads(settings.threads)
        return cls(settings=settings)

    def close(self) -> None:
        """Release what the reader holds open, such as an endpoint's connections and its cache of replies."""
        close(self.reader)

    def rerank(self, question: str, passages: Sequence[Passage | Hit | str]) -> list[Hit]:
        """The same passages, best first, with their graded scores (see `rag.grades`)."""
        return [Hit(ranked.passage, ranked.score) for ranked in self.attribute(question, passages).passages]

    def attribute(self, question: str, passages: Sequence[Passage | Hit | str], most: int | None = None) -> Reranking:
        """As `rerank`, with the answer and what each passage contributed to it.

        Args:
            question: the question; blank raises `ValueError`.
            passages: each with an id of its own. Blank ones are not read and come last.
            most: how many passages are attributed; the most relevant ones, if there are more. None attributes all.
        """
        steps = self.steps(question, passages, most)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                reranking: Reranking = end.value
                return reranking

    def steps(
        self, question: str, passages: Sequence[Passage | Hit | str], most: int | None = None
    ) -> Generator[None, None, Reranking]:
        """The work of `attribute` in steps of about a second, between which other work may be done."""
        given = [hit.passage for hit in as_hits(passages)]
        places = [place for place, passage in enumerate(given) if passage.text.strip()]
        told: list[Notice] = []
        tokens = 0
        relevance: Scores | None = None
        if blank := len(given) - len(places):
            told.append(Notice("{:,} of {:,} passages are blank, and come last", (blank, len(given))))
        if most is not None and len(places) > most:
            found, tokens, cuts = yield from self._relevances(question, given, places)
            chosen = sorted(sorted(places, key=lambda place: -found[place])[:most])
            sentence = "of {:,} passages, the {:,} most relevant were attributed; the others follow by relevance"
            told.append(Notice(sentence, (len(places), most)))
            told += of_cuts([cuts[place] for place in places if place not in chosen])
            places, relevance = chosen, found
        session = Session(
            self.reader, question, [given[place] for place in places], self.settings, screener=self.screener
        )
        attribution = session.attribute()
        read = [places[place] for place in session.read]
        if relevance is None and (said := relevance_of(session)) is not None:
            relevance = _spread(said, read, len(given))
        contributions = passage_scores(attribution, self.settings.rerank.score)
        scores = answer_grades(session.answer, given, _spread(contributions, read, len(given)), relevance)
        if session.passages and not session.answer:
            by = "what pulls towards one" if relevance is None else "relevance alone"
            told.append(Notice(f"the reader finds no answer in these passages, so they are ordered by {by}"))
        parts = zip(
            contributions.tolist(),
            attribution.values[attribution.output].tolist(),
            attribution.errors[attribution.output].tolist(),
            strict=True,
        )
        attributed = dict(zip(read, parts, strict=True))
        ranked = (
            Ranked(
                given[place],
                place + 1,
                float(scores[place]),
                None if relevance is None else float(relevance[place]),
                *attributed.get(place, ()),
            )
            for place in order_of(scores)
        )
        return Reranking(
            session.answer,
            tuple(ranked),
            len(read),
            tokens + session.encoded.tokens,
            (*told, *notices(session)),
        )

    def _relevances(
        self, question: str, given: Sequence[Passage], places: Sequence[int]
    ) -> Generator[None, None, tuple[Scores, int, list[int]]]:
        """Relevance of the passages at some places, `(len(given),)`; tokens read in all, and cut from each passage."""
        reader = self.reader if isinstance(self.reader, Screener) else self.screener or default_screener()
        relevance, tokens, cut = np.zeros(len(given)), 0, [0] * len(given)
        for first in range(0, len(places), _BATCH):
            batch = places[first : first + _BATCH]
            encoded = reader.encode(question, [given[place] for place in batch])
            relevance[batch] = probability(reader.relevance(encoded))
            tokens += encoded.tokens
            for place, tokens_cut in zip(batch, encoded.cut_tokens, strict=True):
                cut[place] = tokens_cut
            yield
        return relevance, tokens, cut


def _spread(numbers: Scores, places: Sequence[int], size: int) -> Scores:
    """The numbers at their places among `size`, 0 elsewhere."""
    spread = np.zeros(size)
    spread[list(places)] = numbers
    return spread
