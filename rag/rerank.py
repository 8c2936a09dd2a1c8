"""Order passages by what they contributed to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rag.readers.base import Closable, Reader, Screener, close
from rag.readers.loading import load_reader
from rag.retrieval import as_hits
from rag.scores import attributed_order, passage_scores
from rag.session import Session
from rag.settings import Settings, load_settings
from rag.threads import set_threads
from retrievers import Hit, Passage


class Ranked(NamedTuple):
    """One passage of a reranking.

    Attributes:
        passage: the passage.
        rank: its rank before, from 1.
        score: what the passages are ordered by; higher is better.
        value: its value for the answer; None if it was screened out.
        error: standard error of the value; None likewise.
    """

    passage: Passage
    rank: int
    score: float
    value: float | None
    error: float | None


@dataclass(frozen=True)
class Reranking:
    """Passages in attributed order.

    Attributes:
        answer: the answer that they are attributed, the reader's from all passages it got; "" is "no answer".
        passages: all passages, best first.
    """

    answer: str
    passages: tuple[Ranked, ...]


class Reranker(Closable):
    """Reranks retrieved passages by attribution.

    Args:
        reader: the reader whose answer is attributed; by default the one that the settings name.
        settings: of which `reader`, `attribution` and `rerank` matter.
        screener: chooses passages where `attribution.screen` asks for it; by default the embedded reader.
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
        """The same passages, best first, with their attribution scores.

        Those that were screened out come last, in their old order, with the lowest score of the others or 0.
        """
        return [Hit(ranked.passage, ranked.score) for ranked in self.attribute(question, passages).passages]

    def attribute(self, question: str, passages: Sequence[Passage | Hit | str]) -> Reranking:
        """As `rerank`, with the answer and what each passage contributed to it."""
        given = [hit.passage for hit in as_hits(passages)]
        session = Session(self.reader, question, given, self.settings, screener=self.screener)
        attribution, score = session.attribute(), self.settings.rerank.score
        scores = passage_scores(attribution, score)
        values, errors = (part[attribution.output] for part in (attribution.values, attribution.errors))
        ranked = [
            Ranked(given[session.read[i]], session.read[i] + 1, float(scores[i]), float(values[i]), float(errors[i]))
            for i in attributed_order(attribution, score)
        ]
        lowest = min(0.0, float(scores.min(initial=0.0)))
        unread = (place for place in range(len(given)) if place not in session.read)
        ranked += [Ranked(given[place], place + 1, lowest, None, None) for place in unread]
        return Reranking(session.answer, tuple(ranked))
