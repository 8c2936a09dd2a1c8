"""`evaluate retrieval` against ir_measures, counts made by hand, and published numbers."""

from __future__ import annotations

import gzip
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from eval.retrieval import RetrievalRun, compare, evaluate_retrieval
from eval.retrieval.metrics import area_under_recall, first_rank, recall
from rag.settings_base import SettingsError
from retrievers import CorpusError, load_corpus


def evaluate(beir: Path, *, reader=None, out=None, report=None, **settings):
    report = {"k": [1, 3], "draws": 200, **(report or {})}
    run = RetrievalRun.model_validate({"data": [str(beir)], "depth": [5], "report": report, **settings})
    return evaluate_retrieval(run, out, reader=reader)


def mean(result, system: str, metric: str) -> float:
    return next(row.mean for row in result.rows if (row.system, row.metric) == (system, metric))


def test_area_is_the_mean_of_recall_up_to_k():
    ranks = np.array([1, 2, 7, math.inf, 20, 21])
    plain = np.mean([recall(ranks, k) for k in range(1, 21)], axis=0)
    assert area_under_recall(ranks, 20) == pytest.approx(plain)
    assert first_rank(["a", "b", "c"], {"c", "b"}) == 2
    assert first_rank(["a"], {"c"}) == math.inf


def test_bm25_on_openqa_is_near_the_known_numbers(openqa):
    run = {"data": [str(openqa)], "bm25": {"stemmer": None}, "report": {"k": [1, 5, 20], "draws": 100}}
    result = evaluate_retrieval(RetrievalRun.model_validate(run))
    assert len(result.ids) == 1740
    for metric, known in {"recall@1": 50.6, "recall@5": 65.5, "recall@20": 69.5, "AUC@20": 66.2}.items():
        assert 100 * mean(result, "bm25", metric) == pytest.approx(known, abs=0.1)


def test_recall_and_measures_by_hand(beir):
    result = evaluate(beir, report={"metrics": ["nDCG@3", "RR", "P(rel=2)@1"]})
    for number, name in enumerate(result.ids):
        record = result.scores["bm25"]
        order = ranking(beir, name)
        place = min(order.index(p) for p in (f"p{name[1:]}-2", f"p{name[1:]}-3"))
        assert record["recall@1"][number] == (place < 1)
        assert record["recall@3"][number] == (place < 3)
        assert record["RR"][number] == pytest.approx(1 / (place + 1))
        grades = {f"p{name[1:]}-2": 2, f"p{name[1:]}-3": 1}
        gain = sum(grades.get(p, 0) / math.log2(rank + 2) for rank, p in enumerate(order[:3]))
        assert record["nDCG@3"][number] == pytest.approx(gain / (2 + 1 / math.log2(3)))
        assert record["P(rel=2)@1"][number] == (order[0] == f"p{name[1:]}-2")


def ranking(beir: Path, name: str) -> list[str]:
    from retrievers import BM25Retriever

    query = next(
        q for line in (beir / "queries.jsonl").read_text().splitlines() if (q := json.loads(line))["_id"] == name
    )
    return [hit.passage.id for hit in BM25Retriever(load_corpus(beir)).search(query["text"], 5)]


def test_without_answers_recall_is_success_by_qrels(beir):
    queries = [json.loads(line) for line in (beir / "queries.jsonl").read_text().splitlines()]
    extra = [{"_id": "q7", "text": "Where is nothing?"}]
    (beir / "queries.jsonl").write_text(
        "\n".join(json.dumps({"_id": q["_id"], "text": q["text"]}) for q in queries + extra)
    )
    result = evaluate(beir, report={"metrics": ["Success@1", "Success@3"]})
    for k in (1, 3):
        assert result.scores["bm25"][f"recall@{k}"].tolist() == result.scores["bm25"][f"Success@{k}"].tolist()
    assert len(result.ids) == 6
    assert result.warnings == ("1 questions have neither an answer nor a relevant passage",)


def test_reranking_is_compared_with_what_it_reranks(beir, reader):
    result = evaluate(beir, reader=reader, rerank=["shapley", "shapley+rrf"], depth=[5, 3], retrievers=["bm25"])
    assert list(result.scores) == [
        "bm25",
        "bm25/5/shapley",
        "bm25/5/shapley+rrf",
        "bm25/3/shapley",
        "bm25/3/shapley+rrf",
    ]
    before, after = mean(result, "bm25", "recall@1"), mean(result, "bm25/5/shapley", "recall@1")
    assert before == 0
    assert after == 1, "the city that two passages name is answered, and they are its evidence"
    row = next(row for row in result.rows if (row.system, row.metric) == ("bm25/5/shapley", "recall@1"))
    assert (row.baseline, row.difference) == ("bm25", 1)
    assert row.p == pytest.approx(2 / 2**6)
    assert row.p_holm == pytest.approx(min(1, 4 * row.p))
    auc = next(row for row in result.rows if (row.system, row.metric) == ("bm25/5/shapley", "AUC@3"))
    room = mean(result, "bm25", "recall@3") - mean(result, "bm25", "AUC@3")
    assert auc.headroom == pytest.approx(auc.difference / room)
    assert result.evaluations["bm25/5/shapley"] == 2**5
    assert result.curves["bm25/5/shapley"] == [1.0] * 5
    assert json.dumps(result.to_dict(), allow_nan=False)


def test_what_is_below_the_depth_keeps_its_order(beir, reader):
    result = evaluate(beir, reader=reader, rerank=["shapley"], depth=[3], retrieve=5, report={"k": [1, 5]})
    before, after = (result.curves[system] for system in ("bm25", "bm25/3/shapley"))
    assert len(before) == len(after) == 5
    assert after[2:] == before[2:]
    assert after != before


def test_everything_against_one_baseline(beir, reader):
    settings = {"reader": reader, "rerank": ["shapley"]}
    result = evaluate(beir, report={"baseline": "bm25/5/shapley"}, **settings)
    assert {row.system: row.baseline for row in result.rows} == {"bm25": "bm25/5/shapley", "bm25/5/shapley": None}
    encoded = reader.encoded
    with pytest.raises(SettingsError, match="'best' is no system; there are bm25, bm25/5/shapley"):
        evaluate(beir, report={"baseline": "best"}, **settings)
    assert reader.encoded == encoded, "nothing is measured before"


def test_a_run_of_bm25_is_scored_like_bm25(beir, tmp_path):
    lines = [f"q{n} Q0 {p} 0 {-rank} me" for n in range(1, 7) for rank, p in enumerate(ranking(beir, f"q{n}"))]
    path = tmp_path / "theirs.trec"
    path.write_text("\n".join([*lines, "q99 Q0 p1-0 1 1 me"]))
    result = evaluate(beir, runs=[str(path)], retrievers=["bm25"], report={"metrics": ["nDCG@10"]})
    assert list(result.scores) == ["bm25", "theirs"]
    for metric, values in result.scores["bm25"].items():
        assert values.tolist() == result.scores["theirs"][metric].tolist()
    assert result.warnings == (f"{path} has 1 questions that are not in the data; they are left out",)
    path.write_text("\n".join(line for line in lines if not line.startswith("q2 ")))
    result = evaluate(beir, runs=[str(path)])
    assert result.warnings == (f"{path} has no passages for 1 of 6 questions; they count as not found",)
    assert result.scores["theirs"]["recall@3"][result.ids.index("q2")] == 0
    path.write_text("q1 Q0 other 1 1 me")
    with pytest.raises(CorpusError, match=r"theirs.trec: 1 passages are not in the corpus, such as 'other'"):
        evaluate(beir, runs=[str(path)])


def test_judgements_of_unknown_questions_and_passages_are_counted(beir):
    with (beir / "qrels" / "test.tsv").open("a") as file:
        file.write("q1\tlost\t1\nq77\tp1-0\t1\n")
    assert set(evaluate(beir).warnings) == {
        "1 judged questions are not in the data and are left out",
        "1 relevant passages are not in the corpus",
    }


def test_a_split_that_is_not_there(beir):
    with pytest.raises(SettingsError, match=r"split: .*qrels holds no 'dev'; there are test"):
        evaluate(beir, split="dev")


def test_questions_own_passages_in_their_order(tmp_path):
    contexts = [["it is Rome", "it is Oslo"], ["it is Bergen", "it is Turku"]]
    entries = []
    for answer, own in zip(["Oslo", "Bergen"], contexts, strict=True):
        passages = [{"id": str(number), "title": "", "text": text} for number, text in enumerate(own)]
        entries.append({"question": "where?", "answers": [answer], "ctxs": passages})
    path = tmp_path / "fid.json"
    path.write_text(json.dumps(entries))
    result = evaluate(path, retrievers=["own"], report={"k": [1, 2], "metrics": ["RR"]})
    assert result.scores["own"]["recall@1"].tolist() == [0, 1]
    assert result.scores["own"]["RR"].tolist() == [0.5, 1]
    assert mean(result, "own", "AUC@2") == 0.75


def squad(path: Path, places: list[str]) -> Path:
    paragraphs = [
        {
            "context": f"The harbour of {place} is old. It was built by Person {place}.",
            "qas": [
                {
                    "id": f"{path.stem}{place}",
                    "question": f"Who built the harbour of {place}?",
                    "answers": [{"text": f"Person {place}", "answer_start": 0}],
                }
            ],
        }
        for place in places
    ]
    for paragraph in paragraphs:
        answer = paragraph["qas"][0]["answers"][0]
        answer["answer_start"] = paragraph["context"].index(answer["text"])
    path.write_text(json.dumps({"data": [{"title": "Harbours", "paragraphs": paragraphs}]}))
    return path


def test_gold_passages_of_squad_are_qrels_for_pool_and_corpus(tmp_path):
    first = squad(tmp_path / "a.json", ["Oslo", "Rome", "Turku"])
    second = squad(tmp_path / "b.json", ["Rome", "Bergen"])
    for settings in ({"pool": [str(second)]}, {"corpus": str(first)}, {"data": [str(first), str(second)]}):
        result = evaluate(first, report={"metrics": ["RR", "R@1"]}, **settings)
        assert mean(result, "bm25", "RR") == mean(result, "bm25", "R@1") == 1
        assert not result.warnings


def test_all_retrievers_from_one_index_as_from_the_corpus(beir, tmp_path):
    from rag.retrieval import build_retriever
    from rag.settings import RetrieverSettings

    kinds = ["bm25", "dense", "hybrid"]
    build_retriever(load_corpus(beir), RetrieverSettings(kind="hybrid")).save(tmp_path / "index")
    saved = evaluate(beir, retrievers=kinds, index=str(tmp_path / "index"))
    built = evaluate(beir, retrievers=kinds)
    assert saved.rows == built.rows
    build_retriever(load_corpus(beir), RetrieverSettings()).save(tmp_path / "words")
    with pytest.raises(SettingsError, match="words holds bm25, not dense"):
        evaluate(beir, retrievers=["dense"], index=str(tmp_path / "words"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"report": {"k": [9]}, "retrieve": 5}, "retrieve: 5 passages are fewer than the largest k or depth"),
        ({"index": "x", "corpus": "y"}, "give one of index, corpus and pool"),
        ({"attribution": {"utility": "likelihood"}}, "are chosen by rerank"),
        ({"rerank": ["magic"]}, "'magic' is unknown"),
        ({"retrievers": []}, "both empty"),
        ({"runs": ["a/bm25.trec"], "retrievers": ["bm25"]}, "two systems are called 'bm25'"),
    ],
)
def test_settings_that_cannot_be_honoured(beir, settings, message):
    with pytest.raises(ValueError, match=message):
        evaluate(beir, **settings)


@pytest.mark.parametrize(("name", "message"), [("nDCG@@1", "is no measure"), ("foo@3", "is no measure"),
                                              ("alpha_nDCG@5", "no installed package computes")])  # fmt: skip
def test_unknown_measures(beir, name, message):
    with pytest.raises(SettingsError, match=message):
        evaluate(beir, report={"metrics": [name]})


def test_two_results_are_compared_on_the_questions_they_share(beir, tmp_path, reader):
    evaluate(beir, ids="odd").save(tmp_path / "odd.json")
    everything = evaluate(beir, reader=reader, rerank=["shapley"])
    everything.save(tmp_path / "all.json")
    rows, said = compare(tmp_path / "odd.json", tmp_path / "all.json")
    assert {row.system: row.questions for row in rows} == {"bm25 (first)": 3, "bm25 (second)": 3}
    assert all(row.difference in (None, 0) for row in rows)
    assert said == [f"{tmp_path / 'all.json'}: 3 of 6 questions are not in the other"]
    content = json.loads((tmp_path / "all.json").read_text())
    content["scores"] = {"mine": content["scores"]["bm25/5/shapley"]}
    (tmp_path / "mine.json").write_text(json.dumps(content))
    rows, _ = compare(tmp_path / "odd.json", tmp_path / "mine.json")
    row = next(row for row in rows if row.system == "mine (second)" and row.metric == "recall@1")
    assert (row.difference, row.p) == (1, 0.25)
    content["scores"] = {"other": {}, "another": {}}
    (tmp_path / "mine.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="share no system"):
        compare(tmp_path / "odd.json", tmp_path / "mine.json")
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(ValueError, match=r"is no result of `ragshap evaluate retrieval`"):
        compare(tmp_path / "odd.json", tmp_path / "mine.json")


def test_results_of_other_questions_or_judgements_are_not_compared(beir, tmp_path):
    evaluate(beir).save(tmp_path / "a.json")
    moved = shutil.copytree(beir, tmp_path / "moved")
    evaluate(moved).save(tmp_path / "b.json")
    compare(tmp_path / "a.json", tmp_path / "b.json")
    queries = (moved / "queries.jsonl").read_text()
    (moved / "queries.jsonl").write_text(queries.replace("Where is", "Who built"))
    evaluate(moved).save(tmp_path / "b.json")
    with pytest.raises(ValueError, match=r"a.json and .*b.json were made with other settings.data, so that"):
        compare(tmp_path / "a.json", tmp_path / "b.json")
    evaluate(beir, qrels=str(beir / "qrels" / "test.tsv")).save(tmp_path / "b.json")
    with pytest.raises(ValueError, match=r"were made with other settings.qrels, so that"):
        compare(tmp_path / "a.json", tmp_path / "b.json")


def test_the_layouts_of_public_benchmarks(tmp_path):
    texts = {"7#0": ("Creole", "Creole is no pidgin of French."), "8#1": ("Rome", "Rome is where the senate sat.")}
    lines = [json.dumps({"docid": name, "title": title, "text": text}) for name, (title, text) in texts.items()]
    (tmp_path / "miracl").mkdir()
    parts = [gzip.compress(f"{line}\n".encode()) for line in lines]
    (tmp_path / "miracl" / "corpus.jsonl.gz").write_bytes(b"".join(parts))
    (tmp_path / "topics.tsv").write_text("1\tIs Creole a pidgin?\n2\tWhere sat the senate?\n")
    (tmp_path / "qrels.tsv").write_text("1\tQ0\t7#0\t1\n1\tQ0\t8#1\t0\n2\tQ0\t8#1\t1\n")
    settings = {"corpus": str(tmp_path / "miracl"), "report": {"metrics": ["nDCG@10"]}}
    result = evaluate(tmp_path / "topics.tsv", qrels=str(tmp_path / "qrels.tsv"), **settings)
    assert mean(result, "bm25", "nDCG@10") == mean(result, "bm25", "recall@1") == 1
    assert not result.warnings

    rows = [f"{number}\t{text}\t{title}" for number, (title, text) in enumerate(texts.values(), start=1)]
    (tmp_path / "psgs_w100.tsv").write_text("\n".join(["id\ttext\ttitle", *rows]))
    (tmp_path / "nq.jsonl").write_text(json.dumps({"question": "where sat the senate", "answer": ["rome"]}))
    (tmp_path / "popqa.tsv").write_text('id\tquestion\tpossible_answers\n5\tWhere is the senate?\t"[""Rome""]"\n')
    for questions in ("nq.jsonl", "popqa.tsv"):
        for searched in ({"corpus": str(tmp_path / "psgs_w100.tsv")}, {"pool": [str(tmp_path / "psgs_w100.tsv")]}):
            assert mean(evaluate(tmp_path / questions, **searched), "bm25", "recall@1") == 1
