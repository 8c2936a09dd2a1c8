"""Typed settings of the whole system."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from rag.engine_settings import ENGINES, Engine, EngineSections, missing_settings
from rag.reader_settings import ReaderSettings
from rag.scores import DEFAULT_SCORE, OF_VALUES, ScoreName
from rag.settings_base import Section, load_section

ATTRIBUTED = 100
"""How many documents services and adapters attribute; more are ranked by relevance first."""


class BM25Settings(Section):
    """Lexical retrieval; `language` chooses stop words and stemmer, unless `stopwords` and `stemmer` name others."""

    engine: Literal["bm25s", "rank-bm25"] = "bm25s"
    k1: float = Field(default=1.5, gt=0, allow_inf_nan=False)
    b: float = Field(default=0.75, ge=0, le=1)
    language: str | None = "english"
    stopwords: str | None = "language"
    stemmer: str | None = "language"


class DenseSettings(Section):
    """Retrieval by sentence embeddings; `encoder` is "default", "base", or a sentence-transformers name or folder.

    `target_recall` is what an approximate index (hnsw, ivfpq) should find of the ten passages truly nearest.
    """

    encoder: str = "default"
    index: Literal["flat", "hnsw", "ivfpq"] = "flat"
    target_recall: float = Field(default=0.95, gt=0, le=1)


class RetrieverSettings(EngineSections):
    """How passages are found, and how many (`passages`) the reader gets.

    A `kind` that is a search engine needs no corpus or index; its section says where it is.
    """

    kind: Literal["bm25", "dense", "hybrid", Engine] = "bm25"
    passages: int = Field(default=20, ge=1)
    bm25: BM25Settings = BM25Settings()
    dense: DenseSettings = DenseSettings()

    @property
    def is_engine(self) -> bool:
        """Whether passages are found by a search engine, not by an index of ours."""
        return self.kind in ENGINES

    @model_validator(mode="after")
    def _findable(self) -> RetrieverSettings:
        if self.is_engine and (missing := missing_settings(self.kind, self)):
            needed = " and ".join(f"retriever.{self.kind}.{name}" for name in missing)
            raise ValueError(f"kind {self.kind} needs {needed}")
        return self


class AttributionSettings(Section):
    """How passages are valued.

    `budget` counts distinct coalitions; null is 640, or, of a causal model or an endpoint, 32 for every ten passages
    that it gets, or part of ten (see `rag.estimation.budget_of`).

    `utility` is what is measured of a short answer of the reader's own: how often it is given ("votes"), or its
    log-probability ("likelihood"). Longer answers and given ones are explained sentence by sentence: by likelihood, or,
    if that is asked for or the reader has no log-probabilities, by "similarity" to what the reader answers (a cosine).
    "logit" is the logit of a token's mean probability, "rouge-l" the share of a sentence's words that the reader's
    answer holds. A sentence is supported if the passages that carry it give it at least `support` nats per token; null
    is what was measured for the reader, if anything was.
    With `screen`, the embedded reader chooses so many of the passages, and the reader gets these alone; 0 is all.
    `until` stops before the budget is spent: once the first `k` passages are certain at `confidence`, values within
    `margin` counting as tied (`k` is by default what `rerank.keep` keeps, or 5), or once no standard error is above
    `target_error`. `matching` says which answers are one in votes; see `rag.matching.Matching`. `minimal_sets` bounds
    the decodes of each search for a minimal set.
    """

    utility: Literal["votes", "likelihood", "logit", "similarity", "rouge-l"] = "votes"
    matching: Literal["exact", "contains", "tokens", "embedding"] = "exact"
    semivalue: Literal["shapley", "banzhaf", "leave-one-out", "first-in"] = "shapley"
    estimator: Literal[
        "auto", "exact", "permutation", "kernel", "gaussian-process", "regression-adjusted", "banzhaf"
    ] = "auto"
    p: float = Field(default=0.5, gt=0, lt=1)
    budget: int | None = Field(default=None, ge=2)
    permutations: int | None = Field(default=None, ge=2)
    seed: int = Field(default=0, ge=0)
    screen: int = Field(default=0, ge=0)
    until: Literal["none", "top-k certain", "target error"] = "none"
    k: int | None = Field(default=None, ge=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    margin: float = Field(default=0.01, ge=0)
    target_error: float = Field(default=0.02, gt=0)
    support: float | None = Field(default=None, le=0)
    minimal_sets: int = Field(default=300, ge=0)
    interactions: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> AttributionSettings:
        if self.matching != "exact" and self.utility != "votes":
            raise ValueError(f"matching: {self.matching} is for utility votes, not {self.utility}")
        exact = self.estimator == "exact" or self.semivalue in ("leave-one-out", "first-in")
        if self.until != "none" and exact:
            raise ValueError(f"until: {self.until} needs values that are sampled, but exact ones are asked for")
        return self


class HierarchySettings(Section):
    """How far down an answer is attributed, and at what cost; see `rag.explanation.hierarchy`.

    At most `passages` passages, and `sentences` sentences of each, are opened, the most valuable ones: those worth more
    than `above` (`open` "value"), those worth more than two standard errors ("certain"), or any ("top-n"). With
    `question`, the words of the question are players too.
    """

    level: Literal["passage", "sentence", "word"] = "passage"
    question: bool = False
    open: Literal["value", "certain", "top-n"] = "value"
    above: float = Field(default=0.02, ge=0)
    passages: int = Field(default=3, ge=1)
    sentences: int = Field(default=2, ge=1)
    masking: Literal["attention", "mask", "delete"] = "attention"
    permutations: int = 64
    shared: int = Field(default=4, ge=1)

    @property
    def asks(self) -> bool:
        """Whether anything but whole passages is attributed to."""
        return self.level != "passage" or self.question

    @model_validator(mode="after")
    def _in_draws(self) -> HierarchySettings:
        draw = 2 * self.shared
        if self.permutations % draw or self.permutations < 2 * draw:
            raise ValueError(
                f"permutations must be a multiple of 2 x shared = {draw}, at least {2 * draw}; got {self.permutations}"
            )
        return self


class RerankSettings(Section):
    """The order of the passages, and how many the final answer is read from.

    `score` is what counts as a passage's contribution (see `rag.scores`).
    `keep` is a number, or "smallest": as few of the first passages as still give the full answer.
    """

    score: ScoreName = DEFAULT_SCORE
    keep: int | Literal["smallest"] = 5

    @model_validator(mode="after")
    def _positive(self) -> RerankSettings:
        if isinstance(self.keep, int) and self.keep < 1:
            raise ValueError("keep must be at least 1, or 'smallest'")
        return self


class AnswerSettings(Section):
    """Who gives the final answer from the kept passages.

    `reader` is another reader than the one that is attributed; null is that one itself. With `attribute`, the answer
    that the other reader gives is attributed to the kept passages too.
    """

    reader: ReaderSettings | None = None
    attribute: bool = False

    @model_validator(mode="after")
    def _another(self) -> AnswerSettings:
        if self.attribute and self.reader is None:
            raise ValueError("attribute is for the answer of another reader; name it in answer.reader.checkpoint")
        return self


class CorpusSettings(Section):
    """How a corpus is read; see `retrievers.load_corpus`."""

    format: Literal["auto", "beir", "jsonl", "json", "dpr", "table", "squad", "folder", "hf"] = "auto"
    encoding: str | None = None
    strict: bool = False
    include: list[str] = Field(default=[])
    exclude: list[str] = Field(default=[])
    id_field: str | None = None
    text_field: str | None = None
    title_field: str | None = None


class Settings(Section):
    """All settings. `passage_words` is the length at which long texts are cut; `threads` 0 leaves torch's choice."""

    passage_words: int = Field(default=100, ge=10)
    threads: int = Field(default=0, ge=0)
    corpus: CorpusSettings = CorpusSettings()
    retriever: RetrieverSettings = RetrieverSettings()
    reader: ReaderSettings = ReaderSettings()
    attribution: AttributionSettings = AttributionSettings()
    hierarchy: HierarchySettings = HierarchySettings()
    rerank: RerankSettings = RerankSettings()
    answer: AnswerSettings = AnswerSettings()

    @property
    def reading(self) -> dict[str, Any]:
        """The options of `retrievers.load_corpus`."""
        return {"passage_words": self.passage_words, **self.corpus.model_dump()}

    @model_validator(mode="after")
    def _scored(self) -> Settings:
        if self.attribution.until == "top-k certain" and self.rerank.score not in OF_VALUES:
            raise ValueError(
                f"attribution.until: top-k certain speaks of an order by {' or '.join(OF_VALUES)}, but rerank.score is "
                f"{self.rerank.score}; change one of the two"
            )
        return self


def load_settings(config: str | Path | Settings | None = None, overrides: Sequence[str] = ()) -> Settings:
    """Settings from a YAML file or the name of a shipped one, changed by "section.key=value" overrides.

    Args:
        config: a path; or "default", "quality", "gpu", "endpoint"; or settings to start from; None is the default.
        overrides: for instance `["attribution.budget=500", "retriever.kind=hybrid"]`; values are YAML.

    Raises:
        SettingsError: names the key that is unknown, mistyped or cannot be honoured.
        FileNotFoundError: there is no such file.
    """
    if isinstance(config, Settings):
        return load_section(Settings, overrides=overrides, base=config.model_dump()) if overrides else config
    return load_section(Settings, config, overrides)
