"""An order of pictures carried out: the model, the LoRAs, and one file after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from loraloom.events import Event, Finished, PhaseStarted, Sampled
from loraloom.generation.images import write_png
from loraloom.generation.infotext import Infotext, describe
from loraloom.generation.request import ImageRequest, SamplingSettings
from loraloom.jobs.drawing import Drawn, draw_pictures, long_prompts, open_base
from loraloom.jobs.drawing_check import settings_for
from loraloom.jobs.generate import Order
from loraloom.jobs.wardrobe import Wardrobe, read_loras
from loraloom.models.model import AbstractModel


def draw(order: Order, stop: Callable[[], bool], started: float) -> Iterator[Event]:
    """Draw and write all pictures of an order, which `started` then on the steady clock."""
    drawing = order.options.drawing
    adapters = read_loras(order.files)
    yield PhaseStarted(phase="model")
    model = open_base(drawing)
    texts = [parsed.text for _, parsed in order.prompts]
    yield from long_prompts(model, [*texts, drawing.negative_prompt])
    settings = settings_for(drawing, model.geometry)
    wardrobe = Wardrobe.of(model, order.files, adapters)
    written: list[Path] = []
    with wardrobe.attachment:
        for event in _draw(order, model, wardrobe, settings, stop):
            if isinstance(event, Sampled):
                written.append(event.path)
            yield event
    yield Finished(
        job="generate",
        seconds=time.monotonic() - started,
        interrupted=len(written) < len(order.paths),
        outputs=tuple(written),
    )


def _draw(
    order: Order,
    model: AbstractModel,
    wardrobe: Wardrobe,
    settings: SamplingSettings,
    stop: Callable[[], bool],
) -> Iterator[Event]:
    drawing, per_prompt = order.options.drawing, order.options.num_images
    requests = [
        ImageRequest(
            prompt=parsed.text,
            negative_prompt=drawing.negative_prompt,
            seed=order.seed + number,
            strengths=wardrobe.strengths(parsed.loras),
        )
        for _, parsed in order.prompts
        for number in range(per_prompt)
    ]
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
        prompt, parsed = order.prompts[event.index // per_prompt]
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
        path = order.paths[event.index]
        write_png(event.picture, path, str(text), overwrite=drawing.overwrite)
        yield Sampled(path=path, prompt=prompt, seed=request.seed)
