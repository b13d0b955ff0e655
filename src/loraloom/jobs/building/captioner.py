"""The playground's captioner: a small BLIP that has read drawn scenes in every style.

A transformer has to learn from nothing what a convolution is born with, and a caption says little
about where to look. Two things make minutes out of hours: patches and places are embedded in a
good basis at the start, and while it learns, each patch is also asked what it shows a part of.
"""

# The model classes of transformers are only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import BlipConfig, BlipForConditionalGeneration

from loraloom.jobs.building.autoencoder import to_unit
from loraloom.jobs.building.course import Course
from loraloom.jobs.building.curve import Curve, Prolonged
from loraloom.jobs.building.pool import SIDE
from loraloom.jobs.building.wordpieces import BEGIN
from loraloom.playground.captions import plain_caption
from loraloom.playground.scenes import BACKGROUNDS, COLOURS, OBJECTS, Scene

_LEGS: Final = ((1200, 4000), (5500, 5500), (8000, 8000))
"""The course was prolonged twice: until which step, and for how many its rate was drawn."""
_BATCH = 16
_PATCH: Final = 16
_CELLS: Final = SIDE // _PATCH
_WIDTH: Final = 128
_POSITIONS = 128
"""Longest text: more than any option asks for."""
_TOKENS = 28
"""Longest caption of the world, with its two marks and some room."""
_SHIFT = 4
"""A picture is moved by up to so many pixels, which changes no word of its caption."""
_NOISE = 0.1
_TINT = 0.1
_MARGIN = 0.03
"""Patches whose centre is so near a thing's frame, in shares of the picture, show a part of it."""
_NOTHING_WEIGHT = 0.25


@final
@dataclass(frozen=True, kw_only=True)
class Lessons:
    """Pictures with what is to be said of them, and what each patch of them shows.

    `parts` holds for each patch the number of its object and of its colour, 0 where it shows none.
    """

    pictures: NDArray[np.uint8]
    tokens: Int[Tensor, "pictures choices tokens"]
    parts: Int[Tensor, "pictures 2 patches"]
    backgrounds: Int[Tensor, " pictures"]


def lessons_of(
    tokenizer: Any, pictures: NDArray[np.uint8], scenes: Sequence[Scene], captions: Sequence[str]
) -> Lessons:
    """Return the lessons of pictures whose scenes are known; half say it in the simplest form."""
    said = (captions, [plain_caption(scene) for scene in scenes])
    parts = np.stack([_parts(scene) for scene in scenes])
    return Lessons(
        pictures=pictures,
        tokens=torch.stack([_encode(tokenizer, texts) for texts in said], dim=1),
        parts=torch.from_numpy(parts).flatten(2),
        backgrounds=torch.tensor([BACKGROUNDS.index(scene.background) for scene in scenes]),
    )


def new_captioner(tokenizer: Any, seed: int, examples: NDArray[np.uint8]) -> Any:
    """Return the untrained network.

    Patches are embedded by the principal components of those of the examples, of equal strength.
    """
    torch.manual_seed(seed)
    network = empty_captioner(tokenizer)
    weight, bias = _patch_basis(to_unit(examples))
    embeddings = network.vision_model.embeddings
    with torch.no_grad():
        embeddings.patch_embedding.weight.copy_(weight)
        embeddings.patch_embedding.bias.copy_(bias)
        embeddings.position_embedding[0, 1:].copy_(_places())
    return network


def empty_captioner(tokenizer: Any) -> Any:
    """Return the network at random: 0.8 million parameters see, 0.5 million write."""
    shared = {"hidden_size": _WIDTH, "projection_dim": _WIDTH, "num_attention_heads": 4}
    config = BlipConfig(
        vision_config={
            **shared,
            "intermediate_size": 3 * _WIDTH,
            "num_hidden_layers": 4,
            "image_size": SIDE,
            "patch_size": _PATCH,
            "initializer_range": 0.02,
        },
        text_config={
            **shared,
            "vocab_size": len(tokenizer),
            "encoder_hidden_size": _WIDTH,
            "intermediate_size": 3 * _WIDTH,
            "num_hidden_layers": 2,
            "max_position_embeddings": _POSITIONS,
            "bos_token_id": tokenizer.convert_tokens_to_ids(BEGIN),
            "eos_token_id": tokenizer.sep_token_id,
            "sep_token_id": tokenizer.sep_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        projection_dim=_WIDTH,
        image_text_hidden_size=_WIDTH,
        initializer_range=0.02,
    )
    return BlipForConditionalGeneration(config)


def new_guide() -> nn.ModuleDict:
    """Return the heads that ask each patch, and the whole, what they show."""
    return nn.ModuleDict(
        {
            "object": nn.Linear(_WIDTH, 1 + len(OBJECTS)),
            "colour": nn.Linear(_WIDTH, 1 + len(COLOURS)),
            "background": nn.Linear(_WIDTH, len(BACKGROUNDS)),
        }
    )


def captioner_course(
    network: Any, lessons: Lessons, padding: int, folder: Path, seed: int
) -> Course:
    """Train on pictures that are moved and disturbed a little, with a guide."""
    guide = new_guide()
    network.requires_grad_(True).train()
    return Course(
        name="captioner",
        network=nn.ModuleDict({"captioner": network, "guide": guide}),
        loss=_loss(network, guide, lessons, padding),
        steps=_LEGS[-1][0],
        learning_rate=Prolonged(tuple((until, _curve(steps)) for until, steps in _LEGS)),
        folder=folder,
        seed=seed,
        averaging=0.995,
    )


def _curve(steps: int) -> Curve:
    return Curve(peak=1.5e-3, floor=1e-5, warmup=100, steps=steps)


def _loss(
    network: Any, guide: nn.ModuleDict, lessons: Lessons, padding: int
) -> Callable[[int, torch.Generator], Tensor]:
    objects, colours = (
        torch.tensor([_NOTHING_WEIGHT, *[1.0] * len(known)]) for known in (OBJECTS, COLOURS)
    )

    def loss(step: int, generator: torch.Generator) -> Tensor:
        numbers = torch.randint(len(lessons.pictures), (_BATCH,), generator=generator)
        choices = torch.randint(lessons.tokens.shape[1], (_BATCH,), generator=generator)
        ids = lessons.tokens[numbers, choices]
        ids = ids[:, : int((ids != padding).sum(dim=1).max())]
        pixels = _disturbed(to_unit(lessons.pictures[numbers.numpy()]), generator)
        seen: Tensor = network.vision_model(pixels).last_hidden_state
        said = network.text_decoder(
            input_ids=ids,
            attention_mask=(ids != padding).long(),
            encoder_hidden_states=seen,
            labels=ids.masked_fill(ids == padding, -100),
            reduction="mean",
        )
        patches = seen[:, 1:].transpose(1, 2)
        parts = lessons.parts[numbers]
        return (
            said.loss
            + F.cross_entropy(_asked(guide["object"], patches), parts[:, 0], objects)
            + F.cross_entropy(_asked(guide["colour"], patches), parts[:, 1], colours)
            + F.cross_entropy(guide["background"](seen[:, 0]), lessons.backgrounds[numbers])
        )

    return loss


def _asked(head: nn.Module, patches: Float[Tensor, "batch width n"]) -> Tensor:
    return head(patches.transpose(1, 2)).transpose(1, 2)


def _encode(tokenizer: Any, captions: Sequence[str]) -> Int[Tensor, "pictures tokens"]:
    """Return captions as tokens, beginning as a generated one does."""
    ids = torch.tensor(
        tokenizer(list(captions), padding="max_length", max_length=_TOKENS)["input_ids"]
    )
    ids[:, 0] = tokenizer.convert_tokens_to_ids(BEGIN)
    return ids


def _parts(scene: Scene) -> NDArray[np.int64]:
    """Return the object and colour that each patch shows a part of, [2, rows, columns], from 1."""
    shown = np.zeros((2, _CELLS, _CELLS), np.int64)
    centres = (np.arange(_CELLS) + 0.5) / _CELLS
    for thing in scene.things:
        reach = thing.size / 2 + _MARGIN
        down, across = abs(centres - thing.y) < reach, abs(centres - thing.x) < reach
        shown[0][np.ix_(down, across)] = 1 + OBJECTS.index(thing.kind)
        shown[1][np.ix_(down, across)] = 1 + COLOURS.index(thing.colour)
    return shown


def _patch_basis(pixels: Float[Tensor, "n 3 128 128"]) -> tuple[Tensor, Tensor]:
    """Return weight and bias of an embedding whose outputs are uncorrelated and equally strong.

    The components are turned at random, so that no output is born weightier than another.
    """
    patches = F.unfold(pixels, _PATCH, stride=_PATCH).transpose(1, 2).flatten(0, 1)
    mean = patches.mean(dim=0)
    covariance = (patches - mean).T @ (patches - mean) / len(patches)
    values, vectors = torch.linalg.eigh(covariance)
    components = (vectors[:, -_WIDTH:] / (values[-_WIDTH:] + 1e-2).sqrt()).T
    turn, _ = torch.linalg.qr(torch.randn(_WIDTH, _WIDTH))
    weight = 0.5 * turn @ components
    return weight.reshape(_WIDTH, 3, _PATCH, _PATCH), -weight @ mean


def _places() -> Float[Tensor, "patches width"]:
    """Return sines and cosines of each patch's row and column (as in arXiv 2205.01580)."""
    frequencies = 100 ** -(torch.arange(_WIDTH // 4) / (_WIDTH // 4))
    rows, columns = torch.meshgrid(*[torch.arange(_CELLS).float()] * 2, indexing="ij")
    angles = [axis.flatten()[:, None] * frequencies for axis in (rows, columns)]
    return 0.5 * torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], 1)


def _disturbed(
    pixels: Float[Tensor, "batch 3 128 128"], generator: torch.Generator
) -> Float[Tensor, "batch 3 128 128"]:
    """Shift each picture, its edges drawn out, and change its tint and noise a little."""
    wide = F.pad(pixels, (_SHIFT,) * 4, mode="replicate")
    places = torch.randint(2 * _SHIFT + 1, (len(pixels), 2), generator=generator).tolist()
    moved = torch.stack(
        [
            picture[:, down : down + SIDE, across : across + SIDE]
            for picture, (down, across) in zip(wide, places, strict=True)
        ]
    )
    tint = _TINT * (torch.rand(len(pixels), 3, 1, 1, generator=generator) - 0.5)
    strength = _NOISE * torch.rand(len(pixels), 1, 1, 1, generator=generator)
    noise = torch.randn(pixels.shape, generator=generator) * strength
    return (moved + tint + noise).clamp(-1, 1)
