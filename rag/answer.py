"""The result of `Pipeline.ask`: the answer, its evidence in attributed order, and the explanation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from attribution import Attribution
from rag.explanation.citations import Citations
from rag.explanation.findings import Conflict, PairInteraction, PairInteractions
from rag.explanation.hierarchy import Hierarchy
from rag.explanation.minimal import MinimalSet
from retrievers import Passage
from retrievers.storage.json_text import parse_json

FORMAT = "ragshap-answer"
VERSION = 2


@dataclass(frozen=True)
class Evidence:
    """A retrieved passage and its contribution to the answer.

    Attributes:
        passage: the passage.
        rank: its rank in the retriever's order, from 1.
        score: the retriever's score.
        value: its value for the answer that all passages together give.
        error: standard error of the value.
        kept: whether the final answer was read from it (it survived distillation).
        cut_tokens: tokens at its end that the reader did not see, because they exceed the reader's limit.
    """

    passage: Passage
    rank: int
    score: float
    value: float
    error: float
    kept: bool
    cut_tokens: int = 0


@dataclass(frozen=True)
class OtherAnswer:
    """An answer that some subsets of the passages give.

    Attributes:
        text: the answer; "" is "no answer".
        share: fraction of the evaluated coalitions that gave it.
        passages: ids of at most three passages that pull towards it (value above zero by two standard errors), the
            strongest first.
    """

    text: str
    share: float
    passages: tuple[str, ...]


@dataclass(frozen=True)
class TwoReaders:
    """Who answered and who is explained, where these are not one.

    Attributes:
        answering: the name of the reader that gave the final answer from the kept passages (`answer.reader`).
        attributed: the name of the reader that is explained: values, other answers and findings speak for it alone.
        explanation: the final answer attributed to the kept passages, for the reader that gave it; None if not asked
            for (`answer.attribute`).
    """

    answering: str
    attributed: str
    explanation: Answer | None = None

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers."""
        explanation = None if self.explanation is None else self.explanation.to_dict()
        return {"answering": self.answering, "attributed": self.attributed, "explanation": explanation}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TwoReaders:
        """Inverse of `to_dict`."""
        explanation = content["explanation"]
        own = None if explanation is None else Answer.from_dict(explanation)
        return cls(content["answering"], content["attributed"], own)


@dataclass(frozen=True)
class Answer:
    """An answer with its evidence and explanation.

    Attributes:
        question: the question asked.
        text: the final answer, read from the kept passages; "" if they hold none.
        full_text: the answer which the attribution explains: the one given, or the attributed reader's from all
            retrieved passages.
        share: fraction of the evaluated coalitions that gave `full_text`; 0 where the utility is not votes.
        evidence: all retrieved passages, in attributed order.
        others: the answers that other coalitions gave, the most frequent first.
        attribution: values of all passages for all answers; players are passage ids in the retriever's order.
        seconds: time spent in each stage ("retrieve", "encode", "attribute", "answer").
        warnings: what the user should know (cut passages, identical passages, ...).
        settings: the settings that produced the answer, with the reader and the sources.
        screened: ids of retrieved passages that the reader did not get; `evidence` and `attribution` leave them out.
        hierarchy: values of sentences and words, if the level asked for goes below passages.
        sufficient: the smallest set found that alone gives `full_text`; None if there was no search.
        counterfactual: the smallest set found without which the answer changes; None if there is no such set, or there
            was no search.
        conflicts: pairs of answers between which the passages are divided.
        interactions: pairs of passages that need one another or repeat one another; None if not asked for.
        merged: the other wordings that were counted as an answer, by that answer; none if matching is exact.
        no_answer_probability: calibrated probability that the retrieved passages together hold no answer; the reader
            declines where it reaches its threshold. None for readers that have none.
        citations: which passages carry each sentence of `full_text`; None for an answer of the reader's own that is
            explained as a whole.
        readers: who gave `text` and who is explained; None where one reader did both.
    """

    question: str
    text: str
    full_text: str
    share: float
    evidence: tuple[Evidence, ...]
    others: tuple[OtherAnswer, ...]
    attribution: Attribution
    seconds: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    screened: tuple[str, ...] = ()
    hierarchy: Hierarchy | None = None
    sufficient: MinimalSet | None = None
    counterfactual: MinimalSet | None = None
    conflicts: tuple[Conflict, ...] = ()
    interactions: PairInteractions | None = None
    no_answer_probability: float | None = None
    merged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    citations: Citations | None = None
    readers: TwoReaders | None = None

    def to_dict(self) -> dict[str, Any]:
        """The answer as dictionaries, lists, strings and numbers."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "question": self.question,
            "answer": self.text,
            "full_answer": self.full_text,
            "share": self.share,
            "no_answer_probability": self.no_answer_probability,
            "evidence": [
                {
                    "id": e.passage.id,
                    "title": e.passage.title,
                    "text": e.passage.text,
                    "metadata": dict(e.passage.metadata),
                    "rank": e.rank,
                    "score": e.score,
                    "value": e.value,
                    "error": e.error,
                    "kept": e.kept,
                    "cut_tokens": e.cut_tokens,
                }
                for e in self.evidence
            ],
            "other_answers": [{"answer": o.text, "share": o.share, "passages": list(o.passages)} for o in self.others],
            "merged": {answer: list(wordings) for answer, wordings in self.merged.items()},
            "attribution": self.attribution.to_dict(),
            "hierarchy": self.hierarchy.to_dict() if self.hierarchy else None,
            "seconds": dict(self.seconds),
            "warnings": list(self.warnings),
            "screened": list(self.screened),
            "settings": dict(self.settings),
            "sufficient": _plain(self.sufficient),
            "counterfactual": _plain(self.counterfactual),
            "conflicts": [_plain(conflict) for conflict in self.conflicts],
            "interactions": _plain(self.interactions),
            "citations": self.citations.to_dict() if self.citations else None,
            "readers": self.readers.to_dict() if self.readers else None,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Answer:
        """Inverse of `to_dict`; also reads version 1, which had no minimal sets, conflicts and interactions.

        Raises:
            ValueError: the content is foreign, newer or damaged.
        """
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            raise ValueError(f"not an answer: expected a mapping with format {FORMAT!r}")
        if content.get("version") not in (1, VERSION):
            raise ValueError(
                f"answer of version {content.get('version')!r}; this release reads versions 1 and {VERSION}"
            )
        if content["version"] == 1:
            content = {"screened": (), **content, "sufficient": None, "counterfactual": None}
            content |= {"conflicts": (), "interactions": None, "hierarchy": None}
        try:
            return cls(
                question=content["question"],
                text=content["answer"],
                full_text=content["full_answer"],
                share=content["share"],
                evidence=tuple(
                    Evidence(
                        Passage(e["id"], e["text"], e["title"], e["metadata"]),
                        **{name: e[name] for name in ("rank", "score", "value", "error", "kept", "cut_tokens")},
                    )
                    for e in content["evidence"]
                ),
                others=tuple(
                    OtherAnswer(o["answer"], o["share"], tuple(o["passages"])) for o in content["other_answers"]
                ),
                attribution=Attribution.from_dict(content["attribution"]),
                seconds=content["seconds"],
                warnings=tuple(content["warnings"]),
                settings=content["settings"],
                screened=tuple(content["screened"]),
                sufficient=_minimal_set(content["sufficient"]),
                counterfactual=_minimal_set(content["counterfactual"]),
                conflicts=tuple(_conflict(conflict) for conflict in content["conflicts"]),
                interactions=_interactions(content["interactions"]),
                no_answer_probability=content.get("no_answer_probability"),  # answers written before had none
                merged={answer: tuple(wordings) for answer, wordings in content.get("merged", {}).items()},
                citations=Citations.from_dict(content["citations"]) if content.get("citations") else None,
                hierarchy=None if content["hierarchy"] is None else Hierarchy.from_dict(content["hierarchy"]),
                readers=TwoReaders.from_dict(content["readers"]) if content.get("readers") else None,
            )
        except (KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            raise ValueError(f"damaged answer: {type(error).__name__} at {error}") from error

    def to_json(self) -> str:
        """`to_dict` as indented JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Answer:
        """Inverse of `to_json`; raises `ValueError` if the text is foreign, newer or damaged."""
        try:
            content = parse_json(text)
        except ValueError as error:
            raise ValueError(f"damaged answer, not valid JSON: {error}") from error
        return cls.from_dict(content)

    def to_markdown(self) -> str:
        """The explained answer with citations such as [1][2], and the passages cited below; see `rag.report`."""
        from rag.report import markdown

        return markdown(self)

    def to_html(self) -> str:
        """One self-contained page: answer, evidence with value bars, other answers; needs no network."""
        from rag.report import render_page

        return render_page(self)


def _plain(part: MinimalSet | Conflict | PairInteractions | None) -> dict[str, Any] | None:
    return None if part is None else asdict(part)


def _minimal_set(content: Mapping[str, Any] | None) -> MinimalSet | None:
    return None if content is None else MinimalSet(tuple(content["passages"]), content["answer"], content["proof"])


def _conflict(content: Mapping[str, Any]) -> Conflict:
    first, second = content["passages"]
    return Conflict((content["answers"][0], content["answers"][1]), (tuple(first), tuple(second)))


def _interactions(content: Mapping[str, Any] | None) -> PairInteractions | None:
    if content is None:
        return None
    pairs = (PairInteraction((pair["passages"][0], pair["passages"][1]), pair["value"]) for pair in content["pairs"])
    return PairInteractions(tuple(content["among"]), tuple(pairs))
