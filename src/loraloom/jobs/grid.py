"""The job of laying prompts by LoRA mixes into one labelled grid."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from PIL import Image

from loraloom.errors import UsageError
from loraloom.events import Event, Finished, PhaseStarted, Planned, Saved, Warned
from loraloom.generation.grid import Label, draw_grid
from loraloom.generation.images import next_number, write_png
from loraloom.generation.infotext import Infotext, describe
from loraloom.generation.lettering import missing_letters
from loraloom.generation.prompt import LoraTag, ParsedPrompt, negative_notices, parse_prompt
from loraloom.generation.request import ImageRequest, SamplingSettings
from loraloom.jobs.drawing import Drawn, draw_pictures, long_prompts, open_base, settings_for
from loraloom.jobs.drawing_options import GridOptions as GridOptions
from loraloom.jobs.library import Library
from loraloom.jobs.wardrobe import Wardrobe
from loraloom.models.model import AbstractModel

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
@dataclass(frozen=True)
class _Order:
    """What is asked for, before anything heavy is loaded: rows by columns of parsed prompts."""

    options: GridOptions
    columns: Sequence[Mix]
    rows: Sequence[tuple[str, int]]
    files: Mapping[str, Path]

    @classmethod
    def of(cls, options: GridOptions) -> _Order:
        options.drawing.sampler_labels()
        if options.labels and len(options.labels) != len(options.mix):
            raise UsageError("grid.labels", labels=len(options.labels), mixes=len(options.mix))
        labels = options.labels or (None,) * len(options.mix)
        base = [Mix("", BASE)] if options.include_base or not options.mix else []
        columns = [*base, *map(Mix.parse, options.mix, labels)]
        seed = options.drawing.first_seed()
        rows = [(prompt, seed + n) for prompt in options.prompts for n in range(options.num_images)]
        everything = "".join([*(column.tags for column in columns), *options.prompts])
        names = [tag.name for tag in parse_prompt(everything).loras]
        library = Library.of(options.drawing.lora_dir) if names else Library({})
        return cls(options, columns, rows, {name: library.find(name) for name in names})

    def summary(self) -> dict[str, Any]:
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
        }

    def cells(self) -> list[tuple[ParsedPrompt, int]]:
        """Return what every cell shows and its seed, row by row."""
        return [
            (parse_prompt(prompt + column.tags), seed)
            for prompt, seed in self.rows
            for column in self.columns
        ]

    def notices(self) -> Iterator[Warned]:
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

    `stop` is asked after each step; a grid that is not finished is not written.
    """
    started = time.monotonic()
    order = _Order.of(options)
    yield Planned(job="grid", plan=order.summary())
    yield from order.notices()
    yield PhaseStarted(phase="model")
    model = open_base(options.drawing)
    texts = [parsed.text for parsed, _ in order.cells()]
    yield from long_prompts(model, [*texts, options.drawing.negative_prompt])
    settings = settings_for(options.drawing, model)
    wardrobe = Wardrobe.of(model, order.files)
    requests = [
        ImageRequest(
            prompt=parsed.text,
            negative_prompt=options.drawing.negative_prompt,
            seed=seed,
            strengths=wardrobe.strengths(parsed.loras),
        )
        for parsed, seed in order.cells()
    ]
    pictures: list[Image.Image] = []
    with wardrobe.attachment:
        for event in draw_pictures(
            model,
            wardrobe.attachment,
            requests,
            settings,
            batch_size=options.drawing.batch_size,
            stop=stop,
        ):
            if isinstance(event, Drawn):
                pictures.append(event.picture)
            else:
                yield event
    finished = len(pictures) == len(requests)
    outputs = (_write(order, pictures, model, settings, wardrobe),) if finished else ()
    for path in outputs:
        yield Saved(path=path, what="grid")
    yield Finished(
        job="grid",
        seconds=time.monotonic() - started,
        interrupted=not finished,
        outputs=outputs,
    )


def _write(
    order: _Order,
    pictures: Sequence[Image.Image],
    model: AbstractModel,
    settings: SamplingSettings,
    wardrobe: Wardrobe,
) -> Path:
    """Lay the pictures out and write them; the infotext is the first cell's, with both axes."""
    drawing, across = order.options.drawing, len(order.columns)
    rows = [pictures[start : start + across] for start in range(0, len(pictures), across)]
    labels = [
        Label(parse_prompt(prompt).text.strip(), f"seed {seed}") for prompt, seed in order.rows
    ]
    grid = draw_grid(rows, labels, [Label(column.label) for column in order.columns])
    fields = describe(
        settings,
        order.rows[0][1],
        model=model.name,
        model_hash=model.base_hash(),
        lora_hashes=wardrobe.hashes,
    )
    axes = {
        "Grid columns": json.dumps([c.label for c in order.columns], ensure_ascii=False),
        "Grid rows": json.dumps(list(order.options.prompts), ensure_ascii=False),
    }
    text = Infotext(
        prompt=order.rows[0][0] + order.columns[0].tags,
        negative_prompt=drawing.negative_prompt,
        fields=fields | axes,
    )
    number = 0 if drawing.overwrite else next_number(drawing.output_dir)
    path = drawing.output_dir / f"{number:05d}-grid.png"
    write_png(grid, path, str(text), overwrite=drawing.overwrite)
    return path


def _worded(tag: LoraTag) -> str:
    if tag.text_encoder == tag.unet:
        return f"{tag.name} {tag.unet:g}"
    return f"{tag.name} {tag.text_encoder:g}/{tag.unet:g}"
