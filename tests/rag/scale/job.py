"""A job to be disturbed: `python job.py ADDRESS IN OUT` reranks a DPR/FiD file by length, slowly, on a Ray cluster."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rag.offline import ContextsTask, rerank_file
from rag.readers.base import Notice
from rag.rerank import Ranked, Reranking
from rag.scale import RayExecutor
from retrievers import Hit


def by_length(seconds: float) -> Callable[[str, Sequence[Hit]], Reranking]:
    """Orders passages by their length, the longest first, and takes its time."""

    def rerank(question: str, hits: Sequence[Hit]) -> Reranking:
        time.sleep(seconds)
        order = sorted(hits, key=lambda hit: -len(hit.passage.text))
        ranked = tuple(Ranked(hit.passage, 1, float(len(hit.passage.text)), None) for hit in order)
        return Reranking("", ranked, 0, 0, (Notice("{} passages", (len(hits),)),))

    return rerank


if __name__ == "__main__":
    address, source, out = sys.argv[1:]
    task = ContextsTask(Path(source), 5)
    told = rerank_file(task, lambda: by_length(0.2), Path(out), {}, executor=RayExecutor(address))
    sys.stdout.write(f"{told}\n")
