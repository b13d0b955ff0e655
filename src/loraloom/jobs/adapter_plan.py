"""One adapter's part of a run: its pictures, their sizes and its steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Final, final

from loraloom.data.bucket import Bucketing, Fit, Size
from loraloom.data.caption import plain_prompt
from loraloom.data.scan import Scan
from loraloom.data.updates import Epoch, count_epoch
from loraloom.jobs.dataset.steps import buckets_of, fits_of
from loraloom.jobs.outputs import Outputs
from loraloom.jobs.recipe import AdapterOptions, Recipe
from loraloom.jobs.seeing import caption_rules

_PROMPTS: Final = 3


@final
@dataclass(frozen=True)
class AdapterPlan:
    """One adapter's part of a run."""

    options: AdapterOptions
    scan: Scan
    bucketing: Bucketing
    numbers: int | None = None
    """How many numbers are trained, None where only loading the base can tell."""

    @cached_property
    def fits(self) -> tuple[Fit, ...]:
        """How each example comes into its bucket."""
        return fits_of(self.scan.examples, self.bucketing)

    @cached_property
    def sizes(self) -> tuple[Size, ...]:
        """The size that each example is trained at."""
        return tuple(fit.bucket for fit in self.fits)

    @cached_property
    def epoch(self) -> Epoch:
        """What an epoch comes to."""
        training = self.options.training
        return count_epoch(
            self.scan.examples,
            self.sizes,
            batch_size=training.train_batch_size,
            accumulation=training.gradient_accumulation_steps,
        )

    @property
    def uses_per_epoch(self) -> int:
        """How many training pictures an epoch shows, repeats counted."""
        return self.epoch.uses

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps per epoch; the last batch and the last gathering may be smaller."""
        return self.epoch.steps

    @property
    def largest_batch(self) -> tuple[Size, int]:
        """The size of the largest pictures, and the most rows of a forward pass."""
        size = max(self.sizes, key=lambda each: (math.prod(each), each))
        return size, min(self.options.training.train_batch_size, self.uses_per_epoch)

    @property
    def regularisation(self) -> int:
        """How many regularisation pictures there are."""
        return sum(example.regularisation for example in self.scan.examples)

    @property
    def steps(self) -> int:
        """Optimizer steps in all: by epochs where they are given, as in kohya's trainer."""
        training = self.options.training
        if training.max_train_epochs is not None:
            return training.max_train_epochs * self.steps_per_epoch
        return training.max_train_steps

    def outputs(self, recipe: Recipe) -> Outputs:
        """Return what the run writes of the adapter."""
        return Outputs(
            recipe=recipe,
            name=self.options.name,
            steps=self.steps,
            steps_per_epoch=self.steps_per_epoch,
        )

    def _prompts(self) -> Iterator[str]:
        """Yield a few prompts as they are trained, one of each subset before a second of one."""
        taught = [each for each in self.scan.examples if not each.regularisation]
        firsts = {each.subset: each for each in reversed(taught)}
        chosen = {each.path: each for each in (*reversed(firsts.values()), *taught)}
        for each in islice(chosen.values(), _PROMPTS):
            yield plain_prompt(each.caption, caption_rules(each, self.options.data, self.steps))

    def summary(self) -> Mapping[str, Any]:
        """Return the plan as plain data."""
        options = self.options
        trigger = options.data.trigger or ""
        network = options.network
        words = self.scan.words
        return {
            "name": options.name,
            "train_data_dir": str(options.data.train_data_dir),
            "images": len(self.scan.examples) - self.regularisation,
            "regularisation": self.regularisation or None,
            "uses_per_epoch": self.uses_per_epoch,
            "train_batch_size": options.training.train_batch_size,
            "buckets": buckets_of(self.scan.examples, self.fits, options.training.train_batch_size),
            "steps_per_epoch": self.steps_per_epoch,
            "steps": self.steps,
            "epochs": -(-self.steps // self.steps_per_epoch),
            "trigger": trigger,
            "captions": {name: count for name, count in words.captions.items() if count},
            "tokens": {
                "longest": words.longest,
                "mean": round(words.mean, 1),
                "limit": words.limit,
                "cut": words.cut,
            },
            "prompts": list(self._prompts()),
            "network_module": network.network_module,
            "network_dim": network.network_dim,
            "network_alpha": network.alpha,
            "scale": network.alpha / network.network_dim,
            "numbers": self.numbers,
            "learning_rate": options.optimizer.learning_rate,
            "seed": options.training.seed,
        }
