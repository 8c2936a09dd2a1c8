"""A report against the commands that it runs, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from eval.report import Part, Report, ReportFile, make_report, render_report
from rag.cli.app import run
from rag.settings_base import SettingsError, load_section


def parsed(**section) -> ReportFile:
    return ReportFile.model_validate({"title": "Small", "sections": [{"title": "A b", **section}]})


def test_a_section_shows_what_its_command_prints(tmp_path, capsys):
    made = make_report(parsed(command="search --help"), tmp_path, tmp_path / "out")
    assert run(["search", "--help"]) == 0
    told = capsys.readouterr().out.partition("Usage:")[2].partition(" search")[2]
    assert made.parts[0].printed.partition(" search")[2] == told
    assert made.parts[0].command == "ragshap search --help"


def test_pictures_of_the_sections_folder_are_inlined_once(tmp_path):
    out = tmp_path / "1-a-b"
    out.mkdir()
    for name in ("recall.svg", "recall.png", "speed.png"):
        (out / name).write_bytes(b"<svg/>")
    made = make_report(parsed(command="--version"), tmp_path, tmp_path)
    assert [file.name for file in made.parts[0].pictures] == ["recall.svg", "speed.png"]
    page = render_report(made)
    assert page.count("<img") == 2
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in page


def test_tables_become_tables_and_html_stays_text():
    printed = "| system | recall@1 |\n| --- | --- |\n| <script>x</script> | 5 |\n\n<script>y</script>"
    page = render_report(Report("T & U", "", (Part("<b>", "", "ragshap x", printed, (), 1.0),), {"torch": "2"}))
    assert "<td>&lt;script&gt;x&lt;/script&gt;</td>" in page
    assert "<script" not in page
    assert "T &amp; U" in page
    assert "&lt;b&gt;" in page


def test_a_failing_command_says_which_and_why(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(parsed(command="search x --corpus {data}/none --quiet").model_dump()))
    assert run(["evaluate", "report", str(file), "--root", str(tmp_path), "--out", str(tmp_path / "out"), "-q"]) == 1
    said = capsys.readouterr().err
    assert "section 'A b'" in said
    assert "none" in said
    assert not (tmp_path / "out" / "index.html").exists()


@pytest.mark.parametrize(
    ("command", "said"), [("search {x}", "only {data} and {out}"), ("a 'b", "No closing quotation"), ("{", "'{'")]
)
def test_a_command_that_cannot_be_filled_in(command, said):
    with pytest.raises(SettingsError, match=said):
        load_section(ReportFile, base={"title": "T", "sections": [{"title": "a", "command": command}]})


def test_the_shipped_report_names_commands_and_options_that_exist(capsys):
    """Only their names are tried here: `--help` after all options is answered when these have been read."""
    for section in load_section(ReportFile, "bench").sections:
        arguments = section.arguments(Path("data"), Path("out"))
        assert run([*arguments, "--help"]) == 0, capsys.readouterr().err
