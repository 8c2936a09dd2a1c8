"""rerankers: our reranker behind its one interface, also by name: `Reranker("default", model_type="ragshap")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rag.adapters.documents import Text, attribute
from rag.rerank import Reranker

try:
    from rerankers.documents import Document
    from rerankers.models import AVAILABLE_RANKERS
    from rerankers.models.ranker import BaseRanker
    from rerankers.results import RankedResults, Result
except ImportError as error:
    raise ImportError("the rerankers adapter needs rerankers: pip install 'ragshap[rerankers]'") from error

MODEL_TYPE = "ragshap"


class RagshapRanker(BaseRanker):
    """Orders documents by what they contributed to the answer.

    Args:
        model_name_or_path: settings, as for `rag.load_settings`.
        verbose: accepted because the library passes it; nothing is printed.
        overrides: changes to the settings, such as `["attribution.budget=500"]`.
    """

    def __init__(self, model_name_or_path: str = "default", verbose: int = 1, *, overrides: Sequence[str] = ()):
        self.reranker = Reranker.from_config(model_name_or_path, overrides=overrides)

    def rank(
        self,
        query: str,
        docs: str | Document | Sequence[str | Document],
        doc_ids: str | int | Sequence[str | int] | None = None,
        metadata: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> RankedResults:
        """All documents in attributed order.

        Args:
            query: the question; blank raises `ValueError`.
            docs: texts or documents; they are not changed. A string under "title" in the metadata is read too.
            doc_ids: ids that replace those of the documents; documents without any are numbered from 0.
            metadata: metadata that replace those of the documents.

        Returns:
            Documents with `ragshap` (answer, value, contribution and so on) in their metadata, and their scores.
        """
        given = [docs] if isinstance(docs, (str, Document)) else list(docs)
        ids = _each(doc_ids, len(given), "doc_ids", (str, int))
        own = _each(metadata, len(given), "metadata", (Mapping,))
        documents = [doc if isinstance(doc, Document) else Document(doc) for doc in given]
        texts = [
            Text(document.text or "", dict(document.metadata if meta is None else meta))
            for document, meta in zip(documents, own, strict=True)
        ]
        results = []
        for rank, item in enumerate(attribute(self.reranker, query, texts), 1):
            document = documents[item.place]
            names = (ids[item.place], document.doc_id, item.place)
            copy = Document(
                text=document.text,
                doc_id=next(name for name in names if name is not None),
                metadata=item.metadata,
                document_type=document.document_type,
                image_path=document.image_path,
                base64=document.base64,
            )
            results.append(Result(copy, score=item.score, rank=rank))
        return RankedResults(results, query, has_scores=True)

    def score(self, query: str, doc: str) -> float:
        """The score of one document alone: what it contributes to the answer."""
        (result,) = self.rank(query, [doc])
        return float(result.score)


def _each(given: Any, count: int, name: str, single: tuple[type, ...]) -> list[Any]:
    """One value per document; None for each if none are given."""
    if given is None:
        return [None] * count
    values = [given] if isinstance(given, single) else list(given)
    if len(values) != count:
        raise ValueError(f"{name} must be one per document: got {len(values)} for {count} documents")
    return values


AVAILABLE_RANKERS[MODEL_TYPE] = RagshapRanker
