"""One reader is attributed, another gives the final answer: what each is asked, and for whom each face speaks."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from rag import Answer, Pipeline, load_settings
from rag.report import print_answer
from rag.service.operations import Engine
from rag.settings_base import SettingsError
from retrievers import Passage

from .conftest import ScriptedReader, WordReader
from .readers.prompt.conftest import Server


class FirstReader(ScriptedReader):
    """Answers with the title of the first visible passage; notes what it was asked."""

    name = "first"

    def __init__(self, suffix: str = "") -> None:
        self.asked: list[list[str]] = []
        self.closed = 0
        self.suffix = suffix

    def encode(self, question, passages):
        return replace(super().encode(question, passages), state=[p.title for p in passages])

    def generate(self, encoded, coalitions):
        seen = [[title for title, on in zip(encoded.state, row, strict=True) if on] for row in np.asarray(coalitions)]
        self.asked += seen
        return [titles[0] + self.suffix if titles else "" for titles in seen]

    def close(self):
        self.closed += 1


def explain(passages, answerer, *overrides, **given):
    settings = load_settings(overrides=["rerank.keep=2", *overrides])
    return Pipeline(None, ScriptedReader(), settings, answerer=answerer).explain("where?", passages, **given)


def terminal(answer) -> str:
    console = Console(width=100, file=io.StringIO(), record=True)
    print_answer(answer, console)
    return " ".join(console.export_text().split())


def test_the_other_reader_answers_once_from_the_kept_passages_best_first(passages):
    answerer = FirstReader()
    answer = explain(passages, answerer)
    alone = explain(passages, None)
    kept = [e.passage.title for e in answer.evidence if e.kept]
    assert kept == ["second", "third"]
    assert answerer.asked == [kept]
    assert (answer.text, answer.full_text) == ("second", "Paris")
    assert (answer.readers.answering, answer.readers.attributed) == ("first", "scripted")
    assert alone.readers is None
    assert answer.attribution == alone.attribution
    assert answer.others == alone.others


def test_its_own_answer_is_attributed_to_the_kept_passages(passages):
    explanation = explain(passages, FirstReader(), "hierarchy.level=passage", "answer.attribute=true",
                          "answer.reader.checkpoint=embedded").readers.explanation  # fmt: skip
    # Whoever is the first of the two is the answer: "second" comes from its passage alone.
    assert explanation.full_text == explanation.text == "second"
    assert {e.passage.title: e.value for e in explanation.evidence} == {"second": 1.0, "third": 0.0}
    assert {e.passage.title: e.rank for e in explanation.evidence} == {"second": 2, "third": 3}
    assert explanation.attribution.estimator == "exact"


@pytest.mark.parametrize("attribute", [False, True])
def test_a_rehearsal_announces_the_other_readers_cost_too(passages, attribute):
    class Costly(FirstReader):
        batch_size = 8

        def __init__(self):
            super().__init__()
            self.announced = []

        def announce(self, encoded, calls, words=0, scored=""):
            self.announced.append((len(encoded.passages), calls))

    answerer, overrides = Costly(), ["rerank.keep=2"]
    if attribute:
        overrides += ["answer.attribute=true", "answer.reader.checkpoint=embedded"]
    pipeline = Pipeline(None, ScriptedReader(), load_settings(overrides=overrides), answerer=answerer)
    bound = pipeline.rehearse("where?", passages)
    assert answerer.asked == []
    own = 2**2 if attribute else 1
    assert (answerer.announced, bound) == ([(2, own)], 2**4 + own)
    pipeline.explain("where?", passages)
    assert answerer.announced == [(2, own)] * 2, "what is announced before is what is announced then"
    assert pipeline.rehearse("where?", passages, answer="it is Paris.") == 2**4
    assert len(answerer.announced) == 2


def test_a_rehearsal_counts_the_spans():
    words = "one two three four five six".split()
    notes = [f"note {place}" for place in range(12)]
    settings = load_settings(overrides=["attribution.budget=20"])
    pipeline = Pipeline(None, WordReader(), settings)
    bound = pipeline.rehearse("where?", notes, answer=" ".join(words), spans=words)
    assert bound == 20 + 2 * 6
    assert bound > pipeline.rehearse("where?", notes, answer=" ".join(words))


def test_every_face_says_for_whom_it_speaks(passages):
    attributed = ["answer.attribute=true", "answer.reader.checkpoint=embedded"]
    for answer in (explain(passages, FirstReader()), explain(passages, FirstReader(), *attributed)):
        own = answer.readers.explanation
        for shown in (terminal(answer), " ".join(answer.to_html().split()), " ".join(answer.to_markdown().split())):
            assert "The reader first gave the final answer from the 2 kept passages." in shown
            assert "The values speak for the reader scripted, which answers “Paris” from all 4 passages." in shown
            assert "this answer" not in shown
        assert answer.to_markdown().startswith("second [1]\n" if own else "second [1][2]\n")
        assert ("values of the kept passages for “second”, the final answer" in terminal(answer)) is bool(own)
        assert ("own values</h2>" in answer.to_html()) is bool(own)
        content = json.loads(answer.to_json())
        assert (content["answer"], content["full_answer"]) == ("second", "Paris")
        assert content["readers"]["answering"] == "first"
        assert Answer.from_json(answer.to_json()) == answer
        assert Answer.from_json(answer.to_json()).to_html() == answer.to_html()
    older = {name: value for name, value in answer.to_dict().items() if name != "readers"}
    assert Answer.from_dict(older).readers is None


def test_a_long_final_answer_is_attributed_sentence_by_sentence(passages):
    class Talker(WordReader):
        name = "talker"

        def generate(self, encoded, coalitions):
            return ["others say it is Paris and nobody has ever doubted that. The guide names Paris too."] * len(
                coalitions
            )

    answer = explain(passages, Talker(), "answer.attribute=true", "answer.reader.checkpoint=embedded")
    own = answer.readers.explanation
    assert [own.citations.text(one) for one in own.citations.sentences][1] == "The guide names Paris too."
    assert "The guide names Paris too." in answer.to_html()
    assert "The guide names Paris too. [" in answer.to_markdown()
    assert Answer.from_json(answer.to_json()) == answer


def test_a_given_answer_needs_no_final_one(passages):
    answerer = FirstReader()
    answer = Pipeline(None, WordReader(), answerer=answerer).explain("where?", passages, answer="it is Paris.")
    assert answerer.asked == []
    assert answer.readers is None


def test_without_any_passage_the_question_is_asked_alone():
    answer = explain([], FirstReader())
    assert answer.text == ""
    assert "gave the final answer from the question alone" in terminal(answer)
    answer.to_html()


def test_what_is_to_be_said_of_the_final_answer_names_its_reader(passages):
    class Remarking(FirstReader):
        def remarks(self, encoded):
            return ["1 of 1 reply was cut"]

    assert "first, which gave the final answer: 1 of 1 reply was cut" in explain(passages, Remarking()).warnings


def test_both_readers_are_closed_and_changed_settings_keep_both(passages):
    attributed, answerer = FirstReader(), FirstReader("!")
    with Pipeline(None, attributed, answerer=answerer) as pipeline:
        changed = Engine(pipeline).explain("where?", passages, {"attribution.budget": 20})
    assert changed.text.endswith("!")
    assert not changed.full_text.endswith("!")
    assert attributed.closed == answerer.closed == 1


def test_a_causal_model_answers_for_the_attributed_reader(llama, passages):
    overrides = [f"answer.reader.checkpoint={llama}", "answer.reader.max_answer_tokens=3", "rerank.keep=2"]
    pipeline = Pipeline(None, ScriptedReader(), load_settings(overrides=[*overrides, "answer.attribute=true"]))
    answer = pipeline.explain("where?", passages)
    kept = [e.passage for e in answer.evidence if e.kept]
    rows = np.ones((1, 2), dtype=bool)
    assert answer.text == pipeline.answerer.generate(pipeline.answerer.encode("where?", kept), rows)[0]
    assert answer.readers.answering == str(llama)
    assert answer.readers.explanation.attribution.evaluations == 4


def test_an_endpoint_answers_from_the_command_line(tmp_path, capfd):
    from rag.cli import run

    server = Server()
    try:
        file = tmp_path / "mine.jsonl"
        texts = ["The rock is the capital Oslo.", "The old tower is high.", "Ferries go north."]
        file.write_text("\n".join(json.dumps({"id": str(i), "text": text}) for i, text in enumerate(texts)))
        more = ["--set", f"answer.reader.checkpoint={server.url}#tiny", "--set", "answer.reader.endpoint.cache=null"]
        command = ["explain", "Which capital is it?", "--passages", str(file), "--json", "--quiet", *more]
        assert run([*command, "--set", "rerank.keep=1"]) == 0
        answer = json.loads(capfd.readouterr().out)
        assert len(server.bodies) == 1
        assert answer["answer"] == "Oslo"
        assert answer["readers"] == {
            "answering": f"{server.url}#tiny",
            "attributed": answer["settings"]["reader_name"],
            "explanation": None,
        }
        assert answer["settings"]["made_with"]["answer_reader"] == f"{server.url}#tiny"
        server.faults.extend([(400, {}, b"no such model")] * 9)
        assert run(command) == 1
        assert "no such model" in capfd.readouterr().err
    finally:
        server.close()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["answer.attribute=true"], "answer: attribute is for the answer of another reader; name it in answer.reader"),
        (["answer.reader.checkpoin=x"], "answer.reader.checkpoin: unknown setting; did you mean 'checkpoint'"),
        (["answer.reader=qwen"], "answer.reader: Input should be a valid dictionary"),
        (["answer.reader.checkpoint=http://h/v1"], "answer.reader: checkpoint must be URL#MODEL"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_honoured(overrides, message):
    with pytest.raises(SettingsError) as error:
        load_settings(overrides=overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_reader_that_cannot_be_loaded_is_named_by_its_key(tmp_path):
    attributed = FirstReader()
    settings = load_settings(overrides=[f"answer.reader.checkpoint={tmp_path}"])
    with pytest.raises(SettingsError, match=r"^answer\.reader\.checkpoint: "):
        Pipeline(None, attributed, settings)
    assert attributed.closed == 1


def test_passages_with_odd_names_are_shown_harmlessly():
    odd = [Passage("<b>", "it is Paris.", "<script>"), Passage("b", "it is Rome.", "x")]
    page = explain(odd, FirstReader(), "answer.attribute=true", "answer.reader.checkpoint=embedded").to_html()
    assert "<script>" not in page
