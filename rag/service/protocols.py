"""The bodies in which others' clients send documents to be scored, and those in which they read the scores.

There are three: that of Cohere, Jina, vLLM and their kin (`documents`), that of text-embeddings-inference (`texts`),
and vLLM's for pairs of texts (`text_1`, `text_2`). The first two are told by their fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, JsonValue, Tag

from rag.service.errors import Failure
from rag.service.texts import Text, encodable

MODEL = "ragshap"
_JINA_FIELDS = {"truncation", "max_doc_length", "return_embeddings"}
_QUERY = "Which ferry carries cars to Suduroy?"
_DOCUMENTS: list[JsonValue] = [
    "Sheep graze on the steep slopes.",
    "The ferry Smyril carries cars between Tórshavn and Suduroy.",
]


def _text_of(sent: Any) -> Any:
    """The text of an object, as Jina's clients may send a query."""
    return sent["text"] if isinstance(sent, dict) and "text" in sent else sent


Query = Annotated[Text, BeforeValidator(_text_of, json_schema_input_type=str)]
Texts = Annotated[list[Text], Field(fail_fast=True)]
Documents = Annotated[list[Text | dict[str, JsonValue]], Field(fail_fast=True)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="allow")

    model: Text | None = Field(default=None, description="Any name; the service has one reader.")


class RerankRequest(_Request):
    """A request to rerank; fields of the protocols that are not listed here are accepted and have no effect.

    Without `return_documents`, the texts are returned to Jina's clients only, because that is Jina's default. A client
    is taken for one of Jina's if its model is called "jina-…", or if it sends `truncation`, `max_doc_length` or
    `return_embeddings`, and for one of Infinity's if it sends `raw_scores`.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": MODEL, "query": _QUERY, "documents": _DOCUMENTS, "top_n": 1}]}
    )

    query: Query
    documents: Documents = Field(min_length=1, description='Texts, or objects with a `text`, such as {"text": "…"}.')
    top_n: int | None = Field(default=None, ge=0, description="How many to return; 0 is all.")
    rank_fields: Annotated[list[str], Field(max_length=100, fail_fast=True)] | None = Field(
        default=None, description="Fields of the objects to read; by default `text`."
    )
    return_documents: bool | None = None
    raw_scores: bool | None = Field(default=None, description="As in TEI's request; only Infinity's clients send it.")

    def texts(self) -> list[str]:
        """The documents as texts."""
        return _texts("documents", self.documents, self.rank_fields)

    def wants_documents(self) -> bool:
        """Whether the response holds the texts."""
        if self.return_documents is not None:
            return self.return_documents
        return (self.model or "").startswith("jina-") or bool(_JINA_FIELDS & set(self.model_extra or ()))


class TeiRequest(_Request):
    """The request of text-embeddings-inference; other fields of its protocol have no effect."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"query": _QUERY, "texts": _DOCUMENTS}]})

    query: Query
    texts: Documents
    raw_scores: bool = Field(default=False, description="Whether to return the scores' log-odds, which are unbounded.")
    return_text: bool = False

    def documents(self) -> list[str]:
        """The texts, of which clients may send some as objects."""
        return _texts("texts", self.texts)


def _kind(sent: Any) -> str:
    texts = isinstance(sent, TeiRequest) or (isinstance(sent, dict) and "texts" in sent and "documents" not in sent)
    return "by texts" if texts else "by documents"


EitherRequest = Annotated[
    Annotated[RerankRequest, Tag("by documents")] | Annotated[TeiRequest, Tag("by texts")], Discriminator(_kind)
]
"""The body of `/rerank`, told by its fields."""


class ScoreRequest(_Request):
    """vLLM's request: one text with one or more others, or as many as there are others, in pairs."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text_1": _QUERY, "text_2": _DOCUMENTS}]})

    text_1: Text | Texts = Field(description="The query, or one query for each document.")
    text_2: Text | Texts = Field(description="The documents.")

    def pairs(self) -> list[tuple[str, str]]:
        """Queries with documents."""
        queries, documents = ([text] if isinstance(text, str) else text for text in (self.text_1, self.text_2))
        if not documents:
            raise Failure(422, "text_2 is empty; expected at least one document")
        if len(queries) not in (1, len(documents)):
            message = f"text_1 holds {len(queries)} texts and text_2 {len(documents)}; expected one, or as many"
            raise Failure(422, message)
        return list(zip(queries * (len(documents) if len(queries) == 1 else 1), documents, strict=True))


class Document(BaseModel):
    """A document's text."""

    text: str


class Result(BaseModel):
    """A document by its place in the request, from 0, with its graded score; see `rag.grades`."""

    index: int
    relevance_score: float = Field(description="In [0, 1], or its log-odds, if `raw_scores` asks for them.")
    document: Document | str | None = None


class Parts(BaseModel):
    """What a document's score is made of; a document that was not attributed has no contribution, value and error."""

    index: int
    contribution: float | None = Field(default=None, description="Its `rerank.score`.")
    relevance: float | None = Field(default=None, description="How relevant the reader finds it, if it says so.")
    value: float | None = Field(default=None, description="Its Shapley value for the answer.")
    error: float | None = Field(default=None, description="The standard error of that.")


class Account(BaseModel):
    """The answer that documents are attributed, "" being no answer, and how many were."""

    answer: str
    attributed: int
    documents: list[Parts]


class Meta(BaseModel):
    """Cohere's account of the call, with `warnings` if there are any, and ours."""

    api_version: dict[str, str]
    billed_units: dict[str, float]
    warnings: list[str] | None = None
    ragshap: Account


class Usage(BaseModel):
    """How many tokens were read; the query counts with each document."""

    total_tokens: int
    prompt_tokens: int


class Reranked(BaseModel):
    """The response to Cohere, Jina, vLLM and their kin, the best document first."""

    id: str
    object: str = "list"
    model: str
    results: list[Result]
    meta: Meta
    usage: Usage


class Rank(BaseModel):
    """The response to TEI's clients holds one for each text, by its place in the request, the best first."""

    index: int
    score: float
    text: str | None = None


class Score(BaseModel):
    """The score of a pair, by its place in the request."""

    index: int
    object: str = "score"
    score: float


class Scored(BaseModel):
    """vLLM's response."""

    id: str
    object: str = "list"
    created: int
    model: str
    data: list[Score]
    usage: Usage


def _texts(name: str, sent: Sequence[str | dict[str, Any]], fields: list[str] | None = None) -> list[str]:
    """The texts of what was sent under a name: texts, or objects that have some in these fields (`text`)."""
    return [_text(f"{name}[{index}]", one, fields or ["text"]) for index, one in enumerate(sent)]


def _text(place: str, sent: str | dict[str, Any], fields: list[str]) -> str:
    if isinstance(sent, str):
        return sent
    found = [str(value) for name in fields if isinstance(value := sent.get(name), str | int | float)]
    if not found:
        raise Failure(422, f"{place} has no {' or '.join(fields)}; only text can be read")
    try:
        return encodable("\n".join(found))
    except ValueError as error:
        raise Failure(422, f"{place}: {error}") from None
