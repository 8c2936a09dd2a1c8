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
_SCALE = ".scale"  # behind the name of a matrix, that of its scales, (n_rows, n_columns / _GROUP)
_GROUP = 32
_LEAST = 2.0**-24  # of the numbers above 0 in float16
_PRETRAINED, _ADAPTERS = "encoder.pretrained.", (".down", ".up")  # what is frozen, and what in it is not
_SHARED = "decoder.embeddings.word_embeddings.weight"  # a second name of the encoder's word embeddings


def save_model(model: CopyReaderModel, tokenizer: Path, folder: Path) -> None:
    """Write a model's folder; it appears complete or not at all.

    Of matrices, every 32 numbers of a row are kept in int8 with a common scale in float16, as in GGUF's Q8_0. A scale
    for each row would lose more: the pointer's projections are near the identity, so one number of a row is large.
    Vectors are kept in float16.
    """
    with new_folder(folder) as building:
        save_file(_packed(own_state(model)), building / "model.safetensors")
        model.config.save(building / "config.json")
        shutil.copyfile(tokenizer, building / "tokenizer.json")
        checksums = {name: sha256_of(building / name) for name in FILES}
        (building / "checksums.json").write_text(json.dumps(checksums, indent=2) + "\n", encoding="utf-8")


def own_state(model: CopyReaderModel) -> dict[str, torch.Tensor]:
    """The state of a model without its frozen part and its second name for the shared word embeddings."""
    return {name: value.contiguous() for name, value in model.state_dict().items() if _is_own(name)}


def _is_own(name: str) -> bool:
    return name != _SHARED and (not name.startswith(_PRETRAINED) or name.endswith(_ADAPTERS))


def load_model(folder: Path) -> CopyReaderModel:
    """The model of a folder, in float32.

    Raises:
        WeightsError: a file is missing or damaged.
        ImportError, OSError: the folder holds adapters of all-mpnet-base-v2, which cannot be had; see `locate_base`.
    """
    check_files(folder)
    try:
        config = CopyReaderConfig.load(folder / "config.json")
    except ValueError as error:
        raise WeightsError(f"{folder / 'config.json'} is no configuration of the reader: {error}") from None
    try:
        tensors = load_file(folder / "model.safetensors")
    except SafetensorError as error:
        raise WeightsError(f"{folder / 'model.safetensors'} is no safetensors file: {error}") from None
    try:
        state = _unpacked(tensors)
    except ValueError as error:
        raise WeightsError(f"{folder / 'model.safetensors'}: {error}") from None
    if not config.fits({name: value.shape for name, value in state.items()}):  # before memory is taken for it
        raise WeightsError(f"{folder}: config.json does not fit the weights")
    model = CopyReaderModel(config)
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{folder} does not fit the model: {error}") from None
    missing, unexpected = list(filter(_is_own, missing)), [*unexpected, *(name for name in state if not _is_own(name))]
    if missing or unexpected:
        raise WeightsError(f"{folder} does not fit the model: missing {missing}, unexpected {unexpected}")
    return model


def _packed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    packed: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if value.ndim == 2 and value.shape[1] % _GROUP == 0:
            groups = value.float().cpu().unflatten(1, (-1, _GROUP))
            scale = (groups.abs().amax(dim=2) / 127).half()
            whole = (groups / scale.float().clamp(min=_LEAST)[..., None]).round().clamp(-127, 127)
            packed |= {name: whole.to(torch.int8).flatten(1), name + _SCALE: scale}
        else:
            packed[name] = value.half().cpu()
    return packed


def _unpacked(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state in float32; raises ValueError for a matrix in int8 whose scales are missing or do not fit it."""
    state = {}
    for name, value in tensors.items():
        if value.dtype == torch.int8:
            scale = tensors.get(name + _SCALE)
            if scale is None or (*scale.shape[:1], scale.shape[-1] * _GROUP) != value.shape:
                raise ValueError(f"{name} is in int8 without a scale for every {_GROUP} numbers of a row")
            state[name] = (value.unflatten(1, (-1, _GROUP)) * scale.float()[..., None]).flatten(1)
        elif not name.endswith(_SCALE):
            state[name] = value.float()
    return state
