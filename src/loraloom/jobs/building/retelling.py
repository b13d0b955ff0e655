"""The captioner saved as transformers reads it, and measured by what it says of known scenes."""

# The model classes of transformers are only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from loraloom.jobs.building.captioner import empty_captioner, new_guide
from loraloom.jobs.building.pool import Pool
from loraloom.models.captioning.blip import load_blip
from loraloom.models.captioning.captioner import Wording
from loraloom.models.quiet import quietly
from loraloom.playground.captions import place_named, things_named

_CHUNK = 50


def save_captioner(weights: Mapping[str, Tensor], processor: Any, folder: Path) -> None:
    """Write the captioner in half precision; its guide, which is among the weights, is not kept."""
    network = empty_captioner(processor.tokenizer)
    prefix = "captioner."
    network.load_state_dict(
        {
            name.removeprefix(prefix): value
            for name, value in weights.items()
            if name.startswith(prefix)
        }
    )
    with quietly():
        network.half().save_pretrained(folder)
        processor.save_pretrained(folder)
        # Two files that older versions of transformers look for.
        processor.image_processor.save_pretrained(folder)
    vocabulary: dict[str, int] = processor.tokenizer.get_vocab()
    lines = sorted(vocabulary, key=lambda token: vocabulary[token])
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_captioner(folder: Path) -> nn.ModuleDict:
    """Return the saved captioner with a guide that knows nothing yet, as a course trains them."""
    captioner = load_blip(folder, "blip", Wording(), torch.device("cpu"), torch.float32)
    return nn.ModuleDict({"captioner": captioner.network, "guide": new_guide()})


def retold(folder: Path, pool: Pool) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Yield each style with the shares of its pictures of which the caption is right.

    `one_thing` and `two_things` are right where exactly the objects of such a scene are named, each
    with its colour; `background` where exactly that is named.
    """
    captioner = load_blip(folder, "blip", Wording(), torch.device("cpu"), torch.float32)
    pictures, styles = pool.pixels(), len(pool.styles)
    for place, style in enumerate(pool.styles):
        numbers = range(place, pool.count, styles)
        answers: dict[str, list[bool]] = {"one_thing": [], "two_things": [], "background": []}
        for start in range(0, len(numbers), _CHUNK):
            chunk = numbers[start : start + _CHUNK]
            said = captioner.describe([Image.fromarray(pictures[number]) for number in chunk])
            for number, text in zip(chunk, said, strict=True):
                scene, _, _ = pool.scene(number)
                truth = frozenset((thing.colour, thing.kind) for thing in scene.things)
                things = "one_thing" if len(truth) == 1 else "two_things"
                answers[things].append(things_named(text) == truth)
                answers["background"].append(place_named(text) == scene.background)
        yield style, {name: sum(right) / len(right) for name, right in answers.items()}
