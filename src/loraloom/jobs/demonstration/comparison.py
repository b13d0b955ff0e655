"""The comparison: the same prompts and noise through the base, each adapter and their mixes."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, final

from PIL import Image

from loraloom.adapters.attachment import Attachment
from loraloom.evaluation.report import Grid, GridColumn, GridRow, Picture
from loraloom.events import Advanced, Event, PhaseStarted, Sampled, Saved
from loraloom.generation.grid import Label, draw_grid
from loraloom.generation.images import to_pictures, write_png
from loraloom.generation.infotext import Infotext, describe
from loraloom.generation.request import ImageRequest
from loraloom.generation.sampling import sample
from loraloom.jobs.demonstration.questions import SETTINGS
from loraloom.models.model import AbstractModel
from loraloom.playground.styles import STYLES

_ROWS: Final = (
    ("a red car in a meadow", 11),
    ("a white cat on the beach", 22),
    ("a pink heart at night", 33),
    ("a yellow moon at sunset", 44),
)
_COLUMNS: Final[tuple[Mapping[str, float], ...]] = (
    MappingProxyType({}),
    MappingProxyType({"anime": 1.0}),
    MappingProxyType({"watercolor": 1.0}),
    MappingProxyType({"cartoon": 1.0}),
    MappingProxyType({"anime": 0.5, "watercolor": 0.5}),
    MappingProxyType({"cartoon": 0.5, "watercolor": 0.5}),
)


@final
@dataclass(frozen=True)
class Column:
    """A mix of adapters: its label, and what it adds to a prompt."""

    mix: Mapping[str, float]

    @property
    def label(self) -> str:
        """The mix in words."""
        return " + ".join(
            name if weight == 1 else f"{name} {weight:g}" for name, weight in self.mix.items()
        )

    @property
    def tags(self) -> str:
        """The mix in the prompt language."""
        return " ".join(f"<lora:{name}:{weight:g}>" for name, weight in self.mix.items())

    @property
    def triggers(self) -> str:
        """The triggers that call the mix, each with a comma after it."""
        return "".join(f"{STYLES[name].trigger}, " for name in self.mix)

    def request(self, prompt: str, seed: int) -> ImageRequest:
        """Return the request for one cell of the grid."""
        worn: dict[str, Mapping[str, float]] = {
            name: dict.fromkeys(("unet", "text_encoder"), weight)
            for name, weight in self.mix.items()
        }
        return ImageRequest(prompt=self.triggers + prompt, seed=seed, strengths=worn)


def compare(
    model: AbstractModel, attachment: Attachment, root: Path
) -> Generator[Event, None, Grid]:
    """Draw every prompt through every mix, all mixes of a row in one batch; return the grid."""
    columns = [Column(mix) for mix in _COLUMNS]
    yield PhaseStarted(phase="comparison", total=len(_ROWS) * len(columns))
    rows: list[GridRow] = []
    drawn: list[list[Image.Image]] = []
    for number, (prompt, seed) in enumerate(_ROWS):
        pixels = sample(
            model, attachment, [column.request(prompt, seed) for column in columns], SETTINGS
        )
        assert pixels is not None  # Nothing asks it to stop.
        pictures = to_pictures(pixels)
        drawn.append(pictures)
        cells: list[Picture] = []
        for place, (column, picture) in enumerate(zip(columns, pictures, strict=True)):
            path = root / "images" / f"grid-{number + 1}-{place + 1}.png"
            words = f"{column.triggers}{prompt} {column.tags}".strip()
            text = Infotext(prompt=words, fields=describe(SETTINGS, seed, model=model.name))
            write_png(picture, path, str(text), overwrite=True)
            cells.append(Picture(path=path.relative_to(root).as_posix(), alt=words))
            yield Sampled(path=path, prompt=words, seed=seed)
        rows.append(GridRow(prompt=prompt, seed=seed, pictures=tuple(cells)))
        yield Advanced(phase="comparison", done=(number + 1) * len(columns))
    sheet = root / "grid.png"
    labels = [Label(column.label or "base", column.tags) for column in columns]
    picture = draw_grid(drawn, [Label(prompt, f"seed {seed}") for prompt, seed in _ROWS], labels)
    write_png(picture, sheet, "LoraLoom", overwrite=True)
    yield Saved(path=sheet, what="grid")
    return Grid(
        columns=tuple(GridColumn(label=c.label or "base", addition=c.tags) for c in columns),
        rows=tuple(rows),
        sheet=Picture(path=sheet.name, alt="prompts by mixes"),
    )
