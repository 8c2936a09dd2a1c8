"""Drafts, chunks and shared prefixes change how long decoding takes, never what it gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rag.readers.attention import Prefixes
from rag.readers.decoding import PrefixTracker
from rag.readers.drafts import SeenAnswers
from rag.readers.embedded import EmbeddedReader
from rag.readers.fid import FiDReader

from .conftest import random_coalitions, random_passages

QUESTION = "where is the old tower ?"
ROWS = 200


@pytest.fixture(scope="module", params=["t5", "bart", "bart_without_repeats", "tiny_embedded"])
def reader(request):
    folder = request.getfixturevalue(request.param)
    kind = EmbeddedReader if request.param == "tiny_embedded" else FiDReader
    return kind(folder, max_block_tokens=64, max_answer_tokens=8)


@pytest.fixture
def counted(monkeypatch) -> list[tuple[int, int]]:
    """The shapes of all token batches that decoders are fed."""
    shapes: list[tuple[int, int]] = []
    original = PrefixTracker.extend

    def extend(self, tokens, members):
        shapes.append(tuple(tokens.shape))
        return original(self, tokens, members)

    monkeypatch.setattr(PrefixTracker, "extend", extend)
    return shapes


def generate(reader, monkeypatch, drafts, shared=True):
    """Answers as tokens' texts, with given drafts for every chunk."""
    encoded = reader.encode(QUESTION, random_passages(7, seed=11))
    with monkeypatch.context() as patch:
        patch.setattr(SeenAnswers, "drafts", lambda *_: drafts)
        patch.setattr(Prefixes, "pays", shared)
        answers = reader.generate(encoded, random_coalitions(ROWS, 7, seed=12))
    return answers, encoded.state.seen._counts


def test_drafts_and_shared_prefixes_change_no_answer(reader, monkeypatch):
    plain, seen = generate(reader, monkeypatch, [], shared=False)
    assert len(seen) > 5
    right = list(seen)
    cut = sorted({tokens[:-1] for tokens in seen if tokens})
    wrong = sorted({(7,) * 5, right[0][::-1], (*right[1], 9, 9)} - {*right})
    for drafts in (right[:1], right[:6], cut[:6], [*wrong, *right[:2]]):
        answers, tokens = generate(reader, monkeypatch, drafts)
        assert answers == plain
        assert tokens == seen


def test_right_drafts_are_verified_in_one_pass(reader, monkeypatch, counted):
    encoded, coalitions = reader.encode(QUESTION, random_passages(7, seed=11)), random_coalitions(10, 7, seed=12)
    reader.generate(encoded, coalitions)
    seen = list(encoded.state.seen._counts)
    counted.clear()
    monkeypatch.setattr(SeenAnswers, "drafts", lambda *_: seen)
    reader.generate(encoded, coalitions)
    assert sum(rows for rows, _ in counted) == 10 * len(seen)
    assert {tokens for _, tokens in counted} == {min(8, 1 + max(map(len, seen)))}


def test_nothing_is_drafted_before_an_answer_is_seen():
    assert SeenAnswers().drafts(100, 10, 10**6) == []


def test_the_dearer_a_pass_the_more_is_drafted():
    seen = SeenAnswers()
    seen.add([(1, 2, 3)] * 60 + [(4, 5)] * 30 + [(6,)] * 8 + [()] * 2)
    assert seen.drafts(1000, 10**6, 0) == []
    few, many = seen.drafts(100, 10**6, 100), seen.drafts(100, 10**6, 10**5)
    assert few in ([(1, 2, 3)], [])
    assert many == [(1, 2, 3), (4, 5), (6,), ()]


def test_answers_that_never_come_twice_are_not_drafted():
    seen = SeenAnswers()
    seen.add([(i, 2, 3) for i in range(100)])
    assert seen.drafts(1000, 10**6, 100) == []


def test_prefixes_are_numbered_by_all_tokens_so_far():
    tracker = PrefixTracker(4, [2, 3], torch.device("cpu"))
    members = torch.ones(4, 2, dtype=torch.bool)
    first = tracker.extend(torch.tensor([[5, 1], [5, 1], [5, 2], [6, 1]]), members)
    node = first.node.flatten().tolist()
    assert node[0] == node[2] == node[4] != node[6], "after 5"
    assert node[1] == node[3]
    assert len({node[0], node[6], node[1], node[5], node[7]}) == 5
    assert [node[i] for i in first.first.tolist()] == sorted(set(node))
    later = tracker.rows(torch.tensor([0, 2, 1])).extend(torch.tensor([[8], [8], [8]]), members[:3])
    assert later.node.flatten().tolist() == [0, 1, 0] or later.node.flatten().tolist() == [1, 0, 1]


def test_memory_stays_within_the_setting(tiny_embedded):
    peaks = {}
    for memory_mb in (4, 1000):
        reader = EmbeddedReader(tiny_embedded, max_block_tokens=96, memory_mb=memory_mb, max_answer_tokens=2)
        encoded = reader.encode(QUESTION, random_passages(40, seed=1))
        coalitions = random_coalitions(400, 40, seed=2)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            reader.generate(encoded, coalitions)
        sizes = [event.nbytes() for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
        peaks[memory_mb] = np.cumsum(sizes).max()
    assert peaks[4] < 4 * 2**20 < peaks[1000]
