"""How the settings of an attribution are carried out for a reader and its passages: checks, options, cost."""

from __future__ import annotations

from typing import Any

from attribution import StoppingRule, TargetError, TopKCertain, check
from rag.explanation.similarity import SIMILARITIES
from rag.readers.base import Reader, TokenReader
from rag.readers.hidden_parts import PartsReader
from rag.scores import OF_VALUES, needs_pivots
from rag.settings import AttributionSettings, HierarchySettings, Settings
from rag.settings_base import SettingsError

_CERTAIN = 5  # passages that must be certain where no setting says how many


def check_settings(settings: Settings, reader: Reader, n_passages: int) -> None:
    """Raise `SettingsError` where settings contradict one another, the reader, or the number of passages it gets."""
    if settings.hierarchy.asks:
        _check_parts(reader, settings.hierarchy, settings.attribution)
    try:
        check(n_passages, **estimation(settings.attribution, settings.rerank.score, settings.rerank.keep))
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


def estimation(settings: AttributionSettings, score: str, keep: int | str) -> dict[str, Any]:
    """How values are estimated, as `attribution.explain` and `attribution.check` take it."""
    options = settings.model_dump(include={"estimator", "semivalue", "p", "budget", "permutations"})
    return {**options, "until": stopping_rule(settings, score, keep), "pivots": needs_pivots(score)}


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


def decodes_of(settings: AttributionSettings, n_passages: int) -> int:
    """How many coalitions may be decoded to explain one question, at most.

    Beyond the budget, the final answer may ask for the first 0, 1, … passages, and what is made of the attribution for
    single ones, for the minimal sets, and for interactions.
    """
    examined = 2 * settings.minimal_sets + settings.interactions * settings.budget + n_passages
    return int(min(settings.budget + n_passages + 1 + examined, 2**n_passages))
