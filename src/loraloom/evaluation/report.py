"""A demonstration as plain data: what was trained, seen, measured, checked and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, final

from pydantic import TypeAdapter

from loraloom.evaluation.agreement import Share, rises_steadily
from loraloom.evaluation.savings import Savings

PhaseName = Literal["load", "draw", "train", "pictures", "measure", "checks", "report"]
"""The parts of a demonstration; each has its name in the catalogue as `report.phase.…`."""
FileKind = Literal[
    "adapter", "dataset", "grid", "log", "page", "pictures", "recipe", "record", "samples"
]
"""What a written file is; named in the catalogue as `report.file.…`."""
CommandKind = Literal["mix", "own_folder", "held_out_styles"]
"""What a suggested command does; worded in the catalogue as `report.next.…`."""


@final
@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture file, by its path relative to the report's folder, and what is to be seen in it."""

    path: str
    alt: str


@final
@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where the demonstration ran: versions, the processor's name, its cores, the device used."""

    python: str
    torch: str
    cpu: str
    cores: int
    device: str


@final
@dataclass(frozen=True, kw_only=True)
class Phase:
    """One part of the demonstration and how long it took."""

    name: PhaseName
    seconds: float


@final
@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """The training folder of one style, how many pictures it holds, and some of them to show."""

    folder: str
    images: int
    pictures: tuple[Picture, ...]


@final
@dataclass(frozen=True, kw_only=True)
class AdapterFacts:
    """One adapter file: where it lies, its size, what it is made of, and what it saves.

    `sites` counts the adapted weights by part (`unet`, `text_encoder`); `scale` is alpha / rank.
    """

    file: str
    bytes: int
    kind: str
    rank: int
    alpha: float
    parameters: int
    sites: Mapping[str, int]
    savings: Savings
    scale: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", self.alpha / self.rank)


@final
@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """How one adapter was trained; `losses` has the loss of each step, from the first on."""

    learning_rate: float
    steps: int
    batch_size: int
    losses: tuple[float, ...]


@final
@dataclass(frozen=True, kw_only=True)
class WeightRow:
    """What the judge saw in pictures made at one weight: in the style, and as asked."""

    weight: float
    style: Share
    object: Share
    colour: Share
    background: Share


@final
@dataclass(frozen=True, kw_only=True)
class WeightPicture:
    """One picture of a strip and the weight it was made at."""

    weight: float
    picture: Picture


@final
@dataclass(frozen=True, kw_only=True)
class Strip:
    """The same prompt and seed over rising weights."""

    prompt: str
    seed: int
    pictures: tuple[WeightPicture, ...]


@final
@dataclass(frozen=True, kw_only=True)
class StyleReport:
    """All about one style. `rises` tells whether its share rises steadily with the weight."""

    name: str
    trigger: str
    dataset: DatasetFacts
    adapter: AdapterFacts
    training: TrainingFacts
    sweep: tuple[WeightRow, ...]
    strip: Strip
    rises: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rises", rises_steadily([row.style for row in self.sweep]))


@final
@dataclass(frozen=True, kw_only=True)
class GridColumn:
    """A column of the comparison: its name, and what it adds to each prompt ("" for the base)."""

    label: str
    addition: str


@final
@dataclass(frozen=True, kw_only=True)
class GridRow:
    """One prompt and seed, with one picture for each column."""

    prompt: str
    seed: int
    pictures: tuple[Picture, ...]


@final
@dataclass(frozen=True, kw_only=True)
class Grid:
    """Prompts by mixes of adapters; `sheet` is the same as one labelled picture, to share."""

    columns: tuple[GridColumn, ...]
    rows: tuple[GridRow, ...]
    sheet: Picture | None = None


@final
@dataclass(frozen=True, kw_only=True)
class ZeroWeight:
    """Whether pictures made at weight 0 are the base's bit for bit, and how many were compared."""

    identical: bool
    pictures: int


@final
@dataclass(frozen=True, kw_only=True)
class TriggerAlone:
    """How often the bare base draws a style when only its trigger word is in the prompt."""

    style: str
    trigger: str
    share: Share


@final
@dataclass(frozen=True, kw_only=True)
class Gap:
    """The largest relative difference of any one tensor, that tensor, and what is allowed."""

    difference: float
    tensor: str
    allowed: float
    passed: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "passed", self.difference <= self.allowed)


@final
@dataclass(frozen=True, kw_only=True)
class Isolation:
    """Adapters trained together against each trained alone: the gap over all `tensors` tensors."""

    adapters: int
    steps: int
    batch_size: int
    tensors: int
    float64: Gap
    float32: Gap


@final
@dataclass(frozen=True, kw_only=True)
class Checks:
    """What was verified rather than shown."""

    zero_weight: ZeroWeight
    triggers: tuple[TriggerAlone, ...]
    isolation: Isolation


@final
@dataclass(frozen=True, kw_only=True)
class BaseMeasure:
    """What the base draws of combinations kept from its training, as the judge saw it."""

    object: Share
    colour: Share
    background: Share
    all: Share


@final
@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """A file or folder left behind, by its path relative to the report's folder; size in bytes."""

    path: str
    bytes: int
    kind: FileKind


@final
@dataclass(frozen=True, kw_only=True)
class NextCommand:
    """A command line worth trying next."""

    kind: CommandKind
    command: str


@final
@dataclass(frozen=True, kw_only=True)
class DemoReport:
    """A whole demonstration.

    `created` is in ISO 8601 with the offset from UTC, `base` names the base, `seconds` is the time
    from start to end. `base_measure` is None where the base was not measured anew.
    """

    title: str
    created: str
    version: str
    base: str
    machine: Machine
    phases: tuple[Phase, ...]
    seconds: float
    styles: tuple[StyleReport, ...]
    grid: Grid
    checks: Checks
    files: tuple[WrittenFile, ...]
    next_commands: tuple[NextCommand, ...]
    base_measure: BaseMeasure | None = None


def to_json(report: DemoReport) -> str:
    """Return the report as JSON: every field, and every figure that follows from them."""
    return json.dumps(asdict(report), ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def from_json(text: str) -> DemoReport:
    """Return the report that `to_json` wrote; the figures that follow are computed anew."""
    return TypeAdapter(DemoReport).validate_json(text)
