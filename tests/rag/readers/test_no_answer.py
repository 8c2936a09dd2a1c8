"""The calibrated probability of "no answer" in the embedded reader's configuration and in what it says."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from rag.readers.base import DecliningReader
from rag.readers.embedded import EmbeddedReader
from rag.readers.embedded.model import CopyReaderConfig
from rag.readers.embedded.no_answer import NoAnswerCalibration

from .conftest import random_coalitions, random_passages

QUESTION = "Where is the old tower?"
CALIBRATED = {"no_answer_slope": 0.4, "no_answer_intercept": -0.5, "no_answer_log_passages": 0.6}


def configured(folder, **changes) -> EmbeddedReader:
    reader = EmbeddedReader(folder, max_block_tokens=96, max_answer_tokens=4)
    reader.model.config = replace(reader.model.config, **changes)
    return reader


def test_the_probability_is_the_formula():
    calibration = NoAnswerCalibration(0.4, -0.5, 0.6)
    for p in (1e-6, 0.3, 0.999):
        for n in (0, 1, 2, 20):
            score = 0.4 * math.log(p / (1 - p)) - 0.5 + 0.6 * math.log(max(n, 1))
            found = calibration.probability(np.array([math.log(p)]), np.array([n]))
            assert found == pytest.approx([1 / (1 + math.exp(-score))])


@pytest.mark.parametrize("threshold", [1e-6, 0.05, 0.5, 0.85, 0.99])
def test_without_calibration_probabilities_and_thresholds_stay(threshold):
    identity = NoAnswerCalibration()
    assert identity.probability(np.log([threshold]), 7) == pytest.approx([threshold])
    assert np.float32(identity.raw_threshold(threshold, 7)) == np.float32(threshold)


def test_no_probability_reaches_a_threshold_of_one():
    calibration = NoAnswerCalibration(50, 900, 0)
    assert calibration.probability(np.zeros(1), 1) == 1
    assert np.isinf(calibration.raw_threshold(1, np.arange(4))).all()
    assert np.isinf(NoAnswerCalibration(0.1).raw_threshold(0.99, 3)), "even p = 1 has a calibrated probability below"


def test_a_configuration_without_calibration_is_the_identity(tmp_path):
    values = {k: v for k, v in asdict(CopyReaderConfig()).items() if k not in CALIBRATED}
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
    assert CopyReaderConfig.load(tmp_path / "config.json").no_answer == NoAnswerCalibration()
    (tmp_path / "config.json").write_text(json.dumps(values | CALIBRATED), encoding="utf-8")
    assert CopyReaderConfig.load(tmp_path / "config.json").no_answer == NoAnswerCalibration(0.4, -0.5, 0.6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("no_answer_threshold", 0),
        ("no_answer_threshold", 1.1),
        ("no_answer_threshold", True),
        ("no_answer_slope", 0),
        ("no_answer_slope", -1.0),
        ("no_answer_slope", "1"),
        ("no_answer_intercept", 10**400),
        ("no_answer_log_passages", None),
    ],
)
def test_a_calibration_that_is_none_is_refused(tmp_path, name, value):
    (tmp_path / "config.json").write_text(json.dumps({name: value}), encoding="utf-8")
    with pytest.raises(ValueError, match=f"{name} cannot be"):
        CopyReaderConfig.load(tmp_path / "config.json")


@pytest.mark.parametrize("changes", [{}, CALIBRATED], ids=["identity", "calibrated"])
def test_the_reader_declines_where_its_probability_reaches_the_threshold(tiny_embedded, changes):
    reader = configured(tiny_embedded, **changes)
    assert isinstance(reader, DecliningReader)
    encoded = reader.encode(QUESTION, random_passages(6))
    coalitions = np.unique(random_coalitions(80, 6), axis=0)
    found = reader.no_answer_probability(encoded, coalitions)
    raw = reader.score(encoded, coalitions, [""])[:, 0]
    assert found == pytest.approx(reader.model.config.no_answer.probability(raw, coalitions.sum(1)))
    for between in (5, 15, 28):
        reader.no_answer_threshold = float(np.sort(found)[between - 1 : between + 1].mean())
        declined = np.array([not answer for answer in reader.generate(encoded, coalitions)])
        assert declined.tolist() == (found >= reader.no_answer_threshold).tolist()
        assert declined.sum() == len(found) - between
    if changes:
        assert np.argsort(found).tolist() != np.argsort(raw).tolist(), "the number of passages changes nothing"


def test_a_threshold_of_one_never_declines(tiny_embedded):
    reader = configured(tiny_embedded, **CALIBRATED)
    reader.no_answer_threshold = 1.0
    reader.model.stop.bias.data.fill_(100.0)
    reader.model.gate.bias.data.fill_(-100.0)
    encoded = reader.encode(QUESTION, random_passages(4))
    coalitions = np.eye(4, dtype=bool)
    assert reader.score(encoded, coalitions, [""]) == pytest.approx(0, abs=1e-6)
    assert all(reader.generate(encoded, coalitions))
    reader.no_answer_threshold = 0.9
    assert not any(reader.generate(encoded, coalitions))
