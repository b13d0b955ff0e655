"""An order of a grid carried out: the model, the LoRAs, every cell, and one file of them all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from loraloom.events import Event, Finished, PhaseStarted, Saved
from loraloom.generation.grid import Label, draw_grid
from loraloom.generation.images import write_png
from loraloom.generation.infotext import Infotext, describe
from loraloom.generation.prompt import parse_prompt
from loraloom.generation.request import ImageRequest, SamplingSettings
from loraloom.jobs.drawing import Drawn, draw_pictures, long_prompts, open_base
from loraloom.jobs.drawing_check import settings_for
from loraloom.jobs.grid import Order
from loraloom.jobs.wardrobe import Wardrobe, read_loras
from loraloom.models.model import AbstractModel


def draw(order: Order, stop: Callable[[], bool], started: float) -> Iterator[Event]:
    """Draw all cells of an order, which `started` then on the steady clock; write the grid."""
    options = order.options
    adapters = read_loras(order.files)
    yield PhaseStarted(phase="model")
    model = open_base(options.drawing)
    texts = [parsed.text for parsed, _ in order.cells()]
    yield from long_prompts(model, [*texts, options.drawing.negative_prompt])
    settings = settings_for(options.drawing, model.geometry)
    wardrobe = Wardrobe.of(model, order.files, adapters)
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
    order: Order,
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
    write_png(grid, order.path, str(text), overwrite=drawing.overwrite)
    return order.path
