"""Sample pictures while training: the recipe's prompts, drawn with an adapter as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import final

import torch

from loraloom.adapters.attachment import Attachment
from loraloom.events import Event, Sampled, Warned
from loraloom.generation.images import to_pictures, write_png
from loraloom.generation.request import ImageRequest, SamplingSettings
from loraloom.generation.sampling import sample
from loraloom.jobs.recipe import Recipe
from loraloom.jobs.sample_prompts import SamplePrompt, parse_sample_prompt
from loraloom.models.model import AbstractModel


@final
class Previews:
    """Draws samples into the run's folder; nothing that training draws from is touched."""

    def __init__(self, recipe: Recipe, model: AbstractModel, attachment: Attachment) -> None:
        self._model = model
        self._attachment = attachment
        self._folder = recipe.run_dir / "samples"
        self._overwrite = recipe.overwrite
        self._options = {each.name: each for each in recipe.adapters}
        self._prompts = [parse_sample_prompt(line) for line in recipe.sample_prompts]

    def draw(self, names: Sequence[str], step: int) -> Iterator[Event]:
        """Draw every prompt with each of the adapters alone, at strength 1."""
        for name in names:
            for number, prompt in enumerate(self._prompts):
                yield self._draw_one(name, number, prompt, step)

    def _draw_one(
        self, name: str, number: int, prompt: SamplePrompt, step: int
    ) -> Sampled | Warned:
        model, options = self._model, self._options[name]
        seed = options.training.seed if prompt.seed is None else prompt.seed
        width, height = options.data.resolution or (model.resolution, model.resolution)
        settings = SamplingSettings(
            steps=prompt.steps,
            cfg_scale=prompt.cfg_scale,
            width=prompt.width or width,
            height=prompt.height or height,
            clip_skip=options.training.clip_skip,
        )
        request = ImageRequest(
            prompt=prompt.prompt,
            negative_prompt=prompt.negative_prompt,
            seed=seed,
            strengths={name: dict.fromkeys(model.networks, 1.0)},
        )
        pixels = sample(model, self._attachment, [request], settings)
        assert pixels is not None  # Nothing asks it to stop.
        if not bool(torch.isfinite(pixels).all()):
            # The adapter is breaking, or half precision overflowed; the run must not end for it.
            details = {"adapter": name, "step": step, "prompt": prompt.prompt}
            return Warned(code="samples.not_finite", details=details)
        path = self._folder / f"{name}_{step:08d}_{number:02d}_{seed}.png"
        words = (
            f"{prompt.prompt}\nSteps: {prompt.steps}, CFG scale: {prompt.cfg_scale}, Seed: {seed}"
        )
        write_png(to_pictures(pixels)[0], path, words, overwrite=self._overwrite)
        return Sampled(path=path, prompt=prompt.prompt, seed=seed, step=step, adapter=name)
