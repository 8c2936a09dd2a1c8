"""What all adapters share: attributing the documents of any framework, and turning those found into passages."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from threading import RLock
from typing import Any, NamedTuple

import numpy as np

from rag.pipeline import Pipeline
from rag.rerank import Reranker
from rag.settings import ATTRIBUTED, RetrieverSettings
from retrievers import Hit, Passage
from retrievers.base import check_query
from retrievers.errors import EngineError, EngineUnavailableError

METADATA_KEY = "ragshap"
"""The key in a document's metadata under which its contribution is stored."""

DEFAULT_PASSAGES = RetrieverSettings().passages
"""How many documents our retrievers return in a framework that does not say."""

ONE_AT_A_TIME = RLock()
"""Held while searching and reading: tokenizers are not made for several threads, and frameworks call from many.

A thread may hold it twice, because a framework's retriever may hold one of ours."""


class Text(NamedTuple):
    """The text and metadata of a document; the id is None if it has none."""

    text: str
    metadata: Mapping[str, Any]
    id: str | None = None
    score: float | None = None

    @property
    def title(self) -> str:
        """The title in the metadata, or ""."""
        title = self.metadata.get("title")
        return title if isinstance(title, str) else ""


class Attributed(NamedTuple):
    """A document's place among those given, from 0; what it is ordered by; and its metadata with the attribution."""

    place: int
    score: float
    metadata: dict[str, Any]


def check_top(top: int | None, name: str) -> int | None:
    """The number of documents to keep, None for all; raises `ValueError` if it is below 1."""
    if top is not None and top < 1:
        raise ValueError(f"{name} must be at least 1, or None for all; got {top}")
    return top


def attribute(reranker: Reranker, question: str, texts: Sequence[Text], top: int | None = None) -> list[Attributed]:
    """Documents in the order of what they contributed to the reader's answer.

    Each document is a player, whatever its id, so that equal documents share what they contribute. Blank documents are
    not read and come last. Of more than `rag.settings.ATTRIBUTED` documents, the most relevant ones are attributed.
    The score is that of `rag.grades`, as in the service.

    Args:
        reranker: attributes the reader's answer.
        question: the question; blank raises `ValueError`.
        texts: the documents, none of which is changed.
        top: how many to return; None is all.
    """
    if not texts:
        return []
    passages = [Passage(str(place), text.text, text.title) for place, text in enumerate(texts)]
    with ONE_AT_A_TIME:
        reranking = reranker.attribute(question, passages, ATTRIBUTED)
    return [
        Attributed(
            ranked.rank - 1,
            ranked.score,
            {
                **texts[ranked.rank - 1].metadata,
                METADATA_KEY: {
                    "answer": reranking.answer,
                    "reader": reranker.reader.name,
                    "value": ranked.value,
                    "error": ranked.error,
                    "score": ranked.score,
                    "contribution": ranked.contribution,
                    "relevance": ranked.relevance,
                    "rank_before": ranked.rank,
                    "warnings": reranking.warnings,
                },
            },
        )
        for ranked in reranking.passages[:top]
    ]


class CitedSpan(NamedTuple):
    """A sentence of an answer.

    Attributes:
        start: its first character.
        end: the character after its last.
        documents: places of the documents that carry it, the strongest first.
        supported: whether these support it; None where that cannot be told.
    """

    start: int
    end: int
    documents: list[int]
    supported: bool | None


def cite(pipeline: Pipeline, question: str, answer: str, texts: Sequence[Text]) -> list[CitedSpan]:
    """The sentences of an answer from anywhere, with the documents that carry them.

    Args:
        pipeline: explains the answer; it needs no retriever.
        question: the question; blank raises `ValueError`, as a blank answer does.
        answer: the answer; characters are counted without the white space around it.
        texts: the documents; blank ones are not read.
    """
    passages = [Passage(str(place), text.text, text.title) for place, text in enumerate(texts) if text.text.strip()]
    with ONE_AT_A_TIME:
        citations = pipeline.explain(question, passages, answer=answer).citations
    assert citations is not None, "a given answer has citations"
    return [
        CitedSpan(one.start, one.end, [int(name) for name in one.passages], one.supported)
        for one in citations.sentences
    ]


def numbered(spans: Sequence[CitedSpan]) -> dict[int, int]:
    """Numbers of the documents that are cited, from 1, in the order in which they are first cited; by their places."""
    places = dict.fromkeys(place for span in spans if span.supported is not False for place in span.documents)
    return {place: number for number, place in enumerate(places, 1)}


def marked(answer: str, spans: Sequence[CitedSpan], numbers: Mapping[int, int]) -> str:
    """The answer with marks such as [1][2] behind each sentence, for the documents that carry it.

    A sentence that no document supports gets none.
    """
    pieces, end = [], 0
    for span in spans:
        carrying = span.documents if span.supported is not False else []
        marks = "".join(f"[{numbers[place]}]" for place in carrying)
        pieces += [answer[end : span.end], f" {marks}" if marks else ""]
        end = span.end
    return "".join([*pieces, answer[end:]])


def sentences(spans: Sequence[CitedSpan], numbers: Mapping[int, int]) -> list[dict[str, Any]]:
    """The sentences in plain values, with the numbers of the documents that come nearest to carrying each."""
    return [
        {
            "start": span.start,
            "end": span.end,
            "sources": [numbers[place] for place in span.documents if place in numbers],
            "supported": span.supported,
        }
        for span in spans
    ]


def titled(passage: Passage) -> dict[str, Any]:
    """A passage's metadata with its title, if it has one."""
    return {**passage.metadata, **({"title": passage.title} if passage.title else {})}


class ForeignSearcher(ABC):
    """Another framework's retriever as a `retrievers.Searcher`, for `rag.Pipeline`.

    The framework's retriever decides how many passages it finds; `search` keeps the first k. Repeated passages and
    those without text are left out. A passage without an id is named by a hash of its title and text. If a score is
    missing or not finite, all passages are scored 1 / rank. Metadata that JSON cannot hold become strings.
    """

    @abstractmethod
    def find(self, query: str, k: int) -> Iterable[Text]:
        """What the framework's retriever finds, best first."""

    def search(self, query: str, k: int = 10) -> list[Hit]:
        """The first k passages found.

        Raises:
            ValueError: the query is blank or k is below 1.
            EngineError: the framework's retriever raised an error.
        """
        check_query(query, k)
        try:
            found = [text for text in self.find(query, k) if text.text.strip()]
        except Exception as error:  # of any kind: it is another framework's, and perhaps another machine's
            unavailable = isinstance(error, ConnectionError | TimeoutError)
            kind = EngineUnavailableError if unavailable else EngineError
            raise kind(f"{type(self).__name__} cannot search: {type(error).__name__}: {error}") from error
        scored = all(text.score is not None and isfinite(text.score) for text in found)
        hits: dict[str, Hit] = {}
        for text in found:
            digest = hashlib.sha256(json.dumps([text.title, text.text]).encode()).hexdigest()[:16]
            name = digest if text.id is None else text.id
            if name in hits and hits[name].passage.text != text.text:
                name = f"{name}#{digest}"  # parts of a document that all have its id
            score = text.score if scored and text.score is not None else 1 / (len(hits) + 1)
            hits.setdefault(name, Hit(Passage(name, text.text, text.title, _plain(text.metadata)), float(score)))
        return list(hits.values())[:k]

    def search_many(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """`search` for each query."""
        return [self.search(query, k) for query in queries]


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    named = {str(key): value for key, value in metadata.items() if key != "title" or not isinstance(value, str)}
    # Python writes and reads NaN and infinities, which JSON has not; `parse_constant` gets their names.
    return dict(json.loads(json.dumps(named, default=_value, skipkeys=True), parse_constant=str))


def _value(value: Any) -> Any:
    """A number of numpy as one of Python; anything else as a string."""
    return value.item() if isinstance(value, np.number) else str(value)
