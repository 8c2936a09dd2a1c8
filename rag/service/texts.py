"""The texts and passages in requests, and the passages in results; HTTP and MCP share them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from rag.explanation.spans import Span
from retrievers import Hit, Passage

_MOST_FIELDS = 1000


def encodable(text: str) -> str:
    """Refuse halves of surrogate pairs: JSON can spell them, but neither tokenizers nor files can hold them."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the character at {error.start} is half of a surrogate pair") from None
    return text


Text = Annotated[str, AfterValidator(encodable)]
"""Any string that can be written as UTF-8."""


class Sent(BaseModel):
    """An object of a request, all of whose fields must be known; too many are refused at once, not one by one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, sent: Any) -> Any:
        if isinstance(sent, dict) and len(sent) > _MOST_FIELDS:
            raise PydanticCustomError("too_many_fields", "has {n} fields", {"n": f"{len(sent):,}"})
        return sent


class SentPassage(Sent):
    """A passage that comes with the request."""

    text: Text
    title: Text = ""
    id: Text | None = Field(
        default=None, description='Names the passage in the answer; by default its place: "1", "2" and so on.'
    )


def text_alone(sent: Any) -> Any:
    """A plain string as a passage that has nothing else."""
    if not isinstance(sent, str | dict | BaseModel):
        raise PydanticCustomError("text_or_object", "expected text or an object")
    return {"text": sent} if isinstance(sent, str) else sent


SentPassages = Annotated[
    list[Annotated[SentPassage, BeforeValidator(text_alone, json_schema_input_type=str | SentPassage)]],
    Field(fail_fast=True),
]
"""Passages, or plain strings; as all lists here, read up to the first wrong one, because each costs a record."""


Spans = Annotated[
    list[Text | Annotated[list[int], Field(min_length=2, max_length=2, fail_fast=True)]],
    Field(min_length=1, max_length=100, fail_fast=True),
]
"""Parts of an answer: words of it, or [start, end]."""


def spans_of(sent: Spans | None) -> list[Span] | None:
    """The spans as `Pipeline.explain` takes them."""
    return None if sent is None else [one if isinstance(one, str) else (one[0], one[1]) for one in sent]


def numbered(sent: Sequence[SentPassage]) -> list[Passage]:
    """The passages; those without an id are called "1", "2" and so on, by their place."""
    return [Passage(str(place) if p.id is None else p.id, p.text, p.title) for place, p in enumerate(sent, 1)]


class FoundPassage(BaseModel):
    """A retrieved passage."""

    rank: int = Field(description="1 is the best.")
    id: str
    score: float = Field(description="The retriever's score; higher is better, the scale is the retriever's own.")
    title: str
    text: str


class SearchResults(BaseModel):
    """The retrieved passages, best first."""

    question: str
    passages: list[FoundPassage]

    @classmethod
    def of(cls, question: str, hits: Sequence[Hit]) -> SearchResults:
        """The results of a search, in its order."""
        found = [
            FoundPassage(rank=rank, id=p.id, score=float(score), title=p.title, text=p.text)
            for rank, (p, score) in enumerate(hits, 1)
        ]
        return cls(question=question, passages=found)
