"""The demonstration's training folders: real pictures and captions, drawn by the playground."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import numpy as np
from PIL import Image

from loraloom.errors import OutputError
from loraloom.events import Advanced, Event, PhaseStarted
from loraloom.playground.captions import plain_prompt
from loraloom.playground.scenes import OBJECTS, sample_scene
from loraloom.playground.styles import STYLES, render

TAUGHT: Final = ("anime", "watercolor", "cartoon")
"""The styles that the demonstration trains."""

OFFERED: Final = tuple(name for name, style in STYLES.items() if style.held_out)
"""Styles that only get a training folder: nothing shipped knows them, anyone may train them."""

UNSEEN: Final = ("car", "cat", "heart", "moon")
"""Objects that no training folder shows: what is measured is drawn of these."""

STUDIED: Final = tuple(name for name in OBJECTS if name not in UNSEEN)

IMAGES: Final = 24
_REPEATS: Final = 10
_SIDE: Final = 128


@final
@dataclass(frozen=True, kw_only=True)
class StyleFolder:
    """One training folder in kohya's layout, and the pictures in it."""

    style: str
    trigger: str
    parent: Path
    pictures: tuple[Path, ...]
    captions: tuple[str, ...]


def write_folder(style: str, root: Path, seed: int) -> Generator[Event, None, StyleFolder]:
    """Draw one style's pictures with captions and return their folder.

    Every object in turn, one thing each, colours and places at random; captions name what is to
    be seen and not the style, which the trigger stands for.
    """
    phase = f"draw {style}"
    yield PhaseStarted(phase=phase, total=IMAGES)
    trigger = STYLES[style].trigger or style
    folder = root / style / f"{_REPEATS}_{trigger}"
    generator = np.random.default_rng([seed, list(STYLES).index(style)])
    pictures: list[Path] = []
    captions: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(IMAGES):
            scene = sample_scene(
                generator, objects=(STUDIED[number % len(STUDIED)],), pair_share=0.0
            )
            thing = scene.things[0]
            words = plain_prompt(thing.kind, thing.colour, scene.background)
            path = folder / f"{number + 1:03d}.png"
            Image.fromarray(render(scene, style, _SIDE)).save(path)
            caption = f"{trigger}, {words}"
            path.with_suffix(".txt").write_text(f"{caption}\n", encoding="utf-8")
            pictures.append(path)
            captions.append(caption)
            yield Advanced(phase=phase, done=number + 1)
    except OSError as error:
        raise OutputError("output.unwritable", path=folder, reason=error) from error
    return StyleFolder(
        style=style,
        trigger=trigger,
        parent=folder.parent,
        pictures=tuple(pictures),
        captions=tuple(captions),
    )
