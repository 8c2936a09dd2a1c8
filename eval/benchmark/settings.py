"""What the benchmark measures, and on how much."""

from __future__ import annotations

from pydantic import Field

from rag.settings import ReaderSettings
from rag.settings_base import Section


class Shape(Section):
    """A T5 with random weights (by default the sizes of T5-small), and what it reads and writes.

    Attributes:
        weights: standard deviation of each weight matrix times the square root of its input width. At 1 nearly every
            coalition has an answer of its own, which is the hard case; at 0.5 a quarter of them; what `transformers`
            initialises gives but a few answers of one word repeated.
        block_tokens: tokens of each block.
        answer_tokens: tokens of each answer; the end of sequence never comes.
        sample: coalitions that plain generation is timed on.
    """

    layers: int = 6
    width: int = 512
    heads: int = 8
    head_width: int = 64
    feed_forward: int = 2048
    vocabulary: int = 32128
    weights: float = Field(default=1.0, gt=0)
    block_tokens: int = Field(default=192, ge=16)
    answer_tokens: int = Field(default=8, ge=1)
    sample: int = Field(default=100, ge=1)


class BenchmarkSettings(Section):
    """Sizes of the benchmark; the defaults are those that are reported.

    Attributes:
        reader: the reader that is timed and attributed.
        repeats: repetitions of each timing, of which the median counts.
        passages: passages per question, and `permutations` orderings of them.
        timed_questions: questions of `speed` and `peak`; one repetition runs all of them.
        naive_sample: coalitions on which encoding and generating anew is timed, per question.
        expanded_sample: coalitions on which plain batched generation is timed, per question.
        batch: coalitions per batch of plain generation.
        vote_questions: questions whose votes are compared, on `vote_coalitions` random coalitions each.
        certain_questions: questions for `certain`; `reference` is the budget its first k are held against.
        top: the k of `certain`.
        peak_seconds: how long `peak` multiplies matrices of each size.
        many_passages: the larger number of passages of `growth`.
        word_permutations: nested orders of `levels`; flat sampling is timed on `flat_sample` coalitions beside it.
        shape: the random T5 of `shape`.
    """

    reader: ReaderSettings = ReaderSettings()
    repeats: int = Field(default=5, ge=1)
    passages: int = Field(default=20, ge=2)
    permutations: int = Field(default=100, ge=4, multiple_of=2)
    timed_questions: int = Field(default=3, ge=1)
    naive_sample: int = Field(default=20, ge=1)
    expanded_sample: int = Field(default=200, ge=1)
    batch: int = Field(default=100, ge=1)
    vote_questions: int = Field(default=10, ge=1)
    vote_coalitions: int = Field(default=200, ge=1)
    certain_questions: int = Field(default=10, ge=1)
    reference: int = Field(default=20_000, ge=1)
    top: int = Field(default=5, ge=1)
    peak_seconds: float = Field(default=2.0, gt=0)
    many_passages: int = Field(default=100, ge=2)
    word_permutations: int = Field(default=64, ge=16, multiple_of=8)
    flat_sample: int = Field(default=12, ge=2)
    shape: Shape = Shape()


# Small enough for a test of the machinery; its numbers mean nothing.
QUICK = {
    "repeats": 1,
    "passages": 5,
    "permutations": 4,
    "timed_questions": 1,
    "naive_sample": 2,
    "expanded_sample": 4,
    "batch": 2,
    "vote_questions": 1,
    "vote_coalitions": 8,
    "certain_questions": 1,
    "reference": 30,
    "top": 2,
    "peak_seconds": 0.05,
    "many_passages": 8,
    "word_permutations": 16,
    "flat_sample": 2,
    "shape": {
        "layers": 2,
        "width": 32,
        "heads": 2,
        "head_width": 16,
        "feed_forward": 64,
        "vocabulary": 500,
        "block_tokens": 32,
        "sample": 4,
    },
}
