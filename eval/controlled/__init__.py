"""Controlled games: do attributions find what is known to matter?"""

from eval.controlled.run import evaluate_controlled
from eval.controlled.settings import ControlledRun
from eval.controlled.summary import ControlledResult

__all__ = ["ControlledResult", "ControlledRun", "evaluate_controlled"]
