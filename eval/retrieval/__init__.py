"""How well passages are found and ordered, before and after reranking by attribution."""

from eval.retrieval.compare import compare
from eval.retrieval.run import evaluate_retrieval
from eval.retrieval.settings import RetrievalRun
from eval.retrieval.summary import RetrievalResult

__all__ = ["RetrievalResult", "RetrievalRun", "compare", "evaluate_retrieval"]
