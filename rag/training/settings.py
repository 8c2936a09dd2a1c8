"""Settings of a training run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rag.settings_base import Section


class Stage(Section):
    """A stretch of training with one batch shape.

    Each step reads `questions`, each with the passage that holds its answer, `negatives` others, and `coalitions` of
    all of these. With probability `outdated` one of the negatives is an out-of-date double of the passage, and with
    probability `bridges` the question is exchanged for one composed of two, which needs a second passage.
    """

    steps: int = Field(ge=1)
    questions: int = Field(ge=1)
    negatives: int = Field(ge=0)
    coalitions: int = Field(default=3, ge=1)
    outdated: float = Field(default=0.0, ge=0, le=1)
    bridges: float = Field(default=0.0, ge=0, le=1)


class EvaluationSettings(Section):
    """How often held-out articles are read, how many questions, and among how many hard negatives."""

    every: int = Field(default=500, ge=1)
    questions: int = Field(default=100, ge=0)
    negatives: int = Field(default=19, ge=0)


class Source(Section):
    """Question files of one kind; the hard negatives of their questions are found among their own passages and `pool`.

    Attributes:
        files: question files.
        pool: more question files or corpora, whose passages can be negatives.
        times: how often each question is drawn in an epoch.
        limit: at most this many questions, drawn at random; None is all.
    """

    files: list[str] = Field(min_length=1)
    pool: list[str] = Field(default=[])
    times: int = Field(default=1, ge=1)
    limit: int | None = Field(default=None, ge=1)


class DataSettings(Section):
    """Which questions are trained on, which are held out, and where hard negatives come from.

    Attributes:
        sources: question files, by kind; the command's arguments are one source.
        negatives: how they are found; "own" takes the questions' own passages.
        exclude: question files or BEIR folders; their questions and near ones are never trained on.
        held_out: one article in this many is held out, whole; or a list of questions (see `read_digests`), which are
            held out while the rest of their articles is left out.
    """

    sources: list[Source] = Field(default=[])
    negatives: Literal["hybrid", "bm25", "own"] = "hybrid"
    exclude: list[str] = Field(default=[])
    held_out: Annotated[int, Field(ge=2)] | str = 20


class TrainSettings(Section):
    """All settings of a run; saved with the checkpoint and, but for `data`, compared on resuming.

    `start` is "embedded" or "base" (weights of the package), "minilm" (the embedded architecture from its pretrained
    encoder), "mpnet" (the package's decoder on all-mpnet-base-v2 with low-rank adapters), or the name or folder of a
    `transformers` encoder-decoder. `teacher` is a reader of the embedded architecture, named like that of `start`, from
    which one of this architecture learns beside the labels. `threads` 0 leaves torch's choice.
    `bfloat16` null is yes on a device that computes in it.
    """

    start: str = "embedded"
    stages: list[Stage] = Field(
        default=[
            Stage(steps=1900, questions=8, negatives=5),
            Stage(steps=700, questions=4, negatives=11, outdated=0.6),
        ],
        min_length=1,
    )
    data: DataSettings = DataSettings()
    encoder_rate: float = Field(default=6e-5, gt=0)
    new_rate: float = Field(default=2e-4, gt=0)
    warmup: int = Field(default=100, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    teacher: str | None = None
    seed: int = Field(default=0, ge=0)
    max_block_tokens: int = Field(default=224, ge=16)
    device: str = "cpu"
    threads: int = Field(default=0, ge=0)
    bfloat16: bool | None = None
    save_every: int = Field(default=250, ge=1)
    log_every: int = Field(default=10, ge=1)
    evaluation: EvaluationSettings = EvaluationSettings()

    @property
    def steps(self) -> int:
        """Steps over all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> tuple[Stage, int]:
        """The stage that a step falls in, and how many questions all steps before it read."""
        before = 0
        for stage in self.stages:
            if step < stage.steps:
                return stage, before + step * stage.questions
            step -= stage.steps
            before += stage.steps * stage.questions
        raise IndexError(step)

    def rate(self, step: int) -> float:
        """Learning-rate factor: linear warm-up, then linear decay to zero."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        return max(0.0, (self.steps - step) / max(1, self.steps - self.warmup))
