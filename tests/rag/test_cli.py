"""The command, run as a user runs it, with the embedded reader."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rag.cli import run
from rag.cli.app import _COMMANDS

EXAMPLES = Path(__file__).parents[2] / "examples" / "islands"


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "islands.index"
    assert run(["index", str(EXAMPLES), "--out", str(folder)]) == 0
    return folder


def test_ask_answers_with_evidence_as_json_and_page(index, tmp_path, capfd):
    page = tmp_path / "why.html"
    question = "How high is Hvannadalshnjúkur?"
    code = run(["ask", question, "-i", str(index), "-k", "6", "--json", "--html", str(page)])
    out, _ = capfd.readouterr()
    assert code == 0
    content = json.loads(out)
    assert content["answer"] == "2,110 metres"
    assert content["evidence"][0]["id"] == "hvannadalshnjukur-2"
    assert content["evidence"][0]["value"] > 0.5
    assert sum(e["value"] for e in content["evidence"]) == pytest.approx(1)
    assert "2,110 metres" in page.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [page]


def test_ask_of_a_folder_of_text_files(tmp_path, capfd):
    (tmp_path / "boat.txt").write_text("The ferry Smyril sails between Tórshavn and Suduroy.", encoding="utf-8")
    (tmp_path / "notes.md").write_text("# Sheep\n\nSheep graze on the steep slopes all year.", encoding="utf-8")
    code = run(["ask", "Which ferry sails to Suduroy?", "--corpus", str(tmp_path), "--json"])
    content = json.loads(capfd.readouterr().out)
    assert code == 0
    assert content["answer"].endswith("Smyril")
    assert content["evidence"][0]["id"] == "boat.txt"


def test_explain_over_passages_of_ones_own(tmp_path, capfd):
    mine = tmp_path / "mine.jsonl"
    rows = [{"id": "b", "text": "Oslo is the capital of Norway."}, {"id": "c", "text": "Cats sleep a lot."}]
    mine.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert run(["explain", "What is the capital of Norway?", "-p", str(mine), "--json"]) == 0
    content = json.loads(capfd.readouterr().out)
    assert content["answer"] == "Oslo"
    assert [e["id"] for e in content["evidence"]] == ["b", "c"]
    assert content["attribution"]["evaluations"] == 4


def test_explain_an_answer_of_ones_own(tmp_path, capfd):
    mine, own = tmp_path / "mine.jsonl", tmp_path / "answer.txt"
    rows = [{"id": "b", "text": "Oslo is the capital of Norway."}, {"id": "c", "text": "Cats sleep a lot."}]
    mine.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    given = "Cats sleep a lot. Oslo is the capital of Norway."
    own.write_text(f"{given}\n", encoding="utf-8")
    command = ["explain", "What sleeps, and what is the capital?", "-p", str(mine), "--answer"]
    assert run([*command, str(own), "--json"]) == 0
    content = json.loads(capfd.readouterr().out)
    assert content["answer"] == given
    assert [s["passages"][:1] for s in content["citations"]["sentences"]] == [["c"], ["b"]]
    assert run([*command, given, "--markdown"]) == 0
    assert capfd.readouterr().out.startswith(
        "Cats sleep a lot. [1] Oslo is the capital of Norway. [2]\n\n1. **c**: Cats"
    )
    assert run([*command, " ", "--json"]) == 1
    assert capfd.readouterr().err.count("\n") == 1
    assert run([*command, given, "--span", "18:22", "--span", "capital of  Norway", "--json"]) == 0
    content = json.loads(capfd.readouterr().out)
    assert [s["text"] for s in content["citations"]["sentences"]] == ["Oslo", "capital of Norway"]
    assert [s["passages"][:1] for s in content["citations"]["sentences"]] == [["b"], ["b"]]
    assert run([*command, given, "--span", "a boat"]) == 1
    assert "does not hold the words 'a boat'" in capfd.readouterr().err


def test_explain_down_to_the_word(tmp_path, capfd):
    mine, page = tmp_path / "mine.jsonl", tmp_path / "why.html"
    rows = [{"id": "b", "text": "Oslo is the capital of Norway."}, {"id": "c", "text": "Cats sleep a lot."}]
    mine.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    few = ["-s", "hierarchy.permutations=8", "-s", "hierarchy.shared=2"]
    command = ["explain", "What is the capital of Norway?", "-p", str(mine), "--level", "word", *few]
    assert run([*command, "--json", "--html", str(page)]) == 0
    content = json.loads(capfd.readouterr().out)["hierarchy"]
    assert content["version"] == 2
    assert content["question"] is None
    assert content["passages"][1]["parts"] == []
    (sentence,) = content["passages"][0]["parts"]
    words = {rows[0]["text"][word["start"] : word["end"]]: word["value"] for word in sentence["parts"]}
    assert list(words) == rows[0]["text"].split()
    assert sum(words.values()) == pytest.approx(sentence["value"]) == pytest.approx(1)
    assert max(words, key=words.get) == "Oslo"
    assert 'title="word: ' in page.read_text(encoding="utf-8")


def test_explain_the_words_of_the_question(tmp_path, capfd):
    mine = tmp_path / "mine.jsonl"
    mine.write_text(json.dumps({"id": "b", "text": "Oslo is the capital of Norway."}), encoding="utf-8")
    few = ["-s", "hierarchy.permutations=8", "-s", "hierarchy.shared=2"]
    question = "What is the capital of Norway?"
    assert run(["explain", question, "-p", str(mine), "--question-words", *few, "--json"]) == 0
    content = json.loads(capfd.readouterr().out)["hierarchy"]
    assert (content["level"], content["passages"][0]["parts"]) == ("passage", [])
    words = content["question"]["parts"]
    assert [question[word["start"] : word["end"]] for word in words] == question.split()
    assert content["passages"][0]["value"] + sum(word["value"] for word in words) == pytest.approx(1)


def test_sampling_stops_when_the_first_are_certain_and_says_so(index, capfd):
    rule = ["-s", "attribution.until=top-k certain", "-s", "attribution.margin=0.1", "-s", "rerank.keep=2"]
    question = "How high is Hvannadalshnjúkur?"
    assert run(["ask", question, "-i", str(index), "-k", "12", *rule]) == 0
    out = " ".join(capfd.readouterr().out.split())
    said = re.search(r"stopped after (\d+) of at most 640 evaluations: the first 2 are certain at 95%", out)
    assert 46 <= int(said[1]) < 1000
    assert "alone gives this answer" in out
    assert "Without Hvannadalshnjúkur (hvannadalshnjukur-2), the answer is “2,119 metres”" in out
    assert "“2,119 metres” by Hvannadalshnjúkur (hvannadalshnjukur-1)." in out


def test_search_prints_passages(index, capfd):
    assert run(["search", "tunnel to Sandoy", "-i", str(index), "-k", "2", "--json"]) == 0
    content = json.loads(capfd.readouterr().out)
    assert [p["rank"] for p in content["passages"]] == [1, 2]
    assert content["passages"][0]["title"] == "Sandoy Tunnel"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ask", "", "-i", "INDEX"], 2, "question is empty"),
        (["ask", "who?"], 2, "one of the two"),
        (["ask", "who?", "-i", "INDEX", "--corpus", "x"], 2, "one of the two"),
        (["ask", "who?", "-i", "nowhere"], 1, "nowhere"),
        (["ask", "who?", "--corpus", "nowhere.jsonl"], 1, "nowhere.jsonl"),
        (["ask", "who?", "-i", "INDEX", "-s", "attribution.budgett=3"], 2, "did you mean 'budget'"),
        (["ask", "who?", "-i", "INDEX", "-s", "reader.device=nosuch"], 2, "reader.device"),
        (["ask", "who?", "-i", "INDEX", "-s", "reader.checkpoint=./nosuch"], 2, "reader.checkpoint"),
        (["ask", "who built it?", "-i", "INDEX", "--budget", "3"], 2, "budget of at least 4"),
        (["ask", "who?", "-i", "INDEX", "-k", "0"], 2, "-k"),
        (["explain", "who?", "-p", "x", "--level", "letter"], 2, "'passage', 'sentence' or 'word' (got 'letter')"),
        (["ask", "who?", "-i", "INDEX", "--level", "letter"], 2, "hierarchy.level"),
        (["ask", "who?", "-i", "INDEX", "-s", "hierarchy.shared=3"], 2, "multiple of 2 x shared = 6"),
        (["index", "nowhere", "--out", "y"], 1, "nowhere"),
        (["frobnicate"], 2, "frobnicate"),
        (["search", "wh\udcffo?", "-i", "INDEX"], 2, "the question is not UTF-8 at character 2"),
        (["ask", "who?", "-i", "nowhere", "--html", "none/a.html"], 2, "there is no folder none"),
        (["ask", "who?", "-i", "nowhere", "--html", "."], 2, ". is a folder"),
        (["explain", "who?", "-p", "nowhere", "--html", "."], 2, ". is a folder"),
        (["explain", "who?", "-p", "nowhere", "--json", "--markdown"], 2, "give one of --markdown and --json"),
    ],
)
def test_wrong_use_and_failures_are_one_clear_message(index, tmp_path, monkeypatch, capfd, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    assert run([str(index) if a == "INDEX" else a for a in arguments]) == code
    out, err = capfd.readouterr()
    assert message in " ".join(err.split())
    assert out == ""
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_an_answer_longer_than_a_name_may_be_is_no_file():
    from rag.cli.asking import _given

    for answer in ("å" * 200, "a" * 5000, "a\0b"):
        assert _given(answer) == answer


def test_a_labelled_file_has_a_place_before_anything_is_read(tmp_path, capfd):
    questions = tmp_path / "questions.jsonl"
    questions.write_text("not read", encoding="utf-8")
    for out, message in ((tmp_path, "is a folder"), (tmp_path / "none" / "a.json", "there is no folder")):
        assert run(["label", str(questions), "--out", str(out)]) == 2
        assert message in " ".join(capfd.readouterr().err.split())


def test_an_empty_corpus_leaves_nothing_behind(tmp_path, capfd):
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    assert run(["index", str(tmp_path / "empty.jsonl"), "--out", str(tmp_path / "out")]) == 1
    assert "empty" in capfd.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["empty.jsonl"]


def test_a_question_of_100000_characters_is_cut_and_reported(index, capfd):
    question = "How high is the Old Man of Hoy? " + "please " * 14_000
    assert run(["ask", question, "-i", str(index), "-k", "3", "--json"]) == 0
    content = json.loads(capfd.readouterr().out)
    assert any("question is longer than the reader's limit" in warning for warning in content["warnings"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "mine.json, line 1: not valid JSON"),
        ("[]", "mine.json: cannot tell the layout"),
        ('{"data": [{"title": "t"}]}', "mine.json, article 0: not SQuAD JSON"),
        ('{"data": 5}', "mine.json: not SQuAD JSON"),
    ],
)
def test_training_on_something_else_names_the_file(tmp_path, capfd, text, message):
    (tmp_path / "mine.json").write_text(text, encoding="utf-8")
    assert run(["train", str(tmp_path / "mine.json"), "--out", str(tmp_path / "out")]) == 1
    assert message in capfd.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.json"]


def test_every_command_helps_with_an_example(capfd):
    groups = {
        "evaluate": ["qa", "retrieval", "attribution", "suite", "report"],
        "benchmark": ["attribution", "vectors", "recall", "service"],
    }
    for name, (module, line) in _COMMANDS.items():
        for command in groups.get(name, [""]):
            assert run([name, *command.split(), "--help"]) == 0
            assert "Example: ragshap" in " ".join(capfd.readouterr().out.split()), (name, command, module)
        assert len(line) <= 66, "the list of commands is 80 characters wide"


def test_the_commands_are_listed_and_a_misspelt_one_is_recognised(capfd):
    assert run(["--help"]) == 0
    listed = re.findall(r"^  (\w+) +(\S.*)$", capfd.readouterr().out.partition("Commands:")[2], re.M)
    assert listed == [(name, line) for name, (_, line) in _COMMANDS.items()]
    assert run(["serch", "ferry"]) == 2
    assert "Did you mean 'search'" in capfd.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["evaluate", "qa", "--help"],
        ["index", str(EXAMPLES), "--out", "OUT"],
        ["search", "tunnel to Sandoy", "-i", "INDEX"],
        ["search", "tunnel to Sandoy", "-i", "INDEX", "--json"],
    ],
    ids=" ".join,
)
def test_what_needs_no_model_loads_no_library_of_models(index, tmp_path, command):
    places = {"INDEX": str(index), "OUT": str(tmp_path / "new.index")}
    code = (
        "import sys; from rag.cli import run; code = run(sys.argv[1:]); "
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'datasets', 'faiss'}; "
        "print(*sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    arguments = [places.get(part, part) for part in command]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "", done.stderr


def test_a_command_whose_module_is_not_in_the_wheel_says_so(monkeypatch, capfd):
    def needs_own_tables(*_):
        raise ModuleNotFoundError("No module named 'eval.own_tables'", name="eval.own_tables")

    monkeypatch.setattr("rag.cli.app.app", needs_own_tables)
    assert run(["benchmark", "attribution"]) == 2
    assert capfd.readouterr().err == "ragshap: this command needs a checkout of the repository\n"


def test_models_are_loaded_without_bars_and_reports_of_transformers():
    code = (
        "from rag.cli.options import silence_libraries; silence_libraries(); "
        "from transformers.utils import logging; print(logging.get_verbosity() == logging.ERROR, "
        "logging.is_progress_bar_enabled())"
    )
    for first in ("", "import transformers; "):
        done = subprocess.run([sys.executable, "-c", first + code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["True", "False"]
