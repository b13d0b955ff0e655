"""The demonstration: three styles drawn, trained together, mixed, measured and reported."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

import torch

from loraloom.adapters.attachment import Attachment, attach
from loraloom.errors import OutputError
from loraloom.evaluation.page import render_page
from loraloom.evaluation.report import to_json
from loraloom.events import Event, Finished, PhaseStarted, Planned, Saved, Stepped
from loraloom.formats.atomic import write_files
from loraloom.formats.files import read_adapter
from loraloom.jobs.base_model import open_model
from loraloom.jobs.demonstration.clock import Clock
from loraloom.jobs.demonstration.comparison import compare
from loraloom.jobs.demonstration.datasets import OFFERED, TAUGHT, write_folder
from loraloom.jobs.demonstration.findings import Findings
from loraloom.jobs.demonstration.isolation import ALLOWED, measure_isolation
from loraloom.jobs.demonstration.options import DemoOptions
from loraloom.jobs.demonstration.questions import base_questions, style_questions
from loraloom.jobs.demonstration.recipe import demo_recipe, isolation_recipe
from loraloom.jobs.demonstration.sweep import measure_base, sweep
from loraloom.jobs.demonstration.zero_weight import compare_at_zero
from loraloom.jobs.device import choose_device
from loraloom.jobs.plan import make_plan
from loraloom.jobs.recipe import Recipe
from loraloom.jobs.train import train
from loraloom.models.model import AbstractModel
from loraloom.playground.judge import Judge, load_judge
from loraloom.playground.packaged import PLAYGROUND, judge_file

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
    yield Planned(job="demo", plan={"output_dir": str(options.output_dir), "full": options.full})
    outputs: tuple[Path, ...] = ()
    with ExitStack() as stack:
        stage = _Stage(options, stack)
        yield from stage.draw_folders()
        interrupted = yield from stage.train_adapters(stop)
        for part in (
            stage.load,
            stage.compare_mixes,
            stage.measure_styles,
            stage.measure_base,
            stage.check,
        ):
            interrupted = interrupted or (yield from _until(stop, part()))
        if not interrupted:
            outputs = yield from stage.report()
    yield Finished(
        job="demo", seconds=stage.clock.seconds, interrupted=interrupted, outputs=outputs
    )


@final
@dataclass
class _Stage:
    """The demonstration as it goes: each part leaves what it found for the next."""

    options: DemoOptions
    stack: ExitStack
    clock: Clock = field(default_factory=Clock)
    found: Findings = field(default_factory=Findings)
    model: AbstractModel = field(init=False)
    judge: Judge = field(init=False)
    attachment: Attachment = field(init=False)

    @property
    def root(self) -> Path:
        return self.options.output_dir

    @property
    def loras(self) -> Path:
        return self.root / "loras"

    @property
    def recipe(self) -> Recipe:
        return demo_recipe(self.found.folders, self.loras, self.options.seed, self.options.device)

    def draw_folders(self) -> Iterator[Event]:
        """Draw the training folders."""
        with self.clock.phase("draw"):
            for style in TAUGHT:
                folder = yield from write_folder(style, self.root / "data", self.options.seed)
                self.found.folders.append(folder)
            for style in OFFERED:
                yield from write_folder(style, self.root / "data", self.options.seed)

    def train_adapters(self, stop: Callable[[], bool]) -> Generator[Event, None, bool]:
        """Train all adapters in one run; return whether it was interrupted."""
        interrupted = False
        with self.clock.phase("train"):
            for event in train(self.recipe, stop):
                if isinstance(event, Finished):
                    interrupted = event.interrupted
                    continue
                if isinstance(event, Stepped):
                    for name, loss in event.losses.items():
                        self.found.losses.setdefault(name, []).append(loss)
                yield event
        return interrupted

    def load(self) -> Iterator[Event]:
        """Load base, judge and the adapter files as anyone would."""
        with self.clock.phase("load"):
            yield PhaseStarted(phase="load")
            device = choose_device(self.options.device)
            self.model = open_model(PLAYGROUND, device, torch.float32)
            self.judge = load_judge(judge_file())
            adapters = {name: read_adapter(self.loras / f"{name}.safetensors") for name in TAUGHT}
            self.attachment = self.stack.enter_context(attach(self.model.networks, adapters, 0.0))

    def compare_mixes(self) -> Iterator[Event]:
        """Lay prompts by mixes into one grid."""
        with self.clock.phase("pictures"):
            self.found.grid = yield from compare(self.model, self.attachment, self.root)

    def measure_styles(self) -> Iterator[Event]:
        """Let the judge read each style over the weights."""
        count = _FULL_PICTURES if self.options.full else _QUICK_PICTURES
        with self.clock.phase("measure"):
            for folder in self.found.folders:
                self.found.sweeps[folder.style] = yield from sweep(
                    self.model,
                    self.attachment,
                    self.judge,
                    folder.style,
                    style_questions(folder.trigger, count),
                )

    def measure_base(self) -> Iterator[Event]:
        """Let the judge read the bare base on combinations it was never shown."""
        if not self.options.full:
            return
        with self.clock.phase("measure"):
            self.found.base_measure = yield from measure_base(
                self.model, self.attachment, self.judge, base_questions(_BASE_PICTURES)
            )

    def check(self) -> Iterator[Event]:
        """Check that weight 0 is the base, and that training together is training alone."""
        with self.clock.phase("checks"):
            folders, sweeps = self.found.folders, self.found.sweeps
            self.found.zero_weight = yield from compare_at_zero(
                open_model(PLAYGROUND, self.model.device, torch.float32),
                [style_questions(folder.trigger, _QUICK_PICTURES) for folder in folders],
                [sweeps[folder.style].at_zero[:_QUICK_PICTURES] for folder in folders],
            )
            cpu = torch.device("cpu")
            self.found.isolation = yield from measure_isolation(
                {dtype: open_model(PLAYGROUND, cpu, dtype) for dtype in ALLOWED},
                make_plan(isolation_recipe(folders, self.loras, self.options.seed)).adapters,
            )

    def report(self) -> Generator[Event, None, tuple[Path, ...]]:
        """Write the page and its data; return their paths."""
        page, data = self.root / "report.html", self.root / "report.json"
        with self.clock.phase("report"):
            yield PhaseStarted(phase="report")
            found = self.found.report(self.model, self.recipe, self.clock, self.root)
            content = {
                page: render_page(found, self.root, self.options.lang).encode(),
                data: to_json(found).encode(),
            }
            write_files(content, overwrite=True)
        yield Saved(path=page, what="report")
        yield Saved(path=data, what="report data")
        return page, data


def _until(stop: Callable[[], bool], events: Iterator[Event]) -> Generator[Event, None, bool]:
    """Pass events on until `stop` says so after one; return whether it did."""
    for event in events:
        yield event
        if stop():
            return True
    return False
