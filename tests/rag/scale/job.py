"""A job to be disturbed: `python job.py ADDRESS IN OUT` reranks a DPR/FiD file by length, slowly, on a Ray cluster."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rag.offline import ContextsTask, rerank_file
from rag.scale import RayExecutor
from retrievers import Hit


def by_length(seconds: float) -> Callable[[str, Sequence[Hit]], list[Hit]]:
    """Orders passages by their length, the longest first, and takes its time."""

    def rerank(question: str, hits: Sequence[Hit]) -> list[Hit]:
        time.sleep(seconds)
        return [Hit(h.passage, float(len(h.passage.text))) for h in sorted(hits, key=lambda h: -len(h.passage.text))]

    return rerank


if __name__ == "__main__":
    address, source, out = sys.argv[1:]
    rerank_file(ContextsTask(Path(source), 5), lambda: by_length(0.2), Path(out), {}, executor=RayExecutor(address))
