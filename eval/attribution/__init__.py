"""Whether explanations are true: faithfulness to the reader, agreement with exact values, and marked evidence."""

from eval.attribution.run import evaluate_attribution
from eval.attribution.settings import AttributionRun
from eval.attribution.summary import AttributionResult

__all__ = ["AttributionResult", "AttributionRun", "evaluate_attribution"]
