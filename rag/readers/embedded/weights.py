"""The embedded reader's folder: weights, configuration, tokenizer and a checksum."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rag.readers.embedded.model import CopyReaderConfig, CopyReaderModel
from rag.readers.embedded_files import FILES, WEIGHTS, WeightsError, check_files
from retrievers.storage.atomic import new_folder, sha256_of

__all__ = ["WEIGHTS", "WeightsError", "load_model", "own_state", "save_model"]
_SHARED = "decoder.embeddings.word_embeddings.weight"  # a second name of the encoder's word embeddings


def save_model(model: CopyReaderModel, tokenizer: Path, folder: Path) -> None:
    """Write a model's folder, with weights in float16; it appears complete or not at all."""
    tensors = {name: value.half().cpu() for name, value in own_state(model).items()}
    with new_folder(folder) as building:
        save_file(tensors, building / "model.safetensors")
        model.config.save(building / "config.json")
        shutil.copyfile(tokenizer, building / "tokenizer.json")
        checksums = {name: sha256_of(building / name) for name in FILES}
        (building / "checksums.json").write_text(json.dumps(checksums, indent=2) + "\n", encoding="utf-8")


def own_state(model: CopyReaderModel) -> dict[str, torch.Tensor]:
    """The state of a model without its second name for the shared word embeddings."""
    return {name: value.contiguous() for name, value in model.state_dict().items() if name != _SHARED}


def load_model(folder: Path) -> CopyReaderModel:
    """The model of a folder, in float32; raises `WeightsError` if a file is missing or damaged."""
    check_files(folder)
    try:
        config = CopyReaderConfig.load(folder / "config.json")
    except ValueError as error:
        raise WeightsError(f"{folder / 'config.json'} is no configuration of the reader: {error}") from None
    try:
        tensors = load_file(folder / "model.safetensors")
    except SafetensorError as error:
        raise WeightsError(f"{folder / 'model.safetensors'} is no safetensors file: {error}") from None
    if not config.fits({name: value.shape for name, value in tensors.items()}):  # before memory is taken for it
        raise WeightsError(f"{folder}: config.json does not fit the weights")
    model = CopyReaderModel(config)
    try:
        missing, unexpected = model.load_state_dict(
            {name: value.to(torch.float32) for name, value in tensors.items()}, strict=False
        )
    except RuntimeError as error:
        raise WeightsError(f"{folder} does not fit the model: {error}") from None
    if set(missing) != {_SHARED} or unexpected:
        raise WeightsError(f"{folder} does not fit the model: missing {missing}, unexpected {unexpected}")
    return model
