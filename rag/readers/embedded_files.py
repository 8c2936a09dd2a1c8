"""The files of an embedded reader's folder, and whether they are intact; needs no torch."""

from __future__ import annotations

from pathlib import Path

from retrievers.storage.atomic import sha256_of
from retrievers.storage.json_text import parse_json

WEIGHTS = Path(__file__).parent / "embedded" / "weights"
FILES = ("model.safetensors", "config.json", "tokenizer.json")


class WeightsError(ValueError):
    """A folder does not hold usable weights; the message says why."""


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
