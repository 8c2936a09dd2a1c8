"""A whole training run: data, the network, held-out evaluation."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from rag.progress import StageProgress
from rag.provenance import checksum
from rag.questions import QuestionSet, score_answer
from rag.readers.embedded_files import embedded_folder
from rag.readers.loading import load_reader
from rag.settings import ReaderSettings
from rag.training.bridges import add_bridges
from rag.training.data import drawn_questions, find_negatives, load_training_data
from rag.training.learner import Learner
from rag.training.outdated import add_outdated
from rag.training.sampling import Example, ExampleSampler
from rag.training.settings import TrainSettings
from rag.training.trainer import CHECKPOINT, Row, Trainer
from retrievers import Passage
from retrievers.storage.locks import writing

if TYPE_CHECKING:
    from rag.readers.embedded.model import CopyReaderModel

_CALIBRATION_COALITIONS = 5
_FITTED_QUESTIONS = 150  # some 40,000 tokens for the 769 × 384 numbers that are fitted


def train(
    out: Path,
    settings: TrainSettings,
    *,
    root: Path = Path(),
    progress: StageProgress = lambda stage, done, total: None,
    on_step: Callable[[int, Row], None] = lambda step, row: None,
) -> int:
    """Train a reader, or go on with a run that was stopped; the reader is left in `out / "reader"`.

    Args:
        out: folder for checkpoint, log, mined negatives and the reader.
        settings: of the run, its data included.
        root: folder that the paths of the data are relative to.
        progress: called as progress(stage, done, total) before training starts.
        on_step: called as on_step(step, row) with what is logged.

    Returns:
        The number of questions trained on.

    Raises:
        CorpusError, FileNotFoundError: a file cannot be read.
        ValueError: no question can be learned from, or the folder holds a run with other settings or data.
        BusyError: another run trains in the folder.
        DiskFullError: there is no room.
    """
    if not settings.data.sources:
        raise ValueError("there is nothing to train on; give question files, or data.sources in the settings")
    found = load_training_data(settings.data, root, settings.seed, progress)
    out.mkdir(parents=True, exist_ok=True)
    with writing(out / CHECKPOINT, "the last checkpoint is kept"):
        data, negatives = found.questions, find_negatives(found, settings.data.negatives, out, progress)
        bridges: list[int] = []
        if any(stage.bridges for stage in settings.stages):
            data, negatives, bridges = add_bridges(data, found.train, negatives, settings.seed)
        doubles: list[int | None] | None = None
        if any(stage.outdated for stage in settings.stages):
            data, doubles = add_outdated(data, settings.seed)
        learner = make_learner(settings, data, found.train)
        usable = learner.usable(found.train)
        if not usable:
            raise ValueError("no question has a short answer that stands in a gold passage; nothing can be learned")
        questions = drawn_questions(found, usable)
        fingerprint = _fingerprint(data, negatives, questions, settings.teacher)
        sampler = ExampleSampler(data, negatives, settings.seed, doubles, learner.usable(bridges))
        held_out = learner.usable(found.held_out)
        evaluate = HeldOut(sampler, held_out, settings) if settings.evaluation.questions else None
        if evaluate is not None:
            evaluate.draw(1)  # raises before hours are spent if there are too few passages
        Trainer(learner, sampler, questions, settings, out, fingerprint, evaluate, on_step).run()
        if evaluate is not None:
            progress("calibrating no answer", 0, 1)
            learner.calibrate(out / "reader", evaluate.draw_all_sizes(_CALIBRATION_COALITIONS))
    return len(usable)


def _fingerprint(
    data: QuestionSet, negatives: Sequence[Sequence[int]], questions: Sequence[int], teacher: str | None
) -> str:
    """A checksum of what is learnt from: questions, answers, all passages that are read with them, the teacher."""
    asked = [(q.text, q.answers, q.gold, q.place, negatives[i]) for i in questions for q in [data.questions[i]]]
    texts = [passage.full_text for passage in data.passages]
    folder = None if teacher is None else embedded_folder(teacher)
    return hashlib.sha256(json.dumps([asked, texts, folder and checksum(folder)]).encode()).hexdigest()


def make_learner(settings: TrainSettings, data: QuestionSet, train: Sequence[int]) -> Learner:
    """The network that `settings.start` names; `train` are the questions that it may see before it is trained."""
    from rag.readers.embedded.initialize import from_minilm, from_mpnet
    from rag.readers.embedded.weights import WEIGHTS, load_model
    from rag.training.embedded import EmbeddedLearner
    from rag.training.seq2seq import Seq2SeqLearner
    from retrievers.dense.encoder import DEFAULT, locate

    torch.manual_seed(settings.seed)  # of weights that start at random
    limit, dropout = settings.max_block_tokens, settings.dropout
    if settings.start == "minilm":
        model, folder = from_minilm(Path(locate(DEFAULT))), WEIGHTS
    elif settings.start == "mpnet":
        model, folder = from_mpnet(WEIGHTS, _pairs(data, train, settings.seed), limit), WEIGHTS
    elif found := embedded_folder(settings.start):
        model, folder = load_model(found), found
    elif settings.teacher is not None:
        raise ValueError(
            f"teacher: {settings.start!r} is no embedded reader, so it cannot learn from another; leave it out"
        )
    else:
        return Seq2SeqLearner(settings.start, data, limit, dropout, settings.device)
    tokenizer, device = folder / "tokenizer.json", settings.device
    teacher = None if settings.teacher is None else _teacher(settings.teacher, tokenizer).to(device)
    return EmbeddedLearner(model.to(device), tokenizer, data, limit, dropout, teacher)


def _teacher(checkpoint: str, tokenizer: Path) -> CopyReaderModel:
    from rag.readers.embedded.weights import load_model

    folder = embedded_folder(checkpoint)
    if folder is None:
        raise ValueError(f"teacher: {checkpoint!r} is no embedded reader; name base, or a folder of `ragshap train`")
    if (folder / "tokenizer.json").read_bytes() != tokenizer.read_bytes():
        raise ValueError(f"teacher: {checkpoint!r} has other word pieces than the reader that learns")
    return load_model(folder)


def _pairs(data: QuestionSet, questions: Sequence[int], seed: int) -> list[tuple[str, Passage]]:
    """Some questions, each with a passage of its own, then with one of another."""
    rng = random.Random(seed)
    answered = [index for index in questions if data.questions[index].gold]
    some = rng.sample(answered, min(len(answered), _FITTED_QUESTIONS))
    texts = [data.questions[index].text for index in some]
    gold = [data.passages[data.questions[index].gold[0]] for index in some]
    return [*zip(texts, gold, strict=True), *zip(texts, gold[1:] + gold[:1], strict=True)]


class HeldOut:
    """Reads held-out questions among hard negatives with the reader of a folder."""

    def __init__(self, sampler: ExampleSampler, questions: Sequence[int], settings: TrainSettings):
        self.sampler = sampler
        self.settings = settings
        count = min(len(questions), settings.evaluation.questions)
        self.questions = random.Random(settings.seed).sample(list(questions), count)

    def draw(self, coalitions: int) -> list[Example]:
        """The questions as training would show them, the same whenever asked for."""
        return self.sampler.draw(0, self.questions, self.settings.evaluation.negatives, coalitions)

    def draw_all_sizes(self, coalitions: int) -> list[Example]:
        """The questions among the negatives, among half of them, and so on, so that few passages occur as many do."""
        most = self.settings.evaluation.negatives
        numbers = [most >> halvings for halvings in range(max(1, most.bit_length()))]
        return [e for number in numbers for e in self.sampler.draw(0, self.questions, number, coalitions)]

    def __call__(self, folder: Path) -> Row:
        """Exact match and F1 in percent, from all passages together."""
        limit, device = self.settings.max_block_tokens, self.settings.device
        asked = self.settings.bfloat16
        dtype: Literal["auto", "bfloat16", "float32"] = "auto" if asked is None else "bfloat16" if asked else "float32"
        reader = load_reader(ReaderSettings(checkpoint=str(folder), max_block_tokens=limit, device=device, dtype=dtype))
        data, scores = self.sampler.data, []
        for example in self.draw(1):
            question = data.questions[example.question]
            encoded = reader.encode(question.text, [data.passages[index] for index in example.passages])
            answer = reader.generate(encoded, example.coalitions)[0]
            scores.append(score_answer(answer, question.answers))
        if not scores:
            return {}
        return {
            "held_out_exact_match": 100 * sum(score.exact_match for score in scores) / len(scores),
            "held_out_f1": 100 * sum(score.f1 for score in scores) / len(scores),
        }
