"""What it costs to be certain of the first passages, against answering once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from attribution import Attribution, TopKCertain
from attribution.attribution import descending
from eval.benchmark.result import Section
from eval.benchmark.settings import BenchmarkSettings
from eval.benchmark.timing import Seconds, seconds
from eval.selection import Example
from eval.tables import Table
from rag.progress import Progress
from rag.readers import Reader
from rag.session import Session
from rag.settings import AttributionSettings


def certain(settings: BenchmarkSettings, reader: Reader, examples: Sequence[Example], progress: Progress) -> Section:
    """Stop when the first k are certain; hold them against a reference of many evaluations with another seed."""
    rule = TopKCertain(settings.top)
    entries = []
    questions = examples[: settings.certain_questions]
    for number, one in enumerate(questions, start=1):
        entries.append(_measure(settings, reader, one, rule))
        progress(number, len(questions))
    ratios = [entry["ratio"] for entry in entries]
    rows = [
        ["answering once, s", f"{median(entry['once'].median for entry in entries):.3g}"],
        [f"first {rule.k} certain at {rule.confidence:.0%}, s", f"{median(e['certain'].median for e in entries):.3g}"],
        ["ratio", str(Seconds(median(ratios), min(ratios), max(ratios)))],
        ["evaluations", f"{median(entry['evaluations'] for entry in entries):,.0f}"],
        ["stopped before the budget", f"{np.mean([entry['stopped'] for entry in entries]):.0%}"],
        [f"overlap with {settings.reference:,} evaluations", f"{np.mean([e['overlap'] for e in entries]):.3f}"],
        [f"the same, values within {rule.margin:g} tied", f"{np.mean([e['overlap_tied'] for e in entries]):.3f}"],
    ]
    how = (
        f"{len(entries)} questions of {settings.passages} passages, default estimator, each question's median of "
        f"{settings.repeats} after a warm-up, encoding included on both sides; medians over questions (of the ratio: "
        "least–most). The reference is a run of permutation sampling with another seed."
    )
    title = f"First {rule.k} passages certain"
    return Section("certain", [Table(["quantity", "value"], rows, title, how)], {"questions": entries})


def _measure(settings: BenchmarkSettings, reader: Reader, example: Example, rule: TopKCertain) -> dict[str, Any]:
    question, passages = example.question.text, example.passages[: settings.passages]
    until = {"until": "top-k certain", "k": rule.k, "confidence": rule.confidence, "margin": rule.margin}
    own = AttributionSettings.model_validate({"budget": settings.reference, **until})

    def attribute() -> Attribution:
        return Session(reader, question, passages).attribute(own, score="value")

    once = seconds(lambda: Session(reader, question, passages).answer, settings.repeats)
    taken = seconds(attribute, settings.repeats)
    found = attribute()
    started = time.perf_counter()
    many = AttributionSettings(budget=settings.reference, estimator="permutation", seed=1)
    reference = Session(reader, question, passages).attribute(many, score="value")
    k = min(rule.k, len(passages))
    first, values = _first(found, k), reference.values[reference.output]
    bound = np.sort(values)[-k] - rule.margin
    return {
        "question": question,
        "once": once,
        "certain": taken,
        "ratio": taken.median / once.median,
        "evaluations": found.evaluations,
        "stopped": found.evaluations < settings.reference,
        "overlap": len(first & _first(reference, k)) / k,
        "overlap_tied": sum(bool(values[player] >= bound) for player in first) / k,
        "reference_seconds": time.perf_counter() - started,
    }


def _first(attribution: Attribution, k: int) -> set[int]:
    return set(descending(attribution.values[attribution.output])[:k].tolist())
