"""Training runs of the playground's networks can stop and go on without leaving a trace."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from loraloom.errors import SetupError
from loraloom.jobs.building.course import Course
from loraloom.jobs.building.curve import Curve
from loraloom.jobs.building.replay import compare

CURVE = Curve(peak=0.1, floor=0.01, warmup=2, steps=12)


def course(folder: Path, seed: int = 1, save_every: int = 4) -> Course:
    torch.manual_seed(0)
    network = nn.Linear(3, 2)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        return (network(torch.randn(5, 3, generator=generator)) - step).square().mean()

    made: Callable[[int, torch.Generator], Tensor] = loss
    return Course(
        name="line",
        network=network,
        loss=made,
        steps=12,
        learning_rate=CURVE,
        folder=folder,
        seed=seed,
        averaging=0.9,
        save_every=save_every,
    )


def losses(folder: Path) -> list[float]:
    return [
        json.loads(line)["loss"] for line in (folder / "line.log.jsonl").read_text().splitlines()
    ]


def test_a_stopped_run_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    whole = course(tmp_path / "whole")
    list(whole.run())
    broken = course(tmp_path / "broken")
    for number, _ in enumerate(broken.run()):
        if number == 7:  # After step 7, three steps past the checkpoint: those are lost.
            break
    again = course(tmp_path / "broken")
    list(again.run())
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name])
        assert torch.equal(whole.averaged()[name], again.averaged()[name])
    assert losses(tmp_path / "whole") == losses(tmp_path / "broken")
    assert len(losses(tmp_path / "whole")) == 12


def test_weights_alone_are_a_beginning_and_the_learning_rate_rises_again(tmp_path: Path) -> None:
    whole = course(tmp_path / "whole")
    list(whole.run(until=6))
    adopted = course(tmp_path / "adopted")
    adopted.adopt(whole.averaged(), 6)
    for name, value in whole.averaged().items():
        assert torch.equal(adopted.averaged()[name], value)
    list(adopted.run())
    lines = (tmp_path / "adopted/line.log.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["step"] for entry in entries] == [6, 7, 8, 9, 10, 11]
    ramp = [(entry["step"] - 5) / 50 * CURVE(entry["step"]) for entry in entries]
    assert [entry["learning_rate"] for entry in entries] == pytest.approx(ramp, abs=1e-8)


def test_the_average_lags_behind(tmp_path: Path) -> None:
    run = course(tmp_path)
    list(run.run())
    assert not torch.equal(run.averaged()["weight"], run.network.state_dict()["weight"])


def test_a_replay_is_compared_step_by_step(tmp_path: Path) -> None:
    for name, seed in (("shipped", 1), ("same", 1), ("other", 2)):
        list(course(tmp_path / name, seed).run())
    log = "line.log.jsonl"
    compare(tmp_path / "same" / log, tmp_path / "shipped" / log, 12)
    with pytest.raises(SetupError, match="step 0"):
        compare(tmp_path / "other" / log, tmp_path / "shipped" / log, 12)


def test_the_curve() -> None:
    assert [round(CURVE(step), 6) for step in (0, 1, 2, 7, 12, 99)] == [
        0.05,
        0.1,
        0.1,
        0.055,
        0.01,
        0.01,
    ]
