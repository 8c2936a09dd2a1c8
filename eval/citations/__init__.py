"""Are sentences of an answer given to the passages that they come from, and made-up sentences to none?"""

from eval.citations.cases import Case, compose
from eval.citations.run import CitationsResult, CitationsRun, evaluate_citations

__all__ = ["Case", "CitationsResult", "CitationsRun", "compose", "evaluate_citations"]
