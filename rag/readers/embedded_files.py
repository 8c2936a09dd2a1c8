"""The folders of embedded readers, and whether their files are intact; needs no torch."""

from __future__ import annotations

import os
from pathlib import Path

from retrievers.storage.atomic import sha256_of
from retrievers.storage.json_text import parse_json

_PACKAGE = Path(__file__).parent / "embedded"
WEIGHTS = _PACKAGE / "weights"
SHIPPED = {"embedded": WEIGHTS, "base": _PACKAGE / "base_weights"}
FILES = ("model.safetensors", "config.json", "tokenizer.json")


class WeightsError(ValueError):
    """A folder does not hold usable weights; the message says why."""


def embedded_folder(checkpoint: str) -> Path | None:
    """The folder of an embedded reader, which ships under this name or was made by `ragshap train`; None of others."""
    folder = SHIPPED.get(checkpoint, Path(checkpoint))
    return folder if checkpoint in SHIPPED or os.path.isfile(folder / "checksums.json") else None


def check_files(folder: Path) -> None:
    """Compare a folder's files with their checksums; raises `WeightsError` if one is missing or damaged."""
    try:
        checksums = parse_json((folder / "checksums.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{folder} holds no embedded reader: checksums.json is missing") from None
    except ValueError:
        checksums = None
    if not isinstance(checksums, dict):
        raise WeightsError(f"{folder / 'checksums.json'} is damaged; install or train the reader again")
    for name in FILES:
        path = folder / name
        if not path.exists():
            raise WeightsError(f"{path} is missing; install or train the reader again")
        if sha256_of(path) != checksums.get(name):
            raise WeightsError(f"{path} does not match its checksum; install or train the reader again")
