"""Records on disk: what a kill leaves, and who may write."""

from __future__ import annotations

import threading

import pytest

from eval.records import Records
from rag.settings_base import SettingsError
from retrievers.errors import BusyError

MADE_WITH = {"settings": {"k": 1}}


def test_a_torn_line_is_dropped_and_whole_ones_are_kept(tmp_path):
    path = tmp_path / "questions.jsonl"
    records = Records(path, MADE_WITH)
    records.add({"id": "q1", "text": "ü"})
    records.close()
    kept = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"id": "torn')
    again = Records(path, MADE_WITH)
    assert "q1" in again
    assert "torn" not in again
    again.add({"id": "q2"})
    again.close()
    assert path.read_bytes() == kept + b'{"id": "q2"}\n'


def test_a_second_run_is_refused_and_who_is_refused_holds_nothing(tmp_path):
    path = tmp_path / "questions.jsonl"
    first = Records(path, MADE_WITH)
    met: list[BaseException] = []

    def second() -> None:
        try:
            Records(path, MADE_WITH)
        except BusyError as error:
            met.append(error)

    thread = threading.Thread(target=second)
    thread.start()
    thread.join()
    assert "questions.jsonl is being written by process" in str(met[0])
    first.close()
    with pytest.raises(SettingsError):
        Records(path, {"settings": {"k": 2}})
    assert [found.name for found in tmp_path.iterdir()] == ["questions.jsonl"], "no lock is left"
