"""The coalition pass in operations per second, against the peak of the machine's matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from eval.benchmark.result import Section
from eval.benchmark.settings import BenchmarkSettings
from eval.benchmark.timing import seconds_after
from eval.own_tables.flops import matrix_product_peak, needed, softmax_rate
from eval.selection import Example
from eval.tables import Table
from rag.progress import Progress
from rag.readers import Reader


def peak(settings: BenchmarkSettings, reader: Reader, examples: Sequence[Example], progress: Progress) -> Section:
    """Operations needed by the coalitions of `speed` per second that they take, over the measured peak."""
    asked = [(one.question.text, one.passages[: settings.passages]) for one in examples[: settings.timed_questions]]
    needs = [needed(settings, reader, reader.encode(question, passages)) for question, passages in asked]
    operations, exponentials = sum(need.operations for need in needs), sum(need.exponentials for need in needs)
    best, rate = matrix_product_peak(settings.peak_seconds), softmax_rate(settings.peak_seconds)
    taken = seconds_after(
        lambda: [(reader.encode(*one), need.coalitions) for one, need in zip(asked, needs, strict=True)],
        lambda fresh: [reader.generate(*one) for one in fresh],
        settings.repeats,
    )
    reached = operations / taken.median
    shares = {"products": operations / best / taken.median, "exponentials": exponentials / rate / taken.median}
    rows = [
        ["operations needed", f"{operations / 1e9:,.1f} billion"],
        ["seconds", str(taken)],
        ["reached", f"{reached / 1e9:,.1f} billion/s"],
        [f"matrix-product peak, {torch.get_num_threads()} threads", f"{best / 1e9:,.1f} billion/s"],
        ["fraction of peak", f"{reached / best:.3f}"],
        ["time that the products would take at the peak", f"{100 * shares['products']:.0f} %"],
        ["time that the exponentials would take at torch's softmax rate", f"{100 * shares['exponentials']:.0f} %"],
        ["the rest", f"{100 * (1 - sum(shares.values())):.0f} %"],
    ]
    how = (
        f"Generation of the coalitions of {len(asked)} questions, median of {settings.repeats} after a warm-up. "
        "Operations are counted for visible tokens and generated tokens alone, one decoder step per token (formula in "
        "eval/own_tables/flops.py); peak and softmax rate are measured in the same run with the same threads."
    )
    numbers = {
        "operations": operations,
        "exponentials": exponentials,
        "seconds": taken,
        "peak": best,
        "softmax_rate": rate,
        "fraction": reached / best,
    }
    return Section("peak", [Table(["quantity", "value"], rows, "Fraction of the machine's peak", how)], numbers)
