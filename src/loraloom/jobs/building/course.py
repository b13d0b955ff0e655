"""A training run of one playground network: averaged weights, a log, and exact resumption."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from loraloom.events import Advanced, Event, PhaseStarted
from loraloom.jobs.building.curve import Curve, Prolonged
from loraloom.jobs.building.logs import log_file, read_entries, write_entries

_LOGGED_AT_START = 100
_LOG_EVERY = 25
_RAMP = 50
"""Steps over which the learning rate rises again where the optimizer starts anew."""


@final
@dataclass(frozen=True, kw_only=True)
class Course:
    """Train `network` for `steps` steps of `loss(step, generator)`.

    Checkpoints are written to `folder` every `save_every` steps; starting again goes on from the
    last one with the same random numbers. The first steps are all logged, so that a replay can be
    compared with the log; later every 25th.
    """

    name: str
    network: nn.Module
    loss: Callable[[int, torch.Generator], Tensor]
    steps: int
    learning_rate: Curve | Prolonged
    folder: Path
    seed: int
    averaging: float
    weight_decay: float = 0.01
    save_every: int = 100

    def run(self, until: int | None = None) -> Iterator[Event]:
        """Train to the end, or to step `until`; yield progress."""
        last = self.steps if until is None else min(until, self.steps)
        generator = torch.Generator().manual_seed(self.seed)
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.learning_rate.peak,
            betas=(0.9, 0.99),
            weight_decay=self.weight_decay,
        )
        average = {name: value.clone() for name, value in self.network.state_dict().items()}
        first, ramped_from = self._restore(optimizer, generator, average)
        log = log_file(self.folder, self.name)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._truncate(log, first)
        yield PhaseStarted(phase=self.name, total=last)
        started = time.monotonic()
        for step in range(first, last):
            learning_rate = self.learning_rate(step) * min(1.0, (step - ramped_from + 1) / _RAMP)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            loss = self.loss(step, generator)
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            optimizer.step()
            self._follow(average, step)
            if step < _LOGGED_AT_START or (step + 1) % _LOG_EVERY == 0:
                line = {
                    "step": step,
                    "loss": round(loss.item(), 6),
                    "gradient_norm": round(norm.item(), 4),
                    "learning_rate": round(learning_rate, 8),
                    "threads": torch.get_num_threads(),
                    "seconds": round(time.monotonic() - started, 1),
                }
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            if (step + 1) % self.save_every == 0 or step + 1 == last:
                self._save(step + 1, optimizer, generator, average, ramped_from)
            yield Advanced(phase=self.name, done=step + 1)

    def adopt(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Write a checkpoint at `step` from weights alone, for a course whose own ones are lost.

        What cannot be known again starts anew: the optimizer's state and the random numbers.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.float() for name, value in weights.items()}
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        self._write(
            {
                "step": step,
                "network": weights,
                "generator": generator.get_state(),
                "average": weights,
                "ramped_from": step,
            }
        )

    def averaged(self) -> Mapping[str, Tensor]:
        """Return the averaged weights of the last checkpoint."""
        return torch.load(self._checkpoint, weights_only=True)["average"]

    @property
    def _checkpoint(self) -> Path:
        return self.folder / f"{self.name}.checkpoint.pt"

    def _follow(self, average: dict[str, Tensor], step: int) -> None:
        """Move the average towards the weights; early on faster, so that it forgets the start."""
        keep = min(self.averaging, (1 + step) / (10 + step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value, 1 - keep)
            else:
                average[name].copy_(value)

    def _save(
        self,
        step: int,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        average: Mapping[str, Tensor],
        ramped_from: int,
    ) -> None:
        self._write(
            {
                "step": step,
                "network": self.network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "generator": generator.get_state(),
                "average": dict(average),
                "ramped_from": ramped_from,
            }
        )

    def _write(self, state: Mapping[str, Any]) -> None:
        unfinished = self._checkpoint.with_suffix(".part")
        torch.save(dict(state), unfinished)
        unfinished.replace(self._checkpoint)

    def _restore(
        self,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        average: dict[str, Tensor],
    ) -> tuple[int, int]:
        """Return the step to go on with, and the one from which the learning rate is ramped."""
        if not self._checkpoint.exists():
            return 0, -_RAMP
        state = torch.load(self._checkpoint, weights_only=True)
        self.network.load_state_dict(state["network"])
        if "optimizer" in state:
            optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        for name, value in state["average"].items():
            average[name].copy_(value)
        return state["step"], state["ramped_from"]

    def _truncate(self, log: Path, first: int) -> None:
        """Drop log lines of steps that a lost process did after its last checkpoint."""
        if log.exists():
            write_entries(log, [entry for entry in read_entries(log) if entry["step"] < first])
