"""Time and memory with many passages, each measured in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from eval.benchmark.ablations import OURS
from eval.benchmark.result import Section
from eval.benchmark.settings import BenchmarkSettings
from eval.benchmark.speed import attribute
from eval.benchmark.timing import seconds_after
from eval.own_tables.flops import needed
from eval.selection import Example
from eval.tables import Table
from rag.index_cost import peak_memory
from rag.progress import Progress
from rag.readers import Reader
from rag.readers.loading import load_reader


def growth(settings: BenchmarkSettings, reader: Reader, examples: Sequence[Example], progress: Progress) -> Section:
    """The first question with `passages` and with `many_passages` of its passages, by a reader of each process."""
    runs = [_in_a_process(settings, examples[0], n) for n in (settings.passages, settings.many_passages)]
    sizes = [(run["coalitions"], run["seconds"].median, run["operations"], run["memory"]) for run in runs]
    ratios = [many / few for few, many in zip(*sizes, strict=True)]
    rows = [
        [
            str(run["passages"]),
            f"{run['coalitions']:,}",
            str(run["seconds"]),
            f"{run['operations'] / 1e9:,.1f}",
            f"{run['memory'] / 2**20:,.0f}",
        ]
        for run in runs
    ]
    rows.append(["growth", *(f"× {ratio:.2f}" for ratio in ratios)])
    how = (
        f"{settings.permutations} permutations of one question's passages, each number in a process of its own, with "
        "that process's highest resident memory, model and libraries included; median (least–most) of "
        f"{settings.repeats} after a warm-up. Operations are those needed (eval/own_tables/flops.py), as theory has it."
    )
    heads = ["passages", "coalitions", "seconds after encoding", "operations, billions", "peak memory, MB"]
    return Section("growth", [Table(heads, rows, "Many passages", how)], {"runs": runs, "time_growth": ratios[1]})


def _in_a_process(settings: BenchmarkSettings, example: Example, n_passages: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure, settings, example, n_passages, torch.get_num_threads()).result()


def _measure(settings: BenchmarkSettings, example: Example, n_passages: int, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    reader = load_reader(settings.reader)
    question, passages = example.question.text, example.passages[:n_passages]
    taken = seconds_after(
        lambda: reader.encode(question, passages),
        lambda encoded: attribute(reader, encoded, settings.permutations, OURS),
        settings.repeats,
    )
    memory = peak_memory()  # before the work below, which must not count
    need = needed(settings, reader, reader.encode(question, passages))
    return {
        "passages": len(passages),
        "coalitions": len(need.coalitions),
        "seconds": taken,
        "operations": need.operations,
        "memory": memory,
    }
