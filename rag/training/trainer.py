"""Training loop of the embedded reader: staged, seeded, resumable after a kill."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rag.readers.embedded.model import CopyReaderModel
from rag.readers.embedded.weights import own_state
from rag.training.batches import BatchMaker
from rag.training.objective import losses


@dataclass(frozen=True)
class Stage:
    """A stretch of training with one batch shape."""

    steps: int
    questions: int
    negatives: int
    rows: int


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one run; saved with the checkpoint and compared on resuming."""

    stages: tuple[Stage, ...] = (Stage(600, 32, 0, 1), Stage(1500, 8, 3, 3))
    encoder_rate: float = 8e-5
    new_rate: float = 3e-4
    warmup: int = 150
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0
    max_block_tokens: int = 224
    bfloat16: bool = True
    save_every: int = 100
    log_every: int = 10

    @property
    def steps(self) -> int:
        """Steps over all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> Stage:
        """The stage that a step falls in."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        raise IndexError(step)

    def rate(self, step: int) -> float:
        """Learning-rate factor: linear warm-up, then linear decay to zero."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        return max(0.0, (self.steps - step) / max(1, self.steps - self.warmup))


@dataclass
class Trainer:
    """Runs `settings.steps` steps, writing a checkpoint and a log (`log.jsonl`) to `folder`."""

    model: CopyReaderModel
    maker: BatchMaker
    train_questions: list[int]
    settings: TrainSettings
    folder: Path
    on_step: Callable[[int, dict[str, float]], None] = lambda step, row: None
    _optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        encoder = {id(p) for p in self.model.encoder.parameters()}
        groups: dict[bool, list[torch.nn.Parameter]] = {True: [], False: []}
        for parameter in self.model.parameters():
            groups[id(parameter) in encoder].append(parameter)
        self._optimizer = torch.optim.AdamW(
            [
                {"params": groups[True], "base": self.settings.encoder_rate},
                {"params": groups[False], "base": self.settings.new_rate},
            ],
            lr=0.0,
            weight_decay=self.settings.weight_decay,
        )

    def run(self) -> None:
        """Train from the last checkpoint in the folder, or from the beginning, to the end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        first = self._resume()
        started = time.monotonic()
        sums: dict[str, float] = {}
        self.model.train()
        torch.set_flush_denormal(True)  # sure predictions leave gradients that a CPU is slow at otherwise
        for step in range(first, self.settings.steps):
            row = self._step(step)
            for key, value in row.items():
                sums[key] = sums.get(key, 0.0) + value
            if (step + 1) % self.settings.log_every == 0:
                row = {key: value / self.settings.log_every for key, value in sums.items()}
                sums = {}
                row["seconds"] = time.monotonic() - started
                self._log(step + 1, row)
                self.on_step(step + 1, row)
            if (step + 1) % self.settings.save_every == 0 or step + 1 == self.settings.steps:
                self._save(step + 1)

    def _step(self, step: int) -> dict[str, float]:
        settings = self.settings
        stage = settings.stage(step)
        batch = self.maker.batch(step, self._pick(step, stage), stage.negatives, stage.rows)
        for group in self._optimizer.param_groups:
            group["lr"] = group["base"] * settings.rate(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bfloat16):
            parts = losses(self.model, batch)
        total = float(parts.total.detach())
        if not math.isfinite(total):
            raise FloatingPointError(f"loss is {total} at step {step}; lower the learning rate")
        self._optimizer.zero_grad(set_to_none=True)
        parts.total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self._optimizer.step()
        return {name: float(getattr(parts, name).detach()) for name in ("answer", "span", "relevance")}

    def _pick(self, step: int, stage: Stage) -> list[int]:
        """Questions of one step: a walk through a permutation per epoch, the same for every run of a seed."""
        before = 0
        for earlier in self.settings.stages:
            if earlier is stage:
                break
            before += earlier.steps * earlier.questions
            step -= earlier.steps
        first = before + step * stage.questions
        picked = []
        for position in range(first, first + stage.questions):
            epoch, offset = divmod(position, len(self.train_questions))
            rng = np.random.default_rng([self.settings.seed, 1, epoch])
            picked.append(self.train_questions[rng.permutation(len(self.train_questions))[offset]])
        return picked

    def _log(self, step: int, row: dict[str, float]) -> None:
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": step, **{k: round(v, 5) for k, v in row.items()}}) + "\n")

    def _save(self, step: int) -> None:
        """Write weights, optimizer state and step; the last rename makes the checkpoint count."""
        tensors = {f"model.{name}": value for name, value in own_state(self.model).items()}
        for index, state in self._optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value).clone()
        target = self.folder / "checkpoint.safetensors"
        temporary = target.with_suffix(".tmp")
        settings = json.dumps(asdict(self.settings), sort_keys=True)
        save_file(tensors, temporary, metadata={"step": str(step), "settings": settings})
        os.replace(temporary, target)

    def _resume(self) -> int:
        """Load the checkpoint of the folder, if any; returns the next step.

        Raises `ValueError` if the checkpoint was made with other settings.
        """
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return 0
        with safe_open(path, "pt") as stored:
            metadata = stored.metadata()
        before, now = json.loads(metadata["settings"]), json.loads(json.dumps(asdict(self.settings)))
        changed = [name for name in now if now[name] != before.get(name)]
        if changed:
            raise ValueError(
                f"{path} was made with other settings ({', '.join(changed)}); use the same ones or another folder"
            )
        tensors = load_file(path)
        self.model.load_state_dict(
            {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}, strict=False
        )
        state: dict[int, dict[str, Any]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".", 2)
                state.setdefault(int(index), {})[name] = value
        current = self._optimizer.state_dict()
        self._optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})
        return int(metadata["step"])
