"""Model folders that carry code, pickles, or headers that lie: refused in one clear error, and nothing runs."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

from rag.readers.embedded.weights import WEIGHTS, WeightsError, load_model
from rag.readers.loading import load_reader
from rag.settings import ReaderSettings
from rag.settings_base import SettingsError
from retrievers.storage.atomic import sha256_of

from ..rag.checkpoints import make_gpt2, make_t5

CODE = "from pathlib import Path\nPath({path!r}).write_text('ran')\nfrom transformers import T5Config as {name}\n"


class Runs:
    """Unpickling it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "ran")


@pytest.fixture(scope="module")
def seq2seq(tmp_path_factory) -> Path:
    return make_t5(tmp_path_factory.mktemp("models") / "t5")


@pytest.fixture(scope="module")
def causal(tmp_path_factory) -> Path:
    return make_gpt2(tmp_path_factory.mktemp("models") / "gpt2")


def load(folder: Path) -> None:
    load_reader(ReaderSettings(checkpoint=str(folder), max_block_tokens=64))


def changed(folder: Path, **values) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, **values}))


@pytest.mark.parametrize("kind", ["seq2seq", "causal"])
def test_code_in_a_checkpoint_never_runs(kind, request, tmp_path):
    folder, ran = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(request.getfixturevalue(kind), folder)
    for file in ("configuration_evil.py", "modeling_evil.py", "tokenization_evil.py"):
        (folder / file).write_text(CODE.format(path=str(ran), name="Evil"))
    maps = {name: f"modeling_evil.{name}" for name in ("AutoModel", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM")}
    changed(folder, auto_map={"AutoConfig": "configuration_evil.Evil", **maps})
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer["auto_map"] = {"AutoTokenizer": ["tokenization_evil.Evil", "tokenization_evil.Evil"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    load(folder)  # its kind is known here, so that its own code is not needed
    changed(folder, model_type="evil")
    with pytest.raises(SettingsError, match="cannot be loaded"):
        load(folder)
    assert not ran.exists()


@pytest.mark.parametrize("kind", ["seq2seq", "causal"])
def test_pickled_weights_are_never_opened(kind, request, tmp_path):
    folder, ran = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(request.getfixturevalue(kind), folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Runs(ran)))
    load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(SettingsError, match="safetensors"):
        load(folder)
    assert not ran.exists()


HEADERS = [
    b"",
    b"\xff" * 8,
    (2**40).to_bytes(8, "little") + b"{}",
    (10).to_bytes(8, "little") + b"[" * 10,
    (100_000).to_bytes(8, "little") + b"[" * 100_000,
    b"\x80\x04cos\nsystem\n(S'id'\ntR.",
]


@pytest.mark.parametrize("raw", HEADERS, ids=range(len(HEADERS)))
def test_weights_that_are_no_safetensors(raw, seq2seq, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(seq2seq, folder)
    (folder / "model.safetensors").write_bytes(raw)
    with pytest.raises(SettingsError, match="cannot be loaded"):
        load(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "generation_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["", "[" * 100_000, "[]", "7", '{"model_type": ["t5"]}', "\0\ud800"], ids=range(6))
def test_damaged_json_in_a_checkpoint(file, text, seq2seq, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(seq2seq, folder)
    (folder / file).write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load(folder)
    except SettingsError as error:
        assert "cannot be loaded" in str(error)  # noqa: PT017 - a checkpoint may also do without the file


@pytest.fixture
def embedded(tmp_path) -> Path:
    folder = tmp_path / "reader"
    shutil.copytree(WEIGHTS, folder)
    return folder


def write_signed(folder: Path, name: str, raw: bytes) -> None:
    """A file and the checksum that makes it look untouched."""
    (folder / name).write_bytes(raw)
    checksums = json.loads((folder / "checksums.json").read_text())
    (folder / "checksums.json").write_text(json.dumps({**checksums, name: sha256_of(folder / name)}))


CONFIGS = [
    "",
    "[]",
    "[" * 100_000,
    '{"unknown": 1}',
    '{"hidden_size": "384"}',
    '{"hidden_size": -1}',
    '{"heads": 0}',
    '{"hidden_size": 1000000000, "intermediate_size": 1000000000}',
    '{"vocab_size": 1000000000000}',
    '{"encoder_layers": 1000000000}',
    '{"max_block_tokens": 10000000000}',
    '{"no_answer_threshold": "high"}',
    '{"encoder_layers": 5}',
]


@pytest.mark.parametrize("text", CONFIGS)
def test_an_embedded_reader_whose_configuration_lies(text, embedded):
    write_signed(embedded, "config.json", text.encode())
    with pytest.raises(WeightsError):
        load_model(embedded)


@pytest.mark.parametrize("raw", HEADERS, ids=range(len(HEADERS)))
def test_an_embedded_reader_without_safetensors(raw, embedded):
    write_signed(embedded, "model.safetensors", raw)
    with pytest.raises(WeightsError):
        load_model(embedded)


@pytest.mark.parametrize("raw", [b"", b"[" * 100_000, b"\xff"], ids=range(3))
def test_an_embedded_reader_whose_tokenizer_is_none(raw, embedded):
    write_signed(embedded, "tokenizer.json", raw)
    with pytest.raises(ValueError, match="is no tokenizer"):
        load_reader(ReaderSettings(checkpoint=str(embedded)))


@pytest.mark.parametrize("text", ["", "[]", "7", "null", "[" * 100_000, '{"config.json": []}', '"x"'])
def test_checksums_that_are_none(text, embedded):
    (embedded / "checksums.json").write_text(text)
    with pytest.raises(WeightsError):
        load_model(embedded)
