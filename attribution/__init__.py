"""Attribution: which players (passages, sentences, words) a game's outputs are owed to.

Needs numpy and scipy alone and takes any callable from coalitions to values, so it works without a language model:

>>> import numpy as np
>>> from attribution import exact
>>> gloves = lambda coalitions: np.minimum(coalitions[:, 0], coalitions[:, 1:].any(axis=1))
>>> exact(gloves, 3, players=("left", "right 1", "right 2")).top(1)
[Contribution(player='left', value=0.6666666666666666, error=0.0)]
"""

from attribution.adjusted import RegressionAdjusted
from attribution.attribution import Attribution, Contribution
from attribution.banzhaf import BanzhafSampling
from attribution.exact import ExactEnumeration, exact
from attribution.explain import ESTIMATORS, check, explain
from attribution.games import CachedGame, Game, LikelihoodGame, VotesGame
from attribution.gaussian_process import GaussianProcess
from attribution.groups import Group
from attribution.interactions import Interactions, interactions
from attribution.kernel import KernelSampling
from attribution.normalize import normalize_answer
from attribution.owen import OwenValues, exact_owen, owen
from attribution.permutation import PermutationSampling
from attribution.stopping import StoppingRule, TargetError, TopKCertain

__all__ = [
    "ESTIMATORS",
    "Attribution",
    "BanzhafSampling",
    "CachedGame",
    "Contribution",
    "ExactEnumeration",
    "Game",
    "GaussianProcess",
    "Group",
    "Interactions",
    "KernelSampling",
    "LikelihoodGame",
    "OwenValues",
    "PermutationSampling",
    "RegressionAdjusted",
    "StoppingRule",
    "TargetError",
    "TopKCertain",
    "VotesGame",
    "check",
    "exact",
    "exact_owen",
    "explain",
    "interactions",
    "normalize_answer",
    "owen",
]
