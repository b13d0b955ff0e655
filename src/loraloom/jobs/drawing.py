"""Drawing: requests in batches to pictures, with progress after every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

from PIL import Image

from loraloom.adapters.attachment import Attachment
from loraloom.events import Advanced, PhaseStarted, Warned
from loraloom.generation.images import to_pictures
from loraloom.generation.request import ImageRequest, SamplingSettings
from loraloom.generation.sampling import sampling_steps
from loraloom.jobs.base_model import open_model
from loraloom.jobs.device import choose_device, choose_dtype
from loraloom.jobs.drawing_options import DrawingOptions
from loraloom.models.model import AbstractModel

PHASE: Final = "sampling"


def open_base(options: DrawingOptions) -> AbstractModel:
    """Load the base model that the options name."""
    device = choose_device(options.device)
    return open_model(options.model, device, choose_dtype(options.dtype, device))


@final
@dataclass(frozen=True)
class Drawn:
    """The picture of the request at `index`."""

    index: int
    picture: Image.Image


def draw_pictures(
    model: AbstractModel,
    attachment: Attachment,
    requests: Sequence[ImageRequest],
    settings: SamplingSettings,
    *,
    batch_size: int,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[PhaseStarted | Advanced | Drawn]:
    """Yield each picture as its batch is finished, and the steps done, which all batches add up.

    Asked to stop, it ends after the step; pictures of an unfinished batch are lost.
    """
    batches = math.ceil(len(requests) / batch_size)
    yield PhaseStarted(phase=PHASE, total=batches * settings.steps)
    for number in range(batches):
        first = number * batch_size
        batch = requests[first : first + batch_size]
        work = sampling_steps(model, attachment, batch, settings)
        before = number * settings.steps
        while True:
            try:
                done = next(work)
            except StopIteration as finished:
                pictures = to_pictures(finished.value)
                break
            yield Advanced(phase=PHASE, done=before + done)
            if stop():
                return
        yield Advanced(phase=PHASE, done=before + settings.steps)
        for offset, picture in enumerate(pictures):
            yield Drawn(first + offset, picture)
        if stop():
            return


def long_prompts(model: AbstractModel, prompts: Iterable[str]) -> Iterator[Warned]:
    """Yield a warning for each prompt whose end the text encoder does not see."""
    for prompt in dict.fromkeys(prompts):
        tokens = model.count_tokens(prompt)
        if tokens > model.token_limit:
            details = {"tokens": tokens, "limit": model.token_limit, "prompt": prompt}
            yield Warned(code="prompt.too_long", details=details)
