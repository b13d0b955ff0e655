"""WD14-style taggers: a classifier in ONNX and its list of tags (as SmilingWolf publishes them)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from loraloom.errors import ModelError, SetupError
from loraloom.models.captioning.captioner import AbstractCaptioner, Tagging
from loraloom.models.captioning.source import NETWORK, TAGS

GENERAL: Final = 0
CHARACTER: Final = 4
"""Categories of the list whose tags are named, by Danbooru's numbers; 9 are ratings."""

_LONGEST_FACE: Final = 3
"""Names of up to so many signs, like ^_^, are faces: their underscore stays, as in kohya's."""


_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_DAMAGE: Final = ("Fail", "InvalidProtobuf", "InvalidGraph", "InvalidArgument", "NoSuchFile")


@final
@dataclass(frozen=True)
class Tag:
    """One output of the network: its name, as it is written in the list, and its category."""

    name: str
    category: int


@final
@dataclass(frozen=True)
class Tagger(AbstractCaptioner):
    """A session of onnxruntime, the side of its square input in pixels, and its tags in order."""

    session: Any
    side: int
    tags: Sequence[Tag]
    tagging: Tagging

    def describe(self, pictures: Sequence[Image.Image]) -> list[str]:
        """Return the tags of each picture, the most probable first, characters after the rest."""
        batch = np.stack([prepared(picture, self.side) for picture in pictures])
        (probabilities,) = self.session.run(None, {self.session.get_inputs()[0].name: batch})
        return [chosen(self.tags, row, self.tagging) for row in probabilities.tolist()]


def prepared(picture: Image.Image, side: int) -> NDArray[np.float32]:
    """Return a picture as the network sees it: on a white square, (side, side, BGR), 0 to 255."""
    longest = max(picture.size)
    square = Image.new("RGB", (longest, longest), "white")
    square.paste(picture, ((longest - picture.width) // 2, (longest - picture.height) // 2))
    shrinks = longest > side
    resized = square.resize(
        (side, side), Image.Resampling.BOX if shrinks else Image.Resampling.LANCZOS
    )
    return np.asarray(resized, dtype=np.float32)[:, :, ::-1]


def chosen(tags: Sequence[Tag], probabilities: Sequence[float], tagging: Tagging) -> str:
    """Return the tags that reach the threshold of their category, joined."""
    thresholds = {GENERAL: tagging.general_threshold, CHARACTER: tagging.character_threshold}
    undesired = {plain(name) for name in tagging.undesired_tags}
    found: dict[int, list[tuple[float, str]]] = {category: [] for category in thresholds}
    for tag, probability in zip(tags, probabilities, strict=True):
        wanted = tag.category in thresholds and plain(tag.name) not in undesired
        if wanted and probability >= thresholds[tag.category]:
            found[tag.category].append((-float(probability), _written(tag.name, tagging)))
    return tagging.separator.join(name for group in found.values() for _, name in sorted(group))


def plain(name: str) -> str:
    """Return a tag's name as it is compared: in lower case, underscores as spaces."""
    return name.strip().lower().replace("_", " ")


def load_tagger(folder: Path, tagging: Tagging, *, on_cuda: bool = False) -> Tagger:
    """Load a tagger; onnxruntime missing is a `SetupError`, a broken part a `ModelError`."""
    try:
        runtime: Any = import_module("onnxruntime")
        states: Any = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    except ImportError as error:
        raise SetupError("captioner.no_runtime") from error
    known = runtime.get_available_providers()
    if on_cuda and _CUDA not in known:
        raise SetupError("captioner.no_cuda_runtime")
    tags = _read_tags(folder / TAGS)
    # Each kind of damage has an error of its own, with no kin but Exception.
    damage = tuple(getattr(states, name) for name in _DAMAGE)
    try:
        session = runtime.InferenceSession(
            str(folder / NETWORK), providers=[_CUDA, _CPU] if on_cuda else [_CPU]
        )
    except damage as error:
        raise ModelError("model.unreadable", path=folder / NETWORK, reason=error) from error
    side = _side(session, folder)
    (output,) = session.get_outputs()
    if output.shape[-1] != len(tags):
        raise ModelError(
            "captioner.tags", path=folder / TAGS, found=len(tags), expected=output.shape[-1]
        )
    return Tagger(session, side, tags, tagging)


def _side(session: Any, folder: Path) -> int:
    (source,) = session.get_inputs()
    shape = list(source.shape)
    if len(shape) != 4 or shape[1] != shape[2] or not isinstance(shape[1], int) or shape[3] != 3:
        raise ModelError("captioner.input", path=folder / NETWORK, shape=shape)
    return shape[1]


def _written(name: str, tagging: Tagging) -> str:
    if tagging.remove_underscore and len(name) > _LONGEST_FACE:
        return name.replace("_", " ")
    return name


def _read_tags(path: Path) -> tuple[Tag, ...]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return tuple(Tag(name=row["name"], category=int(row["category"])) for row in rows)
    except (OSError, ValueError, LookupError, TypeError, csv.Error) as error:
        raise ModelError("model.unreadable", path=path, reason=error) from error
