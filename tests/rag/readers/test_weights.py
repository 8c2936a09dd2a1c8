"""The folder of the embedded reader's weights: what is kept, and what is refused."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from rag.readers.embedded import WeightsError
from rag.readers.embedded.model import CopyReaderConfig, CopyReaderModel
from rag.readers.embedded.weights import load_model, save_model

from .conftest import TOKENIZER


def test_weights_come_back_as_int8_and_float16_kept_them(tmp_path):
    torch.manual_seed(4)
    model = CopyReaderModel(CopyReaderConfig(200, 32, 4, 64, 1, 1, 96))
    save_model(model, TOKENIZER, tmp_path)
    loaded = load_model(tmp_path)
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert after[name].dtype == torch.float32
        if value.ndim == 1:
            assert torch.equal(after[name], value.half().float()), name
            continue
        for kept, group in zip(after[name].reshape(-1, 32), value.reshape(-1, 32), strict=True):
            step = group.abs().max() / 127
            assert float((kept - group).abs().max()) <= 0.55 * float(step), name  # half a step, and the step's rounding
    assert any(not torch.equal(after[name], value) for name, value in before.items()), "nothing was rounded"
    assert loaded.config == model.config
    assert loaded.decoder.get_input_embeddings().weight is loaded.encoder.get_input_embeddings().weight
    assert not list(tmp_path.glob("*.tmp"))


def damaged(folder: Path, target: Path) -> Path:
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def sign(file: Path) -> None:
    """Make the checksums fit a changed file."""
    path = file.parent / "checksums.json"
    checksums = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(checksums | {file.name: sha256(file.read_bytes()).hexdigest()}), encoding="utf-8")


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


@pytest.mark.parametrize("wrong", ["no scale", "scale of another length"])
def test_a_matrix_in_int8_needs_its_scales(tiny_embedded, tmp_path, wrong):
    from safetensors.torch import load_file, save_file

    weights = damaged(tiny_embedded, tmp_path) / "model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in tensors if name.endswith(".scale"))
    if wrong == "no scale":
        del tensors[name]
    else:
        tensors[name] = tensors[name][1:].clone()
    save_file(tensors, weights)
    sign(weights)
    with pytest.raises(WeightsError, match="in int8 without a scale for every 32 numbers of a row"):
        load_model(tmp_path)


def test_only_safetensors_are_loaded(tiny_embedded, tmp_path):
    weights = damaged(tiny_embedded, tmp_path) / "model.safetensors"
    torch.save({"a": torch.zeros(1)}, weights)
    sign(weights)
    with pytest.raises(WeightsError, match="no safetensors file"):
        load_model(tmp_path)
