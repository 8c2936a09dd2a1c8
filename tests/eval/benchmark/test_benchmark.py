"""The whole benchmark, small, as a user runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from eval.benchmark import QUICK, BenchmarkSettings, benchmark_attribution
from eval.benchmark import run as runner
from eval.benchmark.ablations import OURS, VARIANTS
from eval.benchmark.run import data_folder
from eval.own_tables import growth
from eval.selection import Example
from eval.tables import Table
from rag.cli import run
from rag.provenance import reader_checksum
from rag.questions import Question
from rag.settings import ReaderSettings
from rag.settings_base import SettingsError, load_section
from retrievers import Passage

pytestmark = pytest.mark.slow


def test_a_quick_run_prints_all_tables_and_writes_json_and_plots(tmp_path, capfd):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'ragshap[plot]'")
    out = tmp_path / "all.json"
    arguments = ["--quick", "--markdown", "--out", str(out), "--plots", str(tmp_path / "plots")]
    only = "speed,shape,peak,votes,certain"
    assert run(["benchmark", "attribution", *arguments, "--only", only]) == 0
    printed, err = capfd.readouterr()
    assert err == ""
    content = json.loads(out.read_text(encoding="utf-8"))
    assert content["quick"] is True
    assert content["reader"] == reader_checksum(ReaderSettings())
    assert list(content["files"]) == ["islands"]
    assert {"ragshap", "torch"} <= content["versions"].keys()
    assert list(content["sections"]) == only.split(",")
    for section in content["sections"].values():
        for table in section["tables"]:
            assert f"**{table['title']}.**" in printed
            assert {len(row) for row in table["rows"]} == {len(table["columns"])}
    rows = {row["name"]: row for row in content["sections"]["speed"]["rows"]}
    assert len(rows) == 3 + len(VARIANTS)
    assert rows[OURS.name]["timed"] is None
    assert rows["naive: encode and generate for each coalition"]["timed"] == 2
    assert content["sections"]["votes"]["different"] == []
    assert content["sections"]["shape"]["rows"][0]["coalitions"] == 20
    assert {path.name for path in tmp_path.rglob("*")} == {"all.json", "plots", "speed.png"}


def test_growth_compares_few_and_many_passages(monkeypatch):
    monkeypatch.setattr(growth, "_in_a_process", lambda settings, asked, n: growth._measure(settings, asked, n, 1))
    settings = load_section(BenchmarkSettings, None, base=QUICK)
    (section,) = benchmark_attribution(settings, only=["growth"]).sections
    few, many = section.numbers["runs"]
    assert (few["passages"], many["passages"]) == (5, 8)
    assert many["operations"] > few["operations"] > 0
    assert len(section.tables[0].rows) == 3


def test_words_are_compared_with_flat_sampling():
    settings = load_section(BenchmarkSettings, None, base={**QUICK, "passages": 2})
    (section,) = benchmark_attribution(settings, only=["levels"]).sections
    (entry,) = section.numbers["questions"]
    assert entry["flat_coalitions"] == 16 * entry["words"] > entry["coalitions"] > 0
    assert entry["times_anew"] == pytest.approx(entry["flat_anew"] / entry["seconds"])
    assert [row[0][:4] for row in section.tables[0].rows] == ["pass", "flat", "flat"]


def test_memory_is_that_of_a_process_of_its_own():
    settings = load_section(BenchmarkSettings, None, base=QUICK)
    ballast = np.ones(10**9, dtype=np.uint8)
    asked = Example(Question("q", "Who?", (), "q"), [Passage("one", "Anna Kerr built it."), Passage("two", "In 1850.")])
    measured = growth._in_a_process(settings, asked, 2)
    assert measured["passages"] == 2
    assert 10**8 < measured["memory"] < growth.peak_memory() - len(ballast) / 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--only", "speed,spede"], 2, "unknown sections spede"),
        (["--only", ""], 2, "unknown sections"),
        (["--set", "repeats=0"], 2, "repeats"),
        (["--quick", "--root", "nowhere"], 1, "nowhere"),
    ],
)
def test_wrong_use_is_one_clear_message(capfd, arguments, code, message):
    assert run(["benchmark", "attribution", *arguments]) == code
    out, err = capfd.readouterr()
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert out == ""


def test_a_section_that_is_not_installed_needs_a_checkout(monkeypatch, capfd):
    monkeypatch.setattr(runner, "SECTIONS", {"speed": "eval.benchmark", "growth": "eval.left_out_of_the_wheel"})
    assert runner.installed_sections() == ["speed"]
    assert run(["benchmark", "attribution", "--quick", "--only", "growth"]) == 2
    assert "growth: this section needs a checkout of the repository" in " ".join(capfd.readouterr().err.split())


def test_nothing_that_is_installed_imports_what_only_a_checkout_has():
    package = Path(runner.__file__).parents[1]
    for file in package.rglob("*.py"):
        if file.parent.name != "own_tables":
            assert not re.search(r"^\s*(from|import) .*own_tables", file.read_text(encoding="utf-8"), re.M), file


def test_openqa_is_found_within_the_data(tmp_path):
    assert data_folder(tmp_path) == tmp_path
    (tmp_path / "openqa").mkdir()
    assert data_folder(tmp_path) == tmp_path / "openqa"
    assert data_folder(None).name == "islands"


def test_an_unknown_section_is_refused_before_anything_is_loaded():
    with pytest.raises(SettingsError, match="unknown sections hierarchy; known: speed"):
        benchmark_attribution(only=["hierarchy"])


def test_tables_refuse_ragged_rows_and_keep_bars_out_of_markdown():
    table = Table(["name", "x|y"], [["one", "1"]], "A", "How.")
    assert table.markdown().splitlines() == ["**A.** How.", "", "| name | x\\|y |", "| --- | ---: |", "| one | 1 |"]
    with pytest.raises(ValueError, match="2 columns, but a row of 1"):
        Table(["name", "x"], [["one"]], "A")
