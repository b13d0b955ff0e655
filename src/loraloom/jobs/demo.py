"""The demonstration: three styles drawn, trained together, mixed, measured and reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, final

import torch
from torch import Tensor

from loraloom.adapters.attachment import Attachment, attach
from loraloom.errors import OutputError
from loraloom.evaluation.page import render_page
from loraloom.evaluation.report import (
    BaseMeasure,
    Checks,
    DemoReport,
    Grid,
    Isolation,
    TriggerAlone,
    ZeroWeight,
    to_json,
)
from loraloom.events import (
    Advanced,
    Event,
    Finished,
    Measured,
    PhaseStarted,
    Planned,
    Saved,
    Stepped,
)
from loraloom.formats.atomic import write_files
from loraloom.formats.files import read_adapter
from loraloom.jobs.base import open_model
from loraloom.jobs.demonstration.clock import Clock
from loraloom.jobs.demonstration.comparison import compare
from loraloom.jobs.demonstration.datasets import (
    IMAGES,
    OFFERED,
    TAUGHT,
    StyleFolder,
    write_folder,
)
from loraloom.jobs.demonstration.drawing import draw
from loraloom.jobs.demonstration.isolation import measure_isolation
from loraloom.jobs.demonstration.listing import next_commands, written_files
from loraloom.jobs.demonstration.machine import this_machine
from loraloom.jobs.demonstration.options import DemoOptions
from loraloom.jobs.demonstration.questions import (
    WEIGHTS,
    base_questions,
    style_questions,
)
from loraloom.jobs.demonstration.recipe import demo_recipe, isolation_recipe
from loraloom.jobs.demonstration.styles import style_report
from loraloom.jobs.demonstration.sweep import Sweep, measure_base, sweep
from loraloom.jobs.device import choose_device
from loraloom.jobs.plan import make_plan
from loraloom.jobs.recipe import Recipe
from loraloom.jobs.train import train
from loraloom.models.model import AbstractModel
from loraloom.playground.judge import Judge, load_judge
from loraloom.playground.packaged import judge_file

_QUICK_PICTURES: Final = 16
_FULL_PICTURES: Final = 64
_BASE_PICTURES: Final = 256


def run_demo(options: DemoOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Run the whole demonstration; yield what happens.

    Asked to stop, it ends after the current step or batch of pictures: what is written by then
    stays, and no report is made.
    """
    if (options.output_dir / "report.html").exists() and not options.overwrite:
        raise OutputError("demo.output_exists", path=options.output_dir)
    stage = _Stage(options, stop)
    yield Planned(job="demo", plan={"output_dir": str(options.output_dir), "full": options.full})
    for part in (
        stage.draw_folders,
        stage.train_adapters,
        stage.load,
        stage.compare_mixes,
        stage.measure_styles,
        stage.measure_base,
        stage.check,
        stage.report,
    ):
        yield from part()
        if stage.stopped:
            break
    stage.close()
    yield Finished(
        job="demo",
        seconds=stage.clock.seconds,
        interrupted=stage.stopped,
        outputs=tuple(stage.outputs),
    )


@final
@dataclass
class _Stage:
    """The demonstration as it goes: each part leaves its result for the next."""

    options: DemoOptions
    stop: Callable[[], bool]
    clock: Clock = field(default_factory=Clock)
    stopped: bool = False
    folders: list[StyleFolder] = field(default_factory=list[StyleFolder])
    losses: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    sweeps: dict[str, Sweep] = field(default_factory=dict[str, Sweep])
    outputs: list[Path] = field(default_factory=list[Path])
    base_measure: BaseMeasure | None = None

    @property
    def root(self) -> Path:
        return self.options.output_dir

    @property
    def recipe(self) -> Recipe:
        options = self.options
        return demo_recipe(self.folders, self.root / "loras", options.seed, options.device)

    def draw_folders(self) -> Iterator[Event]:
        """Draw the training folders."""
        with self.clock.phase("draw"):
            for style in (*TAUGHT, *OFFERED):
                yield PhaseStarted(phase=f"draw {style}", total=IMAGES)
                for event in write_folder(style, self.root / "data", self.options.seed):
                    if isinstance(event, StyleFolder):
                        if style in TAUGHT:
                            self.folders.append(event)
                    else:
                        yield Advanced(phase=f"draw {style}", done=event)

    def train_adapters(self) -> Iterator[Event]:
        """Train all adapters in one run."""
        with self.clock.phase("train"):
            for event in train(self.recipe, self.stop):
                if isinstance(event, Stepped):
                    for name, loss in event.losses.items():
                        self.losses.setdefault(name, []).append(loss)
                if isinstance(event, Finished):
                    self.stopped = event.interrupted
                else:
                    yield event

    def load(self) -> Iterator[Event]:
        """Load base, judge and the adapter files as anyone would."""
        with self.clock.phase("load"):
            yield PhaseStarted(phase="load")
            device = choose_device(self.options.device)
            self.model: AbstractModel = open_model("playground", device, torch.float32)
            self.judge: Judge = load_judge(judge_file())
            self.files = {name: self.root / "loras" / f"{name}.safetensors" for name in TAUGHT}
            adapters = {name: read_adapter(path) for name, path in self.files.items()}
            self.attachment: Attachment = attach(self.model.networks, adapters, 0.0)

    def compare_mixes(self) -> Iterator[Event]:
        """Lay prompts by mixes into one grid."""
        with self.clock.phase("pictures"):
            for event in compare(self.model, self.attachment, self.root):
                if isinstance(event, Grid):
                    self.grid = event
                else:
                    yield event

    def measure_styles(self) -> Iterator[Event]:
        """Let the judge read each style over the weights."""
        count = _FULL_PICTURES if self.options.full else _QUICK_PICTURES
        with self.clock.phase("measure"):
            for folder in self.folders:
                phase = f"measure {folder.style}"
                yield PhaseStarted(phase=phase, total=count * len(WEIGHTS))
                questions = style_questions(folder.trigger, count)
                for event in sweep(
                    self.model, self.attachment, self.judge, folder.style, questions
                ):
                    if isinstance(event, Sweep):
                        self.sweeps[folder.style] = event
                    else:
                        yield Advanced(phase=phase, done=event)
                        if self._asked_to_stop():
                            return
                at_one = self.sweeps[folder.style].rows[-1]
                yield Measured(name=f"{folder.style} at weight 1", value=at_one.style.value)

    def measure_base(self) -> Iterator[Event]:
        """Let the judge read the bare base on combinations it was never shown."""
        if not self.options.full:
            return
        with self.clock.phase("measure"):
            yield PhaseStarted(phase="measure base", total=_BASE_PICTURES)
            questions = base_questions(_BASE_PICTURES)
            for event in measure_base(self.model, self.attachment, self.judge, questions):
                if isinstance(event, BaseMeasure):
                    self.base_measure = event
                    yield Measured(name="base, all right", value=event.all.value)
                else:
                    yield Advanced(phase="measure base", done=event)
                    if self._asked_to_stop():
                        return

    def check(self) -> Iterator[Event]:
        """Check that weight 0 is the base, and that training together is training alone."""
        with self.clock.phase("checks"):
            yield PhaseStarted(phase="checks")
            self.zero_weight = self._compare_at_zero()
            recipe = isolation_recipe(self.folders, self.root / "loras", self.options.seed)
            plans = make_plan(recipe).adapters
            models: Mapping[torch.dtype, AbstractModel] = {
                dtype: open_model("playground", torch.device("cpu"), dtype)
                for dtype in (torch.float64, torch.float32)
            }
            for event in measure_isolation(models, plans):
                if isinstance(event, Isolation):
                    self.isolation = event
                    yield Measured(name="isolation, float64", value=event.float64.difference)
                    yield Measured(name="isolation, float32", value=event.float32.difference)
                else:
                    yield event

    def report(self) -> Iterator[Event]:
        """Write the page and its data."""
        page, data = self.root / "report.html", self.root / "report.json"
        with self.clock.phase("report"):
            yield PhaseStarted(phase="report")
            found = self._collect()
            content = {
                page: render_page(found, self.root, self.options.lang).encode(),
                data: to_json(found).encode(),
            }
            write_files(content, overwrite=True)
        for path, what in ((page, "report"), (data, "report data")):
            self.outputs.append(path)
            yield Saved(path=path, what=what)

    def close(self) -> None:
        """Take the adapters off."""
        if hasattr(self, "attachment"):
            self.attachment.close()

    def _asked_to_stop(self) -> bool:
        self.stopped = self.stopped or self.stop()
        return self.stopped

    def _compare_at_zero(self) -> ZeroWeight:
        """Draw the weight-0 pictures again with a base that never had an adapter near it."""
        bare = open_model("playground", self.model.device, torch.float32)
        identical, pictures = True, 0
        for folder in self.folders:
            at_zero = self.sweeps[folder.style].at_zero[:_QUICK_PICTURES]
            questions = style_questions(folder.trigger, len(at_zero))
            drawn: Tensor = torch.cat(list(draw(bare, attach(bare.networks, {}), questions, {})))
            identical = identical and torch.equal(drawn, at_zero)
            pictures += len(at_zero)
        return ZeroWeight(identical=identical, pictures=pictures)

    def _collect(self) -> DemoReport:
        recipe = self.recipe
        styles = tuple(
            style_report(
                folder,
                options,
                self.files[folder.style],
                self.losses[folder.style],
                self.sweeps[folder.style],
                style_questions(folder.trigger, 1)[0],
                self.model.networks,
                self.root,
            )
            for folder, options in zip(self.folders, recipe.adapters, strict=True)
        )
        return DemoReport(
            title="LoraLoom",
            created=datetime.now().astimezone().isoformat(timespec="seconds"),
            version=version("loraloom"),
            base=self.model.name,
            machine=this_machine(self.model.device),
            phases=self.clock.phases,
            seconds=self.clock.seconds,
            styles=styles,
            grid=self.grid,
            checks=Checks(
                zero_weight=self.zero_weight,
                triggers=_triggers(self.folders, self.sweeps),
                isolation=self.isolation,
            ),
            files=written_files(self.root, recipe),
            next_commands=next_commands(self.root),
            base_measure=self.base_measure,
        )


def _triggers(
    folders: Sequence[StyleFolder], sweeps: Mapping[str, Sweep]
) -> tuple[TriggerAlone, ...]:
    return tuple(
        TriggerAlone(
            style=folder.style,
            trigger=folder.trigger,
            share=sweeps[folder.style].rows[0].style,
        )
        for folder in folders
    )
