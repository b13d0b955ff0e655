"""The demonstration's course: what it refuses, and what it does when it is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from loraloom.errors import OutputError
from loraloom.events import Event, Finished, Stepped
from loraloom.jobs.demo import run_demo
from loraloom.jobs.demonstration import datasets
from loraloom.jobs.demonstration.datasets import OFFERED, TAUGHT
from loraloom.jobs.demonstration.options import DemoOptions


def test_an_earlier_report_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "report.html").touch()
    with pytest.raises(OutputError, match="--overwrite"):
        next(run_demo(DemoOptions(output_dir=tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_stopped_in_training_it_keeps_the_adapters_and_makes_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "IMAGES", 4)
    events: list[Event] = []

    def stop() -> bool:
        return isinstance(events[-1], Stepped)

    for event in run_demo(DemoOptions(output_dir=tmp_path, device="cpu"), stop):
        events.append(event)
    assert sum(isinstance(event, Stepped) for event in events) == 1
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.interrupted
    assert finished.outputs == ()
    assert {path.stem for path in (tmp_path / "loras").glob("*.safetensors")} == set(TAUGHT)
    assert {path.name for path in (tmp_path / "data").iterdir()} == {*TAUGHT, *OFFERED}
    assert not list(tmp_path.glob("report.*"))
