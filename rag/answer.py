"""What `Pipeline.ask` returns: the answer, its evidence in attributed order, and the explanation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attribution import Attribution
from rag.hierarchy import Hierarchy
from retrievers import Passage

FORMAT = "ragshap-answer"
VERSION = 1


@dataclass(frozen=True)
class Evidence:
    """One retrieved passage and what it did for the answer.

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
        share: part of the evaluated coalitions that gave it, between 0 and 1.
        passages: ids of the passages that pull towards it (positive value), the strongest first, at most three.
    """

    text: str
    share: float
    passages: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """An answer with its evidence and explanation.

    Attributes:
        question: the question asked.
        text: the final answer, read from the kept passages; "" when they hold none.
        full_text: the answer from all retrieved passages, which the attribution explains.
        share: part of the evaluated coalitions that gave `full_text`.
        evidence: all retrieved passages, in attributed order.
        others: the answers that other coalitions gave, the most frequent first.
        attribution: values of all passages for all answers; players are passage ids in the retriever's order.
        seconds: time spent in each stage ("retrieve", "encode", "attribute", "answer").
        warnings: what the user should know (cut passages, identical passages, ...).
        settings: what produced the answer.
        screened: ids of retrieved passages that the reader did not get; `evidence` and `attribution` leave them out.
        hierarchy: values of sentences and words, if the level asked for goes below passages.
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

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "question": self.question,
            "answer": self.text,
            "full_answer": self.full_text,
            "share": self.share,
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
            "attribution": self.attribution.to_dict(),
            "hierarchy": self.hierarchy.to_dict() if self.hierarchy else None,
            "seconds": dict(self.seconds),
            "warnings": list(self.warnings),
            "screened": list(self.screened),
            "settings": dict(self.settings),
        }

    def to_json(self) -> str:
        """`to_dict` as indented JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=2)

    def to_html(self) -> str:
        """One self-contained page: answer, evidence with value bars, other answers; needs no network."""
        from rag.report import render_page

        return render_page(self)
