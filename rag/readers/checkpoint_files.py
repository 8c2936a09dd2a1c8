"""Where the parts of a checkpoint are: a model of `transformers`, an adapter of PEFT on top of one, or a GGUF file.

Needs neither torch nor `transformers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retrievers.storage.json_text import parse_json

CONVERT = (
    """python -c "import pathlib, torch, safetensors.torch as s; f = pathlib.Path('{folder}'); s.save_file({{k: """
    "v.contiguous().clone() for p in f.glob('pytorch_model*.bin') for k, v in torch.load(p, "
    """weights_only=True).items()}}, f / 'model.safetensors', {{'format': 'pt'}})\""""
)
"""The command that makes safetensors of torch's own files, without running what stands in them."""

_ADAPTER, _ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True)
class CheckpointFiles:
    """The parts of a checkpoint.

    Attributes:
        model: name or folder of the whole model.
        tokenizer: name or folder that has the tokenizer.
        gguf: the GGUF file in the folder; None for safetensors.
        adapter: folder of an adapter to merge into the model; None for none.
    """

    model: str
    tokenizer: str
    gguf: str | None = None
    adapter: Path | None = None

    @property
    def of_parts(self) -> dict[str, Any]:
        """Options with which `transformers` reads configuration and tokenizer."""
        return {} if self.gguf is None else {"gguf_file": self.gguf}

    @property
    def of_weights(self) -> dict[str, Any]:
        """Options with which `transformers` reads the weights.

        Those of a GGUF file are unpacked, because what computes with packed ones would be downloaded as code.
        """
        if self.gguf is None:
            return {"use_safetensors": True}
        from transformers.utils.quantization_config import GgufConfig

        return {"gguf_file": self.gguf, "quantization_config": GgufConfig(dequantize=True)}


def locate(checkpoint: str | Path) -> CheckpointFiles:
    """Find the parts of a checkpoint by its name, folder or GGUF file.

    Raises:
        ValueError: a package that reads it is not installed, or it is not clear what the model is.
        OSError: its weights are torch's own files and no safetensors.
    """
    name, path = str(checkpoint), Path(checkpoint)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise OSError("there is no such file")
        _need("a GGUF file", "gguf", "accelerate")
        return CheckpointFiles(str(path.parent), str(path.parent), path.name)
    base = adapted_model(path)
    if base is None:
        _check_folder(path)
        return CheckpointFiles(name, name)
    if (path / "config.json").is_file():
        raise ValueError(f"it holds a model and, in {_ADAPTER}, an adapter; keep one of the two in the folder")
    _need("an adapter", "peft")
    if not (path / _ADAPTER_WEIGHTS).is_file():
        raise OSError(f"it is an adapter without {_ADAPTER_WEIGHTS}; save it again with save_pretrained of peft")
    if not base:
        raise ValueError(f"its {_ADAPTER} does not name the model that it adapts (base_model_name_or_path)")
    if adapted_model(Path(base)) is not None:
        raise ValueError(f"it is an adapter of {base}, which is an adapter itself; merge that one first")
    below = locate(base)
    tokenizer = name if (path / "tokenizer_config.json").is_file() else below.tokenizer
    return CheckpointFiles(below.model, tokenizer, below.gguf, path)


def adapted_model(folder: Path) -> str | None:
    """What an adapter's folder names as the model that it adapts, perhaps nothing (""); None if it is no adapter."""
    path = folder / _ADAPTER
    if not path.is_file():
        return None
    content = parse_json(path.read_text(encoding="utf-8"))
    base = content.get("base_model_name_or_path") if isinstance(content, dict) else None
    return base if isinstance(base, str) else ""


def _check_folder(folder: Path) -> None:
    """Raise for a folder without safetensors, or with generation settings that would be passed over as unreadable."""
    pickled = sorted(path.name for path in folder.glob("pytorch_model*.bin"))
    if pickled and not any(folder.glob("*.safetensors")):
        raise OSError(
            f"it holds {pickled[0]} but no safetensors, and torch's own files can run code; convert them by "
            f"{CONVERT.format(folder=folder)}"
        )
    rules = folder / "generation_config.json"
    if rules.is_file():
        try:
            parse_json(rules.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"generation_config.json is damaged: {error}") from None


def _need(what: str, *packages: str) -> None:
    if lacking := [package for package in packages if find_spec(package) is None]:
        raise ValueError(f"{what} needs {' and '.join(lacking)}; pip install 'ragshap[checkpoints]'")
