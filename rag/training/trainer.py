"""The training loop: staged, seeded, resumable after a kill."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from rag.bfloat16 import computes_bfloat16
from rag.training.learner import Learner
from rag.training.sampling import ExampleSampler
from rag.training.settings import TrainSettings
from retrievers.storage.atomic import replace_file, replace_text

Row = dict[str, float]
CHECKPOINT = "checkpoint.safetensors"


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Numbers too small for full precision count as 0: sure predictions leave such gradients, slow on a CPU."""
    before = sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@dataclass
class Trainer:
    """Runs `settings.steps` steps, writing a checkpoint and a log (`log.jsonl`) to `folder`.

    The finished reader has the mean of the weights at the evaluations of the last stage (Izmailov et al. 2018).

    Args:
        learner: the network and its loss.
        sampler: draws each step's examples.
        questions: indices of the questions to train on; one that stands there twice is drawn twice as often.
        settings: of the run.
        folder: for checkpoint, log and the finished reader (`reader/`).
        data: a checksum of what is trained on; a run goes on with the same data only.
        evaluate: measures the reader in a folder on held-out questions; called every `settings.evaluation.every`
            steps, after the last step, and on the finished reader.
        on_step: called as on_step(step, row) with the means since the last call.
    """

    learner: Learner
    sampler: ExampleSampler
    questions: Sequence[int]
    settings: TrainSettings
    folder: Path
    data: str = ""
    evaluate: Callable[[Path], Row] | None = None
    on_step: Callable[[int, Row], None] = lambda step, row: None
    _optimizer: torch.optim.Optimizer = field(init=False)
    _mean: dict[str, Tensor] = field(init=False, default_factory=dict)
    _averaged: int = field(init=False, default=0)
    _half: bool = field(init=False)

    def __post_init__(self) -> None:
        asked = self.settings.bfloat16
        self._half = bool(computes_bfloat16(self.settings.device)) if asked is None else asked
        rates = {True: self.settings.encoder_rate, False: self.settings.new_rate}
        self._optimizer = torch.optim.AdamW(
            [{"params": group.parameters, "base": rates[group.pretrained]} for group in self.learner.groups()],
            lr=0.0,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )

    @_denormals_flushed()
    def run(self) -> None:
        """Train from the last checkpoint in the folder, or from the beginning, to the end.

        Raises:
            ValueError: the folder's checkpoint was made with other settings or data, or the loss is not finite.
        """
        settings = self.settings
        self.folder.mkdir(parents=True, exist_ok=True)
        first = self._resume()
        rows: list[Row] = []
        for step in range(first, settings.steps):
            self.learner.model.train()
            rows.append(self._step(step))
            done, last = step + 1, step + 1 == settings.steps
            if done % settings.log_every == 0 or last:
                row = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
                rows = []
                self._log(done, row)
                self.on_step(done, row)
            if done % settings.evaluation.every == 0 or last:
                self._log_held_out(done)
                if settings.stage(step)[0] is settings.stages[-1]:
                    self._add_to_mean()
            if done % settings.save_every == 0 or last:
                self._save(done)
        self.learner.model.load_state_dict(self._mean, strict=False)
        self._log_held_out(settings.steps, averaged=self._averaged)

    def _step(self, step: int) -> Row:
        settings = self.settings
        started = time.perf_counter()
        stage, before = settings.stage(step)
        questions = self.sampler.walk(self.questions, before, stage.questions)
        examples = self.sampler.draw(step, questions, stage.negatives, stage.coalitions, stage.outdated, stage.bridges)
        rate = settings.rate(step)
        for group in self._optimizer.param_groups:
            group["lr"] = group["base"] * rate
        torch.manual_seed(settings.seed * 1_000_003 + step)  # dropout's choices, the same after a resumption
        with torch.autocast(torch.device(settings.device).type, torch.bfloat16, enabled=self._half):
            parts = self.learner.losses(examples)
        row = {name: float(part.detach()) for name, part in parts.items()}
        if not math.isfinite(row["total"]):
            raise ValueError(f"loss is {row['total']} at step {step}; lower the learning rate")
        self._optimizer.zero_grad(set_to_none=True)
        parts["total"].backward()
        torch.nn.utils.clip_grad_norm_(self.learner.model.parameters(), settings.clip)
        self._optimizer.step()
        return {**row, "rate": rate, "seconds": time.perf_counter() - started}

    def _log_held_out(self, step: int, **about: float) -> None:
        """Write the reader as it is now, and log how it reads held-out questions."""
        self.learner.save(self.folder / "reader")
        if self.evaluate is not None:
            row = self.evaluate(self.folder / "reader")
            self._log(step, {**row, **about})
            self.on_step(step, row)

    def _add_to_mean(self) -> None:
        self._averaged += 1
        for name, value in self.learner.state().items():
            mean = self._mean.setdefault(name, torch.zeros_like(value))
            mean += (value.detach() - mean) / self._averaged

    def _log(self, step: int, row: Row) -> None:
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": step, **{k: round(v, 5) for k, v in row.items()}}) + "\n")

    def _save(self, step: int) -> None:
        """Write weights, optimizer state and step; the last rename makes the checkpoint count."""
        tensors = {f"model.{name}": value for name, value in self.learner.state().items()}
        tensors |= {f"mean.{name}": value for name, value in self._mean.items()}
        for index, state in self._optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value).clone()
        target = self.folder / CHECKPOINT
        metadata = {
            "step": str(step),
            "settings": self.settings.model_dump_json(exclude={"data"}),
            "data": self.data,
            "averaged": str(self._averaged),
        }
        with replace_file(target) as temporary:
            save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary, metadata)

    def _resume(self) -> int:
        """Load the checkpoint of the folder, if any; returns the next step."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            self._drop_log_after(0)
            return 0
        with safe_open(path, "pt") as stored:
            metadata = stored.metadata()
        before, now = json.loads(metadata["settings"]), json.loads(self.settings.model_dump_json(exclude={"data"}))
        changed = [name for name in now if now[name] != before.get(name)]
        if metadata["data"] != self.data:
            changed.append("data")
        if changed:
            raise ValueError(
                f"{path} was made with other settings ({', '.join(changed)}); use the same ones or another folder"
            )
        step = int(metadata["step"])
        self._drop_log_after(step)
        tensors = load_file(path)
        weights, self._mean = (
            {name.removeprefix(part): value for name, value in tensors.items() if name.startswith(part)}
            for part in ("model.", "mean.")
        )
        self._averaged = int(metadata["averaged"])
        self.learner.model.load_state_dict(weights, strict=False)
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".", 2)
                state.setdefault(int(index), {})[name] = value
        current: dict[str, Any] = self._optimizer.state_dict()
        self._optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})
        return step

    def _drop_log_after(self, step: int) -> None:
        """Forget what a killed run logged after its last checkpoint; those steps are taken again."""
        path = self.folder / "log.jsonl"
        if path.exists():
            lines = path.read_text(encoding="utf-8").split("\n")
            kept = [line for line in lines if line.endswith("}") and _is_before(json.loads(line), step)]
            replace_text(path, "".join(f"{line}\n" for line in kept))


def _is_before(row: Row, step: int) -> bool:
    """Whether a logged row belongs to what a checkpoint holds; the finished reader is evaluated again."""
    return row["step"] <= step and "averaged" not in row
