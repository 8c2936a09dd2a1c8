"""The folder of the embedded reader's weights: what is kept, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from rag.readers.embedded import WeightsError
from rag.readers.embedded.model import CopyReaderConfig, CopyReaderModel
from rag.readers.embedded.weights import load_model, save_model

from .conftest import TOKENIZER


def test_weights_come_back_as_float16_kept_them(tmp_path):
    torch.manual_seed(4)
    model = CopyReaderModel(CopyReaderConfig(200, 32, 4, 64, 1, 1, 96))
    save_model(model, TOKENIZER, tmp_path)
    loaded = load_model(tmp_path)
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert after[name].dtype == torch.float32
        assert torch.equal(after[name], value.half().float()), name
    assert any(not torch.equal(after[name], value) for name, value in before.items()), "nothing was rounded"
    assert loaded.config == model.config
    assert loaded.decoder.get_input_embeddings().weight is loaded.encoder.get_input_embeddings().weight
    assert not list(tmp_path.glob("*.tmp"))


def damaged(folder: Path, target: Path) -> Path:
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "checksums.json"])
def test_missing_files_are_named(tiny_embedded, tmp_path, name):
    (damaged(tiny_embedded, tmp_path) / name).unlink()
    with pytest.raises(WeightsError, match=name):
        load_model(tmp_path)


def test_damage_is_noticed(tiny_embedded, tmp_path):
    weights = damaged(tiny_embedded, tmp_path) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="does not match its checksum"):
        load_model(tmp_path)
    (tmp_path / "checksums.json").write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match=r"checksums\.json is damaged"):
        load_model(tmp_path)


def test_only_safetensors_are_loaded(tiny_embedded, tmp_path):
    from hashlib import sha256

    weights = damaged(tiny_embedded, tmp_path) / "model.safetensors"
    torch.save({"a": torch.zeros(1)}, weights)
    checksums = json.loads((tmp_path / "checksums.json").read_text(encoding="utf-8"))
    checksums[weights.name] = sha256(weights.read_bytes()).hexdigest()
    (tmp_path / "checksums.json").write_text(json.dumps(checksums), encoding="utf-8")
    with pytest.raises(WeightsError, match="no safetensors file"):
        load_model(tmp_path)
