"""What a run writes of one adapter: after which steps, into which files, and how many in all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from loraloom.jobs.adapter_files import epoch_path, final_path, step_of, step_path
from loraloom.jobs.recipe import Recipe


@final
@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The files and samples of an adapter that is trained for `steps` steps."""

    recipe: Recipe
    name: str
    steps: int
    steps_per_epoch: int

    def path_after(self, step: int) -> Path | None:
        """Return the file that is written after a step, None if none is due.

        At an adapter's last step it is the finished adapter's; otherwise a file by steps goes
        before one by epochs.
        """
        recipe, name, epoch = self.recipe, self.name, self.steps_per_epoch
        if step >= self.steps:
            return final_path(recipe, name)
        if _is_due(step, recipe.save_every_n_steps):
            return step_path(recipe, name, step)
        if _is_due(step, recipe.save_every_n_epochs, epoch):
            return epoch_path(recipe, name, step // epoch)
        return None

    def draws_after(self, step: int) -> bool:
        """Tell whether samples are due after a step; after the last one they are."""
        recipe, epoch = self.recipe, self.steps_per_epoch
        return (
            step >= self.steps
            or _is_due(step, recipe.sample_every_n_steps)
            or _is_due(step, recipe.sample_every_n_epochs, epoch)
        )

    @property
    def files(self) -> int:
        """How many files (or folders) of the adapter are written."""
        recipe = self.recipe
        return self._times(recipe.save_every_n_steps, recipe.save_every_n_epochs)

    @property
    def drawings(self) -> int:
        """How often the sample prompts are drawn with the adapter."""
        recipe = self.recipe
        times = self._times(recipe.sample_every_n_steps, recipe.sample_every_n_epochs)
        return times + recipe.sample_at_first

    def will_write(self, path: Path) -> bool:
        """Tell whether a path is one of the files that training this adapter writes."""
        if path == final_path(self.recipe, self.name):
            return True
        step = step_of(self.recipe, self.name, path, self.steps_per_epoch)
        return bool(step) and path == self.path_after(min(step, self.steps))

    def _times(self, every_steps: int | None, every_epochs: int | None) -> int:
        """Return after how many steps something is due, the last one included."""
        by_steps = self._before_the_end(every_steps or 0)
        by_epochs = self._before_the_end((every_epochs or 0) * self.steps_per_epoch)
        return len({*by_steps, *by_epochs}) + 1

    def _before_the_end(self, every: int) -> range:
        return range(every, self.steps, every) if every else range(0)


def _is_due(step: int, every: int | None, unit: int = 1) -> bool:
    """Tell whether something is due after a step that is done every so many units of steps."""
    return every is not None and step % (every * unit) == 0
