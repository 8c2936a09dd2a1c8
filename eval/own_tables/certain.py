"""What it costs to be certain of the first passages, against answering once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from attribution import Attribution, TopKCertain, VotesGame, explain
from eval.benchmark.result import Progress, Section
from eval.benchmark.settings import BenchmarkSettings
from eval.benchmark.timing import Seconds, seconds
from eval.selection import Example
from eval.tables import Table
from rag.readers import EncodedQuestion, Reader


def certain(settings: BenchmarkSettings, reader: Reader, examples: Sequence[Example], progress: Progress) -> Section:
    """Stop when the first k are certain; hold them against a reference of many evaluations with another seed."""
    rule = TopKCertain(settings.top)
    entries = []
    questions = examples[: settings.certain_questions]
    for number, one in enumerate(questions, start=1):
        entries.append(_measure(settings, reader, Example(one.question, one.passages[: settings.passages]), rule))
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


def _measure(settings: BenchmarkSettings, reader: Reader, one: Example, rule: TopKCertain) -> dict[str, Any]:
    question, passages = one.question.text, one.passages
    everything = np.ones((1, len(passages)), dtype=np.bool_)
    once = seconds(lambda: reader.generate(reader.encode(question, passages), everything), settings.repeats)

    def attribute() -> Attribution:
        encoded = reader.encode(question, passages)
        return _explain(reader, encoded, budget=settings.reference, until=rule)

    taken = seconds(attribute, settings.repeats)
    found = attribute()
    started = time.perf_counter()
    encoded = reader.encode(question, passages)
    reference = _explain(reader, encoded, budget=settings.reference, estimator="permutation", seed=1)
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
        "overlap_tied": sum(bool(values[int(player)] >= bound) for player in first) / k,
        "reference_seconds": time.perf_counter() - started,
    }


def _explain(reader: Reader, encoded: EncodedQuestion, **options: Any) -> Attribution:
    n = len(encoded.passages)
    return explain(VotesGame(lambda rows: reader.generate(encoded, rows)), n, players=[*map(str, range(n))], **options)


def _first(attribution: Attribution, k: int) -> set[str]:
    return {contribution.player for contribution in attribution.top(k)}
