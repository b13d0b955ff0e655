"""The job of drawing pictures from prompts, each with the LoRAs that it names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from loraloom.events import Event, Planned
from loraloom.generation.numbering import next_number
from loraloom.generation.prompt import ParsedPrompt, negative_notices, parse_prompt
from loraloom.jobs.drawing_check import check_drawing, check_pictures
from loraloom.jobs.drawing_options import GenerateOptions as GenerateOptions
from loraloom.jobs.memory import guarded


@final
@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for, proved before anything heavy is imported.

    `files` are the LoRAs by name; pictures are written to `paths`, those of a prompt one after the
    other with seeds that count up from `seed`.
    """

    options: GenerateOptions
    prompts: Sequence[tuple[str, ParsedPrompt]]
    files: Mapping[str, Path]
    seed: int
    paths: Sequence[Path]

    @classmethod
    def of(cls, options: GenerateOptions) -> Order:
        """Return the order; whatever can be known to be wrong with it is an error."""
        drawing = options.drawing
        prompts = [(prompt, parse_prompt(prompt)) for prompt in options.prompts]
        files = check_drawing(drawing, (tag.name for _, each in prompts for tag in each.loras))
        seed = drawing.first_seed()
        first = 0 if drawing.overwrite else next_number(drawing.output_dir)
        seeds = [seed + number for _ in prompts for number in range(options.num_images)]
        paths = [
            drawing.output_dir / f"{number:05d}-{each}.png"
            for number, each in enumerate(seeds, start=first)
        ]
        check_pictures(paths)
        return cls(options=options, prompts=prompts, files=files, seed=seed, paths=paths)

    def summary(self) -> dict[str, Any]:
        """Return the order as plain data."""
        drawing = self.options.drawing
        return {
            "model": drawing.model,
            "loras": {name: str(path) for name, path in self.files.items()},
            "images": len(self.paths),
            "sampler": ", ".join(drawing.sampler_labels()),
            "steps": drawing.steps,
            "seed": self.seed,
            "output_dir": str(drawing.output_dir),
            "first_file": self.paths[0].name,
        }


def generate(options: GenerateOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Draw all prompts, in batches that mix their LoRAs freely, and write numbered PNG files.

    Every picture's file tells how it was made. What can be known to be wrong is found before the
    model is loaded. `stop` is asked after each step; files that are there by then stay.
    """
    started = time.monotonic()
    order = Order.of(options)
    yield Planned(job="generate", plan=order.summary())
    for _, parsed in order.prompts:
        yield from parsed.notices
    yield from negative_notices(options.drawing.negative_prompt)

    # Only now, for this takes seconds.
    from loraloom.jobs.pictures import draw

    yield from guarded(draw(order, stop, started), "memory.drawing")
