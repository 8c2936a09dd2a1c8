"""BM25 on SciFact against the published figure, computed by ir_measures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrievers import BM25Retriever, load_corpus


def test_ndcg_is_near_the_published_one(scifact: Path) -> None:
    ir_measures = pytest.importorskip("ir_measures")
    rows = [line.split() for line in (scifact / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    qrels = [ir_measures.Qrel(query, document, int(relevance)) for query, document, relevance in rows]
    judged = {qrel.query_id for qrel in qrels}
    with (scifact / "queries.jsonl").open(encoding="utf-8") as file:
        queries = {q["_id"]: q["text"] for line in file if (q := json.loads(line))["_id"] in judged}
    results = BM25Retriever(load_corpus(scifact)).search_many(list(queries.values()), 10)
    run = [
        ir_measures.ScoredDoc(query_id, hit.passage.id, hit.score)
        for query_id, hits in zip(queries, results, strict=True)
        for hit in hits
    ]
    ndcg = ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, run)[ir_measures.nDCG @ 10]
    assert len(queries) == 300
    assert 0.65 < ndcg < 0.70  # published: 0.67 to 0.69, depending on the tokenisation
