"""The job of laying prompts by LoRA mixes into one labelled grid."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from loraloom.errors import UsageError
from loraloom.events import Event, Planned, Warned
from loraloom.generation.lettering import missing_letters
from loraloom.generation.numbering import next_number
from loraloom.generation.prompt import LoraTag, ParsedPrompt, negative_notices, parse_prompt
from loraloom.jobs.drawing_check import check_drawing, check_pictures
from loraloom.jobs.drawing_options import GridOptions as GridOptions
from loraloom.jobs.memory import guarded

BASE = "base"


@final
@dataclass(frozen=True)
class Mix:
    """The LoRAs of a column: what it adds to a prompt, and its label."""

    tags: str
    label: str

    @classmethod
    def parse(cls, text: str, label: str | None = None) -> Mix:
        """Read `anime:0.8+watercolor:0.5`; each part is what a tag of a prompt holds.

        A strength that is no number, or a missing name, is a `UsageError`.
        """
        tags = "".join(f"<lora:{part.strip()}>" for part in text.split("+"))
        parsed = parse_prompt(tags)
        if parsed.text:
            raise UsageError("grid.mix", mix=text)
        return cls(tags, label or " + ".join(_worded(tag) for tag in parsed.loras))


@final
@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for, proved before anything heavy is imported: rows by columns of prompts.

    `files` are the LoRAs by name; the grid is written to `path`.
    """

    options: GridOptions
    columns: Sequence[Mix]
    rows: Sequence[tuple[str, int]]
    files: Mapping[str, Path]
    path: Path

    @classmethod
    def of(cls, options: GridOptions) -> Order:
        """Return the order; whatever can be known to be wrong with it is an error."""
        drawing = options.drawing
        if options.labels and len(options.labels) != len(options.mix):
            raise UsageError("grid.labels", labels=len(options.labels), mixes=len(options.mix))
        labels = options.labels or (None,) * len(options.mix)
        base = [Mix("", BASE)] if options.include_base or not options.mix else []
        columns = [*base, *map(Mix.parse, options.mix, labels)]
        everything = "".join([*(column.tags for column in columns), *options.prompts])
        files = check_drawing(drawing, (tag.name for tag in parse_prompt(everything).loras))
        seed = drawing.first_seed()
        number = 0 if drawing.overwrite else next_number(drawing.output_dir)
        path = drawing.output_dir / f"{number:05d}-grid.png"
        check_pictures([path])
        return cls(
            options=options,
            columns=columns,
            rows=[
                (prompt, seed + n) for prompt in options.prompts for n in range(options.num_images)
            ],
            files=files,
            path=path,
        )

    def summary(self) -> dict[str, Any]:
        """Return the order as plain data."""
        drawing = self.options.drawing
        return {
            "model": drawing.model,
            "loras": {name: str(path) for name, path in self.files.items()},
            "columns": [column.label for column in self.columns],
            "images": len(self.rows) * len(self.columns),
            "sampler": ", ".join(drawing.sampler_labels()),
            "steps": drawing.steps,
            "seed": self.rows[0][1],
            "output_dir": str(drawing.output_dir),
            "first_file": self.path.name,
        }

    def cells(self) -> list[tuple[ParsedPrompt, int]]:
        """Return what every cell shows and its seed, row by row."""
        return [
            (parse_prompt(prompt + column.tags), seed)
            for prompt, seed in self.rows
            for column in self.columns
        ]

    def notices(self) -> Iterator[Warned]:
        """Yield what the author of the prompts and mixes should know."""
        for prompt in self.options.prompts:
            yield from parse_prompt(prompt).notices
        for column in self.columns:
            yield from parse_prompt(column.tags).notices
        yield from negative_notices(self.options.drawing.negative_prompt)
        lettering = "".join([*self.options.prompts, *(column.label for column in self.columns)])
        if letters := missing_letters(lettering):
            yield Warned(code="grid.no_letters", details={"letters": letters})


def make_grid(options: GridOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Draw every prompt through every mix, with the same noise along a row; write one PNG.

    What can be known to be wrong is found before the model is loaded. `stop` is asked after each
    step; a grid that is not finished is not written.
    """
    started = time.monotonic()
    order = Order.of(options)
    yield Planned(job="grid", plan=order.summary())
    yield from order.notices()

    # Only now, for this takes seconds.
    from loraloom.jobs.sheet import draw

    yield from guarded(draw(order, stop, started), "memory.drawing")


def _worded(tag: LoraTag) -> str:
    if tag.text_encoder == tag.unet:
        return f"{tag.name} {tag.unet:g}"
    return f"{tag.name} {tag.text_encoder:g}/{tag.unet:g}"
