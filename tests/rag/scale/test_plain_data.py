"""What the evaluations hand to an executor can leave the process, and comes back as the same result."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.attribution import AttributionRun, evaluate_attribution
from eval.qa import QARun, evaluate_qa
from eval.retrieval import RetrievalRun, evaluate_retrieval
from rag.readers.loading import load_reader
from rag.scale.ray_executor import share
from rag.settings_base import SettingsError

pytestmark = pytest.mark.slow

ISLANDS = str(Path(__file__).parents[3] / "examples" / "islands")
FEW = {"data": [ISLANDS], "limit": 3}
RUNS = {
    evaluate_qa: QARun(**FEW, k=[2, 4], rerank=["shapley"]),
    evaluate_retrieval: RetrievalRun(**FEW, rerank=["shapley:likelihood"], depth=[4], report={"k": [4]}),
    evaluate_attribution: AttributionRun(**FEW, depth=4, methods=["shapley", "first-in", "random"], budget=16),
}


class Elsewhere:
    """In the role of other processes: nothing is shared with the worker, only bytes are sent."""

    remote = True

    def map(self, worker: Any, items: Iterable[Any]) -> Iterator[Any]:
        sent = pickle.dumps(worker)
        assert len(sent) < 10_000, "settings, no model"
        handle = pickle.loads(sent)()
        for item in items:
            yield pickle.loads(pickle.dumps(handle(pickle.loads(pickle.dumps(item)))))


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(one) for key, one in value.items() if not timed(key)}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def timed(key: str) -> bool:
    return key.endswith("seconds") or key in ("retrieve", "encode", "attribute")


@pytest.mark.parametrize("evaluate", RUNS, ids=lambda evaluate: evaluate.__name__)
def test_an_evaluation_elsewhere_is_that_of_one_process(evaluate):
    here, there = (evaluate(RUNS[evaluate], executor=executor).to_dict() for executor in (None, Elsewhere()))
    # QA rows time the decode under "answer"; records keep the text there.
    for result in (here, there):
        for row in result["rows"] if evaluate is evaluate_qa else ():
            row.pop("answer")
    assert json.dumps(without_times(there)) == json.dumps(without_times(here))


@pytest.mark.parametrize("evaluate", RUNS, ids=lambda evaluate: evaluate.__name__)
def test_a_loaded_reader_is_not_sent(evaluate):
    with pytest.raises(SettingsError, match="a loaded reader stays in this process"):
        evaluate(RUNS[evaluate], executor=Elsewhere(), reader=load_reader())


@pytest.mark.parametrize(
    ("nodes", "workers", "each"),
    [([2], 1, 2), ([2], 2, 1), ([8, 8], 2, 8), ([8, 8], 3, 4), ([16, 4], 4, 4), ([1, 7], 2, 3), ([1, 1], 3, 1)],
)
def test_cpus_of_a_worker_are_of_one_node(nodes, workers, each):
    assert share(nodes, workers) == each
    if workers <= sum(nodes):
        assert sum(cpus // each for cpus in nodes) >= workers > sum(cpus // (each + 1) for cpus in nodes)
