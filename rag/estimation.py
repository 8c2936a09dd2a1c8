"""How the settings of an attribution are carried out for a reader and its passages: checks, options, cost."""

from __future__ import annotations

from math import ceil
from typing import Any

from attribution import StoppingRule, TargetError, TopKCertain, check
from rag.explanation.similarity import SIMILARITIES
from rag.readers.base import CostlyReader, Reader, TokenReader
from rag.readers.hidden_parts import PartsReader
from rag.scores import OF_VALUES, needs_pivots
from rag.settings import AttributionSettings, HierarchySettings, Settings
from rag.settings_base import SettingsError

_BUDGET = 640  # coalitions where no setting says how many
_COSTLY_BUDGET, _COSTLY_PASSAGES = 32, 10  # so many for every so many passages, where each costs money or seconds
_CERTAIN = 5  # passages that must be certain where no setting says how many


def budget_of(settings: AttributionSettings, reader: Reader, n_passages: int) -> int:
    """How many coalitions may be evaluated: as set, or by default 640; of a costly reader 32 for every ten passages."""
    if settings.budget is not None:
        return settings.budget
    return _COSTLY_BUDGET * max(1, ceil(n_passages / _COSTLY_PASSAGES)) if isinstance(reader, CostlyReader) else _BUDGET


def check_settings(settings: Settings, reader: Reader, n_passages: int) -> None:
    """Raise `SettingsError` where settings contradict one another, the reader, or the number of passages it gets."""
    if settings.hierarchy.asks:
        _check_parts(reader, settings.hierarchy, settings.attribution)
    try:
        budget = budget_of(settings.attribution, reader, n_passages)
        check(n_passages, **estimation(settings.attribution, budget, settings.rerank.score, settings.rerank.keep))
    except ValueError as error:
        raise SettingsError(f"attribution: {error}") from None


def check_scoring(reader: Reader, utility: str, given: bool) -> bool:
    """Whether log-probabilities will be asked for; an endpoint is tried out now, because the cost says what was found.

    Raises:
        SettingsError: likelihood or logits are asked for and the reader gives none.
    """
    if utility in SIMILARITIES or not (given or utility in ("likelihood", "logit")):
        return False
    able = isinstance(reader, TokenReader) and reader.scores_tokens()
    if utility != "votes" and not able and isinstance(reader, TokenReader):
        raise SettingsError(
            f"attribution.utility: the reader {reader.name!r} gives no log-probabilities of given answers; use votes, "
            "similarity or rouge-l"
        )
    return able


def estimation(settings: AttributionSettings, budget: int, score: str, keep: int | str) -> dict[str, Any]:
    """How values are estimated, as `attribution.explain` and `attribution.check` take it."""
    options = settings.model_dump(include={"estimator", "semivalue", "p", "permutations"})
    return {**options, "budget": budget, "until": stopping_rule(settings, score, keep), "pivots": needs_pivots(score)}


def _check_parts(reader: Reader, hierarchy: HierarchySettings, attribution: AttributionSettings) -> None:
    key, given = ("level", hierarchy.level) if hierarchy.level != "passage" else ("question", "true")
    if not isinstance(reader, PartsReader):
        raise SettingsError(
            f"hierarchy.{key}: reader {reader.name!r} cannot hide parts of passages and questions; "
            "use hierarchy.level=passage and hierarchy.question=false"
        )
    for name, value, wanted in (
        ("semivalue", attribution.semivalue, ("shapley",)),
        ("utility", attribution.utility, ("votes", "likelihood")),
    ):
        if value not in wanted:
            raise SettingsError(f"hierarchy.{key}: {given} goes with attribution.{name}={wanted[-1]}, not {value}")


def stopping_rule(settings: AttributionSettings, score: str, keep: int | str) -> StoppingRule | None:
    """The rule that the settings name; None to spend the whole budget.

    Args:
        settings: `until`, and what it takes.
        score: what the passages are ordered by.
        keep: `rerank.keep`, which says how many must be certain where `k` does not.
    """
    if settings.until == "top-k certain":
        k = settings.k or (keep if isinstance(keep, int) else _CERTAIN)
        if score not in OF_VALUES:
            raise SettingsError(
                f"attribution.until: top-k certain speaks of an order by {' or '.join(OF_VALUES)}, not by {score}"
            )
        return TopKCertain(k, settings.confidence, settings.margin, OF_VALUES[score])
    return TargetError(settings.target_error) if settings.until == "target error" else None


def decodes_of(settings: AttributionSettings, budget: int, n_passages: int, n_given: int = 0) -> int:
    """How many coalitions may be read to explain one question, at most.

    Beyond the budget, the final answer may ask for the first 0, 1, … passages, and what is made of the attribution for
    single ones, for the minimal sets, and for interactions. Each of `n_given` sentences of an answer that was given is
    read without the passages that carry it, and from these alone; nothing else is then asked.
    """
    examined = 2 * settings.minimal_sets + settings.interactions * budget + n_passages
    return int(min(budget + (2 * n_given or n_passages + 1 + examined), 2**n_passages))
