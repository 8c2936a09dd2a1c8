"""Judgements, runs and measures: nothing goes to another passage, and a number is what its name says."""

from __future__ import annotations

import json

import pytest

from eval.qa import QARun, evaluate_qa
from eval.retrieval import RetrievalRun, evaluate_retrieval
from eval.runner import provenance
from eval.selection import Selection, pooled, select_questions
from rag.questions import load_questions
from rag.questions.overlap import question_digest
from rag.settings_base import SettingsError
from retrievers import CorpusError, load_corpus


def lines(path, *values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, values)))
    return path


def evaluate(*data, out=None, report=None, **settings):
    report = {"k": [1], "draws": 100, **(report or {})}
    run = RetrievalRun.model_validate({"data": list(map(str, data)), "depth": [5], "report": report, **settings})
    return evaluate_retrieval(run, out)


def mean(result, metric, system="bm25"):
    return next(row.mean for row in result.rows if (row.system, row.metric) == (system, metric))


def beir(folder, documents, queries, qrels, split="test.tsv"):
    lines(folder / "corpus.jsonl", *({"_id": name, "title": "", "text": text} for name, text in documents.items()))
    lines(folder / "queries.jsonl", *({"_id": name, "text": text} for name, text in queries.items()))
    (folder / "qrels").mkdir()
    rows = ["query-id\tcorpus-id\tscore", *("\t".join(row) for row in qrels)]
    (folder / "qrels" / split).write_text("\n".join(rows))
    return folder


def test_ids_with_spaces_keep_their_judgements(tmp_path):
    documents = {"my notes.txt": "the ferry to Oslo", "notes.txt": "a ferry elsewhere, the ferry"}
    folder = beir(tmp_path / "b", documents, {"q1": "ferry to Oslo"}, [("q1", "my notes.txt", "1")])
    result = evaluate(folder, report={"metrics": ["RR@10"]})
    assert mean(result, "RR@10") == 1
    assert not result.warnings
    run = tmp_path / "theirs.trec"
    run.write_text("q1\tQ0\tnotes.txt\t1\t2\tme\nq1\tQ0\tmy notes.txt\t2\t1\tme\n")
    assert mean(evaluate(folder, runs=[str(run)], report={"metrics": ["RR@10"]}), "RR@10", "theirs") == 0.5


ARGUMENTS = {"a1": "Zoos are good for animals.", "a2": "Zoos are bad for animals, and not good.", "a3": "Tea is nice."}


def test_a_question_does_not_find_itself_in_a_beir_folder(tmp_path):
    folder = beir(tmp_path / "arguana", ARGUMENTS, {"a1": ARGUMENTS["a1"]}, [("a1", "a2", "1")])
    run = tmp_path / "theirs.trec"
    run.write_text("a1 Q0 a1 1 9 me\na1 Q0 a2 2 8 me\n")
    settings = {"runs": [str(run)], "retrievers": ["bm25"], "report": {"metrics": ["RR@5"]}}
    result = evaluate(folder, **settings)
    assert mean(result, "RR@5") == mean(result, "RR@5", "theirs") == mean(result, "recall@1") == 1
    (said,) = result.warnings
    assert "1 questions have the id of a passage" in said
    assert "ignore_identical_ids=false keeps it" in said
    kept = evaluate(folder, ignore_identical_ids=False, **settings)
    assert mean(kept, "RR@5") == mean(kept, "RR@5", "theirs") == 0.5
    assert not kept.warnings


def test_brights_excluded_and_gold_ids(tmp_path):
    corpus = lines(tmp_path / "d.jsonl", *({"id": name, "text": text} for name, text in ARGUMENTS.items()))
    common = {"reasoning": "r", "gold_answer": "a long one", "gold_ids_long": ["N/A"]}
    one = {"id": "0", "query": ARGUMENTS["a1"], "excluded_ids": ["a1"], "gold_ids": ["a2"], **common}
    two = {"id": "1", "query": "nice tea", "excluded_ids": ["N/A"], "gold_ids": ["a3"], **common}
    questions = lines(tmp_path / "examples.jsonl", one, two)
    result = evaluate(questions, corpus=str(corpus), report={"metrics": ["nDCG@10"]})
    assert mean(result, "nDCG@10") == mean(result, "recall@1") == 1
    assert result.warnings == ("1 questions list excluded_ids; these passages are left out of their hits",)


def many(tmp_path, n=60):
    """Every document holds the word sought, the judged one last."""
    documents = {f"d{k:02}": "ferry " * (n - k) + "boat " * k for k in range(n)}
    return beir(tmp_path / "many", documents, {"q1": "ferry"}, [("q1", f"d{n - 1}", "1")])


def test_measures_retrieve_as_deep_as_their_names_say(tmp_path):
    folder = many(tmp_path)
    result = evaluate(folder, depth=[20], report={"metrics": ["R@20", "R@60", "AP"]})
    assert (mean(result, "R@20"), mean(result, "R@60")) == (0, 1)
    assert mean(result, "AP") == pytest.approx(1 / 60)
    assert len(result.curves["bm25"]) == 20
    shallow = evaluate(folder, depth=[20], retrieve=20, report={"metrics": ["AP", "Rprec"]})
    assert {row.metric for row in shallow.rows} >= {"AP@20", "Rprec"}
    assert shallow.warnings == ("Rprec: of the first 20 passages (retrieve)",)
    with pytest.raises(SettingsError, match="R@50 needs more than the 20 passages"):
        evaluate(folder, depth=[20], retrieve=20, report={"metrics": ["R@50"]})


def test_kept_passages_serve_shallower_measures_and_not_deeper_ones(tmp_path):
    folder, out = many(tmp_path), tmp_path / "out"
    evaluate(folder, out=out, report={"metrics": ["R@50"]})
    again = evaluate(folder, out=out, report={"metrics": ["R@20", "AP"]})
    assert {row.metric for row in again.rows} >= {"R@20", "AP@50"}
    with pytest.raises(SettingsError, match=r"made with other settings.retrieve"):
        evaluate(folder, out=out, report={"metrics": ["R@60"]})


@pytest.mark.parametrize("name", ["q001", "query 1", "zzz"])
def test_err_works_with_any_id(tmp_path, name):
    folder = beir(tmp_path / "b", {"d a": "ferry", "db": "tea"}, {name: "ferry"}, [(name, "d a", "1")])
    result = evaluate(folder, report={"metrics": ["ERR@10", "nDCG@10"]})
    assert mean(result, "ERR@10") == pytest.approx((2**1 - 1) / 2**4)  # Chapelle et al. 2009, grades up to 4
    assert mean(result, "nDCG@10") == 1


@pytest.mark.parametrize(
    ("name", "instead"),
    [("map", "AP"), ("ndcg_cut_10", "nDCG@10"), ("recall_100", "R@100"), ("recip_rank", "RR"), ("ndcg@10", "nDCG@10")],
)
def test_names_of_trec_eval_are_answered_with_ours(tmp_path, name, instead):
    with pytest.raises(SettingsError, match=f"{name}' is no measure of ir_measures.* write {instead}$"):
        evaluate(tmp_path, report={"metrics": [name]})


def test_own_without_passages_is_an_error(tmp_path):
    folder = beir(tmp_path / "b", {"d": "ferry"}, {"q": "ferry"}, [("q", "d", "1")])
    with pytest.raises(SettingsError, match="retrievers: own needs passages that come with the questions"):
        evaluate(folder, retrievers=["own"])
    questions = lines(tmp_path / "nq.jsonl", {"question": "ferry", "answer": ["boat"]})
    with pytest.raises(SettingsError, match="passages=own: no question brings passages"):
        evaluate_qa(QARun.model_validate({"data": [str(questions)], "passages": "own"}))
    context = {"title": "", "text": "a boat"}
    some = lines(
        tmp_path / "fid.jsonl",
        {"question": "a", "answers": ["boat"], "ctxs": [context]},
        {"question": "b", "answers": ["boat"], "ctxs": []},
    )
    result = evaluate(some, retrievers=["own"])
    assert result.warnings == ("1 of 2 questions bring no passages; they count as not found (own)",)


def test_what_the_data_do_not_answer_is_left_out_and_counted(tmp_path):
    context = {"title": "", "text": "a boat"}
    path = lines(
        tmp_path / "fid.jsonl",
        {"question": "a", "answers": ["boat"], "ctxs": [context]},
        {"question": "b", "ctxs": [context, context]},
        {"question": "c", "answers": [], "ctxs": [context]},
    )
    settings = {"data": [str(path)], "passages": "own"}
    selected = select_questions(Selection.model_validate(settings))
    assert [q.text for q in selected.questions] == ["a"]
    assert selected.warnings == (
        "1 passages of questions are left out: they are empty, or repeat one of the same",
        "2 questions without accepted answer are left out (kind=answerable)",
    )
    everything = select_questions(Selection.model_validate({**settings, "kind": "all"}))
    assert [q.text for q in everything.questions] == ["a", "c"]
    assert "1 questions are left out, such as 'fid/2': the data give no answers" in everything.warnings


def test_ms_marco(tmp_path):
    collection = tmp_path / "collection.tsv"
    collection.write_text('0\t"The ferry leaves\n1\tTea is nice.\n2\tBoats go.\n')
    assert next((p.id, p.text) for p in load_corpus(collection)) == ("0", '"The ferry leaves')
    (tmp_path / "queries.dev.tsv").write_text("300\twhen does the ferry leave\n301\tis tea nice\n")
    (tmp_path / "qrels.dev.tsv").write_text("300\t0\t0\t1\n301\t0\t1\t1\n")
    (tmp_path / "run.tsv").write_text("300\t2\t1\n300\t0\t2\n301\t1\t1\n")
    settings = {"corpus": str(collection), "qrels": str(tmp_path / "qrels.dev.tsv"), "retrievers": ["bm25"]}
    result = evaluate(
        tmp_path / "queries.dev.tsv", runs=[str(tmp_path / "run.tsv")], report={"metrics": ["RR@10"]}, **settings
    )
    assert (mean(result, "RR@10"), mean(result, "RR@10", "run")) == (1, 0.75)
    assert len(pooled(load_questions([tmp_path / "queries.dev.tsv"]), [str(collection)], tmp_path).passages) == 3


def fid(path, ids, name="c", texts=("The red house is in Oslo.", "The boat is in Bergen.")):
    contexts = [{"id": f"{name}{n}", "title": "", "text": text} for n, text in enumerate(texts)]
    entries = [{"id": n, "question": q, "answers": [a], "ctxs": contexts} for n, (q, a) in zip(ids, PAIRS, strict=True)]
    return lines(path, *entries)


PAIRS = (("Where is the red house?", "Oslo"), ("Where is the boat?", "Bergen"))
CARS = ("The green car is in Oslo, unlike the boat.", "The bike is in Bergen, like the red house is not.")


def test_repeated_ids_keep_the_judgements_of_their_own_file(tmp_path):
    one, two = fid(tmp_path / "1.json", (1, 2), "a"), fid(tmp_path / "2.json", (1, 2), "b", CARS)
    result = evaluate(one, two, retrievers=["own"], report={"metrics": ["R@2"]})
    assert result.ids == ("1", "2", "1~2", "2~2")
    assert result.scores["own"]["R@2"].tolist() == [1, 1, 1, 1]


def test_passages_that_cannot_be_told_apart_are_refused_with_what_to_do(tmp_path):
    one, two = fid(tmp_path / "1.json", (1, 2)), fid(tmp_path / "2.json", (1, 2), texts=CARS)
    with pytest.raises(CorpusError, match=r"two passages have the id '1/c0': 'The red .* give the questions or pass"):
        evaluate(one, two)


def test_numbers_of_repeated_questions_do_not_depend_on_which_are_asked(tmp_path):
    one, two = fid(tmp_path / "1.json", (1, 2), "a"), fid(tmp_path / "2.json", (2, 1), "b", CARS)
    only = tmp_path / "list.txt"
    only.write_text(question_digest(PAIRS[1][0]))
    result = evaluate(one, two, ids=str(only))
    assert result.ids == ("2", "1~2")


def test_two_folders_that_judge_one_question_are_refused(tmp_path):
    folders = [
        beir(tmp_path / name, {name: "a ferry"}, {"q1": f"ferry {name}"}, [("q1", name, "1")]) for name in ("x", "y")
    ]
    with pytest.raises(CorpusError, match=r"test.tsv: the question 'q1' is judged in another folder too"):
        evaluate(*folders)


def test_only_one_file_of_a_split_is_read(tmp_path):
    folder = beir(tmp_path / "b", {"d": "ferry", "e": "boat"}, {"q1": "ferry"}, [("q1", "d", "1")])
    (folder / "qrels" / "test.tsv~").write_text("query-id\tcorpus-id\tscore\nq1\te\t1\n")
    assert mean(evaluate(folder, report={"metrics": ["P@1"]}), "P@1") == 1
    (folder / "qrels" / "test.txt").write_text("q1 0 e 1\n")
    with pytest.raises(SettingsError, match=r"holds test.tsv and test.txt; keep one of them"):
        evaluate(folder)


def test_what_a_measure_does_not_cover_is_said(tmp_path):
    path, qrels = fid(tmp_path / "1.json", (1, 2)), tmp_path / "qrels"
    for judged, count in (("1 0 1/c0 1\n", 1), ("1 0 1/c0 0\n", 0)):
        qrels.write_text(judged)
        result = evaluate(path, qrels=str(qrels), report={"metrics": ["AP", "P@1"]})
        assert result.warnings == (f"AP, P@1: {count} of 2 questions have a score, and the others are left out",)


def test_a_question_without_hits_scores_0_in_every_measure(tmp_path):
    folder = beir(tmp_path / "b", {"d": "ferry"}, {"q1": "ferry", "q2": "zzz"}, [("q1", "d", "1"), ("q2", "d", "1")])
    result = evaluate(folder, report={"metrics": ["Judged@3", "P@1"]})
    assert result.scores["bm25"]["Judged@3"].tolist() == result.scores["bm25"]["P@1"].tolist() == [1, 0]


@pytest.mark.parametrize("name", ["P@0", "Judged@0"])
def test_measures_of_no_passage_are_refused(tmp_path, name):
    with pytest.raises(SettingsError, match=f"'{name}' reads 0 passages; write 1 or more"):
        evaluate(tmp_path, report={"metrics": [name]})


def test_a_name_is_not_answered_with_itself(tmp_path):
    with pytest.raises(SettingsError, match=r"'INST' is no measure of ir_measures \(invalid param"):
        evaluate(tmp_path, report={"metrics": ["INST"]})


def test_other_lists_and_encoders_are_other_provenance(tmp_path):
    listed, encoder = tmp_path / "list.txt", tmp_path / "encoder"
    encoder.mkdir()
    runs = (
        RetrievalRun.model_validate({"data": ["x"], "ids": str(listed), "dense": {"encoder": str(encoder)}}),
        QARun.model_validate({"data": ["x"], "ids": str(listed), "retriever": {"dense": {"encoder": str(encoder)}}}),
    )
    for run in runs:
        made = []
        for one, other in (("a", "a"), ("b", "a"), ("a", "b"), ("a", "a")):
            listed.write_text(one)
            (encoder / "model.safetensors").write_text(other)
            made.append(provenance(run, tmp_path, None)["files"])
        assert made[0] == made[3]
        assert made[0] != made[1] != made[2] != made[0]
        assert set(made[0]) == {str(listed), str(encoder)}
