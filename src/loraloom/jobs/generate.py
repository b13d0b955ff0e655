"""The job of drawing pictures from prompts, each with the LoRAs that it names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from loraloom.events import Event, Finished, PhaseStarted, Planned, Sampled
from loraloom.generation.images import next_number, write_png
from loraloom.generation.infotext import Infotext, describe
from loraloom.generation.prompt import ParsedPrompt, negative_notices, parse_prompt
from loraloom.generation.request import ImageRequest, SamplingSettings
from loraloom.jobs.drawing import Drawn, draw_pictures, long_prompts, open_base, settings_for
from loraloom.jobs.drawing_options import GenerateOptions as GenerateOptions
from loraloom.jobs.library import Library
from loraloom.jobs.wardrobe import Wardrobe
from loraloom.models.model import AbstractModel


@final
@dataclass(frozen=True)
class _Order:
    """What is asked for, before anything heavy is loaded."""

    options: GenerateOptions
    prompts: Sequence[tuple[str, ParsedPrompt]]
    files: Mapping[str, Path]
    seed: int

    @classmethod
    def of(cls, options: GenerateOptions) -> _Order:
        options.drawing.sampler_labels()
        prompts = [(prompt, parse_prompt(prompt)) for prompt in options.prompts]
        names = dict.fromkeys(tag.name for _, parsed in prompts for tag in parsed.loras)
        library = Library.of(options.drawing.lora_dir) if names else Library({})
        files = {name: library.find(name) for name in names}
        return cls(options, prompts, files, options.drawing.first_seed())

    def summary(self) -> dict[str, Any]:
        drawing = self.options.drawing
        return {
            "model": drawing.model,
            "loras": {name: str(path) for name, path in self.files.items()},
            "images": len(self.prompts) * self.options.num_images,
            "sampler": ", ".join(drawing.sampler_labels()),
            "steps": drawing.steps,
            "seed": self.seed,
            "output_dir": str(drawing.output_dir),
        }

    def requests(self, wardrobe: Wardrobe) -> list[ImageRequest]:
        return [
            ImageRequest(
                prompt=parsed.text,
                negative_prompt=self.options.drawing.negative_prompt,
                seed=self.seed + number,
                strengths=wardrobe.strengths(parsed.loras),
            )
            for _, parsed in self.prompts
            for number in range(self.options.num_images)
        ]


def generate(options: GenerateOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Draw all prompts, in batches that mix their LoRAs freely, and write numbered PNG files.

    Every picture's file tells how it was made. `stop` is asked after each step; files that are
    there by then stay.
    """
    started = time.monotonic()
    order = _Order.of(options)
    yield Planned(job="generate", plan=order.summary())
    for _, parsed in order.prompts:
        yield from parsed.notices
    yield from negative_notices(options.drawing.negative_prompt)
    yield PhaseStarted(phase="model")
    model = open_base(options.drawing)
    texts = [parsed.text for _, parsed in order.prompts]
    yield from long_prompts(model, [*texts, options.drawing.negative_prompt])
    settings = settings_for(options.drawing, model)
    wardrobe = Wardrobe.of(model, order.files)
    written: list[Path] = []
    with wardrobe.attachment:
        for event in _draw(order, model, wardrobe, settings, stop):
            if isinstance(event, Sampled):
                written.append(event.path)
            yield event
    yield Finished(
        job="generate",
        seconds=time.monotonic() - started,
        interrupted=len(written) < len(order.prompts) * options.num_images,
        outputs=tuple(written),
    )


def _draw(
    order: _Order,
    model: AbstractModel,
    wardrobe: Wardrobe,
    settings: SamplingSettings,
    stop: Callable[[], bool],
) -> Iterator[Event]:
    drawing = order.options.drawing
    requests = order.requests(wardrobe)
    first = 0 if drawing.overwrite else next_number(drawing.output_dir)
    model_hash = model.base_hash()
    for event in draw_pictures(
        model,
        wardrobe.attachment,
        requests,
        settings,
        batch_size=drawing.batch_size,
        stop=stop,
    ):
        if not isinstance(event, Drawn):
            yield event
            continue
        request = requests[event.index]
        prompt, parsed = order.prompts[event.index // order.options.num_images]
        text = Infotext(
            prompt=prompt,
            negative_prompt=request.negative_prompt,
            fields=describe(
                settings,
                request.seed,
                model=model.name,
                model_hash=model_hash,
                lora_hashes=wardrobe.hashes_of(parsed.loras),
            ),
        )
        path = drawing.output_dir / f"{first + event.index:05d}-{request.seed}.png"
        write_png(event.picture, path, str(text), overwrite=drawing.overwrite)
        yield Sampled(path=path, prompt=prompt, seed=request.seed)
