"""Milvus Lite, in a local file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import retrievers.search_engines.base
from retrievers import BM25Retriever, DenseRetriever, HybridRetriever, Passage, load_corpus, load_index
from retrievers.dense.encoder import Encoder
from retrievers.errors import EngineError, EngineUnavailableError

from .engines import HOSTILE, ISLANDS, QUESTIONS, WordEncoder

pytest.importorskip("pymilvus", reason="needs pip install 'ragshap[milvus]'")
pytest.importorskip("milvus_lite", reason="needs pip install 'ragshap[milvus]'")

from retrievers.search_engines.milvus import MilvusRetriever


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return WordEncoder()


@pytest.fixture(scope="module")
def islands() -> list[Passage]:
    return list(load_corpus(ISLANDS))


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("milvus") / "islands.db"


@pytest.fixture(scope="module")
def hybrid(file, encoder, islands) -> MilvusRetriever:
    retriever = MilvusRetriever(str(file), mode="hybrid", encoder=encoder)
    retriever.add(islands)
    return retriever


@pytest.fixture(scope="module")
def dense(hybrid, file, encoder) -> MilvusRetriever:
    return MilvusRetriever(str(file), mode="dense", encoder=encoder)


@pytest.fixture(scope="module")
def bm25(hybrid, file) -> MilvusRetriever:
    return MilvusRetriever(str(file), mode="bm25")


@pytest.fixture(scope="module")
def flat(encoder, islands) -> DenseRetriever:
    return DenseRetriever(islands, encoder=encoder)


def test_dense_ranks_as_our_flat_index(dense, flat):
    for question in QUESTIONS:
        ours, theirs = flat.search(question, 10), dense.search(question, 10)
        assert [hit.passage for hit in theirs] == [hit.passage for hit in ours]
        assert [hit.score for hit in theirs] == pytest.approx([hit.score for hit in ours], abs=1e-5)


def test_bm25_agrees_with_ours_without_stemmer(bm25, islands):
    ours = BM25Retriever(islands, stemmer=None, stopwords=None, k1=1.2, b=0.75)
    shared, first = [], []
    for question in QUESTIONS:
        ranked = [[hit.passage.id for hit in r.search(question, 10)] for r in (bm25, ours)]
        shared.append(len(set(ranked[0]) & set(ranked[1])))
        first.append(ranked[0][0] == ranked[1][0])
    assert np.mean(shared) > 9
    assert np.mean(first) >= 0.9
    scores = [hit.score for hit in bm25.search(QUESTIONS[0], 10)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0
    assert bm25.search("qwertyuiop") == []


def test_hybrid_is_reciprocal_rank_fusion(hybrid, bm25, dense):
    fused = HybridRetriever([dense, bm25], rrf_k=60, depth=100)
    for question in QUESTIONS[:5]:
        ours, theirs = fused.search(question, 10), hybrid.search(question, 10)
        assert [hit.score for hit in theirs] == pytest.approx([hit.score for hit in ours], abs=1e-6)
        clear = ours[-1].score + 1e-6  # equal sums may come in any order, and those of the last be cut off
        both = [{hit.passage.id: hit.score for hit in hits if hit.score > clear} for hits in (ours, theirs)]
        assert len(both[0]) >= 5
        assert both[1] == pytest.approx(both[0], abs=1e-6)


@pytest.mark.parametrize("query", HOSTILE)
def test_query_syntax_is_only_words(bm25, hybrid, islands, query):
    words = "".join(c if c.isalnum() or c == "_" else " " for c in query.replace("\ud800", "?"))
    found = [hit.passage.id for hit in bm25.search(query, 5)]
    assert found == ([hit.passage.id for hit in bm25.search(words, 5)] if words.strip() else [])
    assert len(hybrid.search(query, 3)) == 3
    assert len(hybrid) == len(islands)


def test_additions_are_found_and_known_ids_refused(tmp_path, encoder, animals):
    retriever = MilvusRetriever(str(tmp_path / "a.db"), encoder=encoder)
    assert len(retriever) == 0
    retriever.add(animals[:2])
    with pytest.raises(ValueError, match="'bat' is there already"):
        retriever.add([animals[2], animals[1]])
    with pytest.raises(ValueError, match="'cat' is there already"):
        retriever.add([animals[3], animals[3]])
    assert len(retriever) == 2
    odd = [Passage("q\"uo'te\\ö", "Penguins dive deep."), Passage('x"] or id != "', "Puffins nest in burrows.")]
    done: list[int] = []
    retriever.add([*animals[2:], *odd], progress=done.append)
    assert done == [5]
    with pytest.raises(ValueError, match="is there already"):
        retriever.add(odd[:1])
    assert sorted(retriever.passages, key=lambda p: p.id) == sorted([*animals, *odd], key=lambda p: p.id)
    assert retriever.search("Which penguins dive?", 1)[0].passage == odd[0]
    assert len(retriever.search("animals", 100)) == 7


class SentenceEncoder(WordEncoder):
    """Reads one sentence at a time."""

    def cut(self, passages):
        return [
            [f"{passage.title} {part}." for part in passage.text.split(".") if part.strip()] for passage in passages
        ]


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_a_long_passage_is_found_by_each_of_its_blocks(tmp_path, mode):
    """As in our own dense index, which keeps a vector of each block too."""
    encoder = SentenceEncoder()
    filler = " ".join(f"Word{n} is about thing{n}." for n in range(30))
    long = Passage('l"o\ng', f"{filler} The lighthouse was finished in 1846.", "Utvær", {"page": 3})
    passages = [long, *(Passage(f"p{n}", f"Ferries sail to harbour{n}.") for n in range(4))]
    ours = DenseRetriever(passages, encoder=encoder)
    milvus = MilvusRetriever(str(tmp_path / "long.db"), encoder=encoder, mode=mode)
    milvus.add(passages)
    assert len(milvus) == len(list(milvus.passages)) == 5
    assert {passage.id for passage in milvus.passages} == {passage.id for passage in passages}
    for question in ("When was the lighthouse finished?", "What is word7 about?", "Where do ferries sail to?"):
        found = milvus.search(question, 3)
        assert found[0].passage == ours.search(question, 3)[0].passage
        assert len({hit.passage.id for hit in found}) == 3
    if mode == "dense":
        expected, found = (one.search("lighthouse word1 harbour2", 5) for one in (ours, milvus))
        assert [hit.passage for hit in found] == [hit.passage for hit in expected]
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-5)
    with pytest.raises(ValueError, match="is there already"):
        milvus.add([long])
    milvus.remove([long.id])
    assert len(milvus) == 4
    assert long not in [hit.passage for hit in milvus.search("When was the lighthouse finished?", 10)]


def test_saved_it_leads_back_to_the_collection(dense, file, tmp_path, monkeypatch):
    monkeypatch.setattr(retrievers.search_engines.base, "Encoder", WordEncoder)
    dense.save(tmp_path / "saved")
    again = load_index(tmp_path / "saved")
    assert isinstance(again, MilvusRetriever)
    assert again.search(QUESTIONS[0], 5) == dense.search(QUESTIONS[0], 5)
    manifest = tmp_path / "saved" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["settings"]["encoder_fingerprint"] = "0" * 64
    manifest.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="made with another encoder"):
        load_index(tmp_path / "saved")


def test_a_collection_made_elsewhere(tmp_path, encoder):
    """Its own field names, integer keys, no title, euclidean distances."""
    from pymilvus import DataType, MilvusClient

    uri = str(tmp_path / "b.db")
    client = MilvusClient(uri)
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("body", DataType.VARCHAR, max_length=1000)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=encoder.dimension)
    indexes = client.prepare_index_params()
    indexes.add_index("embedding", index_type="FLAT", metric_type="L2")
    client.create_collection("theirs", schema=schema, index_params=indexes)
    texts = ["Bats fly.", "Owls hunt at night.", "The whale is large."]
    vectors = encoder.encode_documents(texts, 8)
    client.insert("theirs", [{"pk": i, "body": t, "embedding": v} for i, (t, v) in enumerate(zip(texts, vectors))])  # noqa: B905
    names = {"id": "pk", "title": None, "text": "body", "vector": "embedding"}
    theirs = MilvusRetriever(uri, "theirs", encoder=encoder, **names)
    hits = theirs.search("What hunts at night?", 3)
    assert hits[0].passage == Passage("1", "Owls hunt at night.")
    assert hits[0].score > hits[1].score > hits[2].score
    with pytest.raises(EngineError, match=r"has no field 'vectr'; there are pk, body, embedding"):
        MilvusRetriever(uri, "theirs", encoder=encoder, **{**names, "vector": "vectr"})
    with pytest.raises(EngineError, match="not those of a collection made here"):
        theirs.add([Passage("9", "more")])


def test_a_vector_of_other_length_is_refused(tmp_path, encoder, animals, monkeypatch):
    MilvusRetriever(str(tmp_path / "c.db"), encoder=encoder).add(animals)
    other = WordEncoder()
    monkeypatch.setattr(other, "dimension", 768)
    with pytest.raises(EngineError, match="have 384 dimensions, those of the encoder 'default' 768"):
        MilvusRetriever(str(tmp_path / "c.db"), encoder=other)


def test_what_is_not_there_is_said_and_not_made(tmp_path, encoder, file, hybrid):
    with pytest.raises(EngineError, match="is not there; `ragshap index CORPUS --kind milvus` makes it"):
        MilvusRetriever(str(tmp_path / "none.db"), encoder=encoder).search("x")
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(EngineError, match=r"collection 'nope' .* is not there"):
        MilvusRetriever(str(file), "nope", encoder=encoder).search("x")
    with pytest.raises(FileNotFoundError, match="no folder"):
        MilvusRetriever(str(tmp_path / "no" / "x.db"), encoder=encoder).add([Passage("a", "b")])
    with pytest.raises(EngineUnavailableError, match="localhost:9"):
        MilvusRetriever("http://localhost:9", encoder=encoder, timeout=1)
    with pytest.raises(EngineError, match="UNSET_TOKEN is not set"):
        MilvusRetriever("http://localhost:9", encoder=encoder, token_env="UNSET_TOKEN")
    with pytest.raises(EngineError, match="no address"):
        MilvusRetriever("islands.sqlite", encoder=encoder)
    with pytest.raises(ValueError, match="mode must be one of"):
        MilvusRetriever(str(file), mode="sparse")


def test_removed_passages_are_gone_and_ids_come_back(tmp_path, encoder, islands):
    retriever = MilvusRetriever(str(tmp_path / "own.db"), mode="dense", encoder=encoder)
    retriever.add(islands[:6])
    gone = [islands[1].id, islands[4].id]
    with pytest.raises(ValueError, match="no passage with the id 'nowhere' is there"):
        retriever.remove([gone[0], "nowhere"])
    assert len(retriever) == 6
    assert retriever.remove(gone) == 2
    assert {passage.id for passage in retriever.passages} == {p.id for p in islands[:6]} - set(gone)
    assert not {hit.passage.id for hit in retriever.search(islands[1].text, 6)} & set(gone)
    retriever.add([islands[1]])
    assert retriever.search(islands[1].full_text, 1)[0].passage == islands[1]


@pytest.mark.parametrize(
    ("code", "kind"), [("DEADLINE_EXCEEDED", EngineUnavailableError), ("UNAUTHENTICATED", EngineError)]
)
def test_a_call_that_fails_without_an_error_of_milvus_is_one_clear_line(file, encoder, monkeypatch, code, kind):
    import grpc

    class CallError(grpc.RpcError):
        def code(self):
            return grpc.StatusCode[code]

        def details(self):
            return "the call\nfailed"

    def search(*_, **__):
        raise CallError

    retriever = MilvusRetriever(str(file), encoder=encoder)
    monkeypatch.setattr(retriever._client, "search", search)
    with pytest.raises(EngineError, match="the call failed") as error:
        retriever.search("puffins")
    assert type(error.value) is kind
