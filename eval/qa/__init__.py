"""How often a reader's answers are right, by number of passages, before and after reranking by attribution."""

from eval.qa.no_answer import NoAnswerRow, ReliabilityBin
from eval.qa.run import evaluate_qa
from eval.qa.settings import QARun
from eval.qa.summary import QADifference, QAResult, QARow

__all__ = ["NoAnswerRow", "QADifference", "QAResult", "QARow", "QARun", "ReliabilityBin", "evaluate_qa"]
