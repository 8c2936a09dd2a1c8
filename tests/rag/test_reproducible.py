"""The same seed gives the same numbers: in other runs, with other threads, and answers say what they were made with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval.records import Records
from rag import Answer, Pipeline
from rag.provenance import checksum, made_with, reader_checksum
from rag.readers.embedded import EmbeddedReader
from rag.settings import ReaderSettings
from rag.settings_base import SettingsError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ISLANDS = ROOT / "examples" / "islands"
QUESTION = "How high is Hvannadalshnjúkur?"
OVERRIDES = ["attribution.budget=96", "retriever.passages=12", "attribution.minimal_sets=0"]
RUN = """
import json, sys, torch
from rag import Pipeline, Reranker, load_settings
corpus, threads, question, *overrides = sys.argv[1:]
overrides.append(f"threads={threads}")
pipeline = Pipeline.from_config("default", corpus=corpus, overrides=overrides)
assert torch.get_num_threads() == int(threads)
reranker = Reranker(pipeline.reader, pipeline.settings)
said = {"votes": pipeline.ask(question).to_dict()}
said["reranked"] = [[hit.passage.id, hit.score] for hit in reranker.rerank(question, pipeline.search(question))]
for name, change in (("seed", "attribution.seed=1"), ("likelihood", "attribution.utility=likelihood")):
    pipeline.settings = load_settings(overrides=[*overrides, change])
    said[name] = pipeline.ask(question).to_dict()
for name in ("votes", "seed", "likelihood"):
    del said[name]["seconds"], said[name]["settings"]["threads"]
print(json.dumps(said))
"""


def ask(threads: int) -> dict[str, Any]:
    """What a process of its own says."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(threads)}
    command = [sys.executable, "-c", RUN, str(ISLANDS), str(threads), QUESTION, *OVERRIDES]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.fixture(scope="module")
def once() -> dict[str, Any]:
    return ask(1)


def test_another_run_with_two_threads_says_the_same(once):
    again = ask(2)
    assert again["votes"] == once["votes"]
    assert again["reranked"] == once["reranked"]
    one, two = (said["likelihood"]["attribution"] for said in (once, again))
    np.testing.assert_allclose(two["values"], one["values"], rtol=1e-4, atol=1e-4)  # sums of floats, in another order
    assert (two["evaluations"], two["players"]) == (one["evaluations"], one["players"])


def test_another_seed_draws_other_coalitions(once):
    assert once["seed"]["answer"] == once["votes"]["answer"]
    assert once["seed"]["attribution"]["values"] != once["votes"]["attribution"]["values"]


def test_votes_hold_where_logits_differ_by_a_little(once):
    """As on another machine: all weights moved by a relative 1e-6, some ten times the rounding of float32."""
    pipeline = Pipeline.from_config("default", corpus=ISLANDS, overrides=[*OVERRIDES, "threads=1"])
    assert isinstance(pipeline.reader, EmbeddedReader)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in pipeline.reader.model.parameters():
            value *= 1 + 1e-6 * torch.randn(value.shape, generator=generator)
    answer = pipeline.ask(QUESTION)
    assert answer.text == once["votes"]["answer"]
    np.testing.assert_array_equal(answer.attribution.values, once["votes"]["attribution"]["values"])


def test_answers_say_what_they_were_made_with(once):
    settings = once["votes"]["settings"]
    made = settings["made_with"]
    assert made["reader"] == reader_checksum(ReaderSettings())
    assert made["files"] == {"corpus": checksum(ISLANDS)}
    assert {"ragshap", "torch", "transformers", "numpy"} <= made["versions"].keys()
    assert settings["attribution"]["seed"] == 0
    assert Answer.from_dict({**once["votes"], "seconds": {}}).settings["made_with"] == made


def test_a_checksum_is_of_names_and_contents_and_an_index_stands_for_itself(tmp_path):
    (tmp_path / "a").write_text("x", encoding="utf-8")
    first = checksum(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = checksum(tmp_path)
    (tmp_path / "b").write_text("y", encoding="utf-8")
    assert len({first, renamed, checksum(tmp_path)}) == 3
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    listed = checksum(tmp_path)
    (tmp_path / "b").write_text("z", encoding="utf-8")
    assert checksum(tmp_path) == listed, "a manifest holds the checksums of what is beside it"


def test_records_go_on_with_other_versions_and_say_so(tmp_path):
    made = made_with({"k": 1}, None, [])
    records = Records(tmp_path / "records.jsonl", made)
    records.add({"id": "a"})
    records.close()
    newer = Records(tmp_path / "records.jsonl", {**made, "versions": {**made["versions"], "torch": "99"}})
    newer.close()
    assert "a" in newer
    assert newer.warnings == ["records.jsonl was begun with other versions: torch"]
    same = Records(tmp_path / "records.jsonl", made)
    same.close()
    assert same.warnings == []
    with pytest.raises(SettingsError, match=r"made with other settings\.k"):
        Records(tmp_path / "records.jsonl", {**made, "settings": {"k": 2}})
