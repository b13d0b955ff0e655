"""What the demonstration finds, part by part, and the report that it all becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import final

from torch import nn

from loraloom.evaluation.report import (
    BaseMeasure,
    Checks,
    DemoReport,
    Grid,
    Isolation,
    StyleReport,
    TriggerAlone,
    ZeroWeight,
)
from loraloom.jobs.demonstration.clock import Clock
from loraloom.jobs.demonstration.datasets import StyleFolder
from loraloom.jobs.demonstration.listing import next_commands, written_files
from loraloom.jobs.demonstration.machine import this_machine
from loraloom.jobs.demonstration.questions import style_questions
from loraloom.jobs.demonstration.styles import style_report
from loraloom.jobs.demonstration.sweep import Sweep
from loraloom.jobs.recipe import Recipe
from loraloom.models.model import AbstractModel


@final
@dataclass
class Findings:
    """Filled while the parts go by; losses and sweeps are by style, in the folders' order.

    `base_measure` stays None where the base is not measured; all else the report needs.
    """

    folders: list[StyleFolder] = field(default_factory=list[StyleFolder])
    losses: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    sweeps: dict[str, Sweep] = field(default_factory=dict[str, Sweep])
    grid: Grid = field(init=False)
    zero_weight: ZeroWeight = field(init=False)
    isolation: Isolation = field(init=False)
    base_measure: BaseMeasure | None = None

    def report(self, model: AbstractModel, recipe: Recipe, clock: Clock, root: Path) -> DemoReport:
        """Return the report; the pictures of its strips are written below `root`."""
        return DemoReport(
            title="LoraLoom",
            created=datetime.now().astimezone().isoformat(timespec="seconds"),
            version=version("loraloom"),
            base=model.name,
            machine=this_machine(model.device),
            phases=clock.phases,
            seconds=clock.seconds,
            styles=self._styles(model.networks, recipe, root),
            grid=self.grid,
            checks=Checks(
                zero_weight=self.zero_weight, triggers=self._triggers(), isolation=self.isolation
            ),
            files=written_files(root, recipe),
            next_commands=next_commands(root),
            base_measure=self.base_measure,
        )

    def _styles(
        self, networks: Mapping[str, nn.Module], recipe: Recipe, root: Path
    ) -> tuple[StyleReport, ...]:
        return tuple(
            style_report(
                folder,
                options,
                recipe.output_dir / f"{folder.style}.safetensors",
                self.losses[folder.style],
                self.sweeps[folder.style],
                style_questions(folder.trigger, 1)[0],
                networks,
                root,
            )
            for folder, options in zip(self.folders, recipe.adapters, strict=True)
        )

    def _triggers(self) -> tuple[TriggerAlone, ...]:
        """Return how often each trigger alone calls its style: what was seen at weight 0."""
        return tuple(
            TriggerAlone(
                style=folder.style,
                trigger=folder.trigger,
                share=self.sweeps[folder.style].rows[0].style,
            )
            for folder in self.folders
        )
