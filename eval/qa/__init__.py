"""How often a reader's answers are right, by number of passages, before and after reranking by attribution."""

from eval.qa.run import evaluate_qa
from eval.qa.settings import QARun
from eval.qa.summary import QADifference, QAResult, QARow

__all__ = ["QADifference", "QAResult", "QARow", "QARun", "evaluate_qa"]
