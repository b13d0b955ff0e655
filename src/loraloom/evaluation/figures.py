"""What a demonstration measured, without its pictures, files and curves: the part worth keeping."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self, final

from pydantic import TypeAdapter

from loraloom.evaluation.report import (
    BaseMeasure,
    DemoReport,
    Isolation,
    Machine,
    WeightRow,
    ZeroWeight,
)


@final
@dataclass(frozen=True, kw_only=True)
class StyleFigures:
    """One style: how many pictures it was trained on, and what the judge saw at each weight."""

    name: str
    images: int
    steps: int
    sweep: tuple[WeightRow, ...]
    rises: bool


@final
@dataclass(frozen=True, kw_only=True)
class Figures:
    """The measurements of one demonstration; `base_measure` is None where it was not full."""

    created: str
    version: str
    base: str
    machine: Machine
    seconds: float
    base_measure: BaseMeasure | None
    styles: tuple[StyleFigures, ...]
    zero_weight: ZeroWeight
    isolation: Isolation

    @classmethod
    def of(cls, report: DemoReport) -> Self:
        """Return the figures of a report."""
        return cls(
            created=report.created,
            version=report.version,
            base=report.base,
            machine=report.machine,
            seconds=report.seconds,
            base_measure=report.base_measure,
            styles=tuple(
                StyleFigures(
                    name=style.name,
                    images=style.dataset.images,
                    steps=style.training.steps,
                    sweep=style.sweep,
                    rises=style.rises,
                )
                for style in report.styles
            ),
            zero_weight=report.checks.zero_weight,
            isolation=report.checks.isolation,
        )


def figures_to_json(figures: Figures) -> str:
    """Return the figures as JSON, with every number that follows from them."""
    return json.dumps(asdict(figures), ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def figures_from_json(text: str) -> Figures:
    """Return the figures that `figures_to_json` wrote; what follows from them is computed anew."""
    return TypeAdapter(Figures).validate_json(text)
