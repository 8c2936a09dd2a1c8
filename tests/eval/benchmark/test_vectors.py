"""The benchmark of vector indexes: its vectors, what it measures, and its commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from eval.benchmark.vectors import measure_indexes, mixture
from rag.cli.app import app

pytest.importorskip("faiss", reason="dense retrieval needs faiss-cpu")


def seeds() -> np.ndarray:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((20, 16))[rng.integers(20, size=300)] + 0.3 * rng.standard_normal((300, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_mixtures_are_new_unit_vectors_and_the_same_for_the_same_seed() -> None:
    made = np.vstack(list(mixture(seeds(), 20_000, seed=1)))
    assert made.shape == (20_000, 16)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(made, np.vstack(list(mixture(seeds(), 20_000, seed=1))))
    nearest = (made[:500] @ seeds().T).max(axis=1)
    assert 0.5 < np.median(nearest) < 0.99, "near to the seeds, but none of them"
    with pytest.raises(ValueError, match="at least three vectors"):
        next(mixture(seeds()[:2], 5))


def test_all_indexes_are_measured(tmp_path: Path) -> None:
    queries = seeds()[:40]
    section = measure_indexes(lambda: mixture(seeds(), 2000), queries, folder=tmp_path)
    measured = section.numbers["indexes"]
    assert list(measured) == ["flat", "hnsw", "ivfpq"]
    assert measured["flat"]["recall"] == 1
    assert measured["flat"]["bytes"] == pytest.approx(2000 * 16 * 4, rel=0.01)
    assert all(0.9 < numbers["recall"] <= 1 and numbers["median_ms"] > 0 for numbers in measured.values())
    assert [row[0] for row in section.tables[0].rows] == ["flat", "hnsw", "ivfpq"]
    with pytest.raises(ValueError, match="unknown index tree; known are flat, hnsw, ivfpq"):
        measure_indexes(lambda: mixture(seeds(), 100), queries, ["tree"])


def test_the_command_takes_vectors_of_ones_own(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.vstack(list(mixture(seeds(), 500))).astype(np.float16))
    np.save(tmp_path / "q.npy", seeds()[:10])
    given = ["benchmark", "vectors", "--vectors", str(tmp_path / "v.npy"), "--queries", str(tmp_path / "q.npy")]
    done = CliRunner().invoke(app, [*given, "--index", "flat", "--out", str(tmp_path / "out.json"), "--quiet"])
    assert done.exit_code == 0, done.output
    assert "500 vectors of 16 dimensions" in done.output
    assert json.loads((tmp_path / "out.json").read_text())["indexes"]["flat"]["recall"] == 1
    assert CliRunner().invoke(app, given[:4]).exit_code == 2, "queries are missing"
