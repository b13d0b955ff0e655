"""Adapters trained together come out as if each were trained alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from loraloom.adapters import Adapter, Card, attach
from loraloom.errors import Diverged
from loraloom.events import Event, Stepped, Warned
from loraloom.models.load import load_model
from loraloom.models.model import AbstractModel
from loraloom.training.loop import train
from loraloom.training.seeds import stream
from loraloom.training.targets import Ranks, fresh_adapter
from loraloom.training.trainee import Rows, Trainee, Tuning

RANKS = Ranks(linear=4, linear_alpha=4.0, convolution=2, convolution_alpha=1.0)


class Drawn:
    """A feed of latents that are drawn at random, the same for the same seed."""

    def __init__(self, seed: int, batch: int, side: int = 8) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.shape = (batch, 4, side, side)
        self.batches = 1 + seed % 2
        self.used = 0

    def update(self) -> Sequence[Rows]:
        return [self.rows() for _ in range(self.batches)]

    def rows(self) -> Rows:
        self.used += 1
        clean = torch.randn(self.shape, generator=self.generator).double()
        words = [f"a {'red' if self.used % 2 else 'black'} cat"] * self.shape[0]
        return Rows(clean, words, self.used)


class Broken(Drawn):
    """A feed whose second step is not finite."""

    def update(self) -> Sequence[Rows]:
        factor = float("inf") if self.used == self.batches else 1.0
        return [Rows(rows.clean * factor, rows.captions, rows.epoch) for rows in super().update()]


def run(
    model: AbstractModel,
    specs: Sequence[tuple[str, int, int, int]],
    *,
    side: int = 8,
    broken: Collection[str] = (),
    told: list[Event] | None = None,
) -> dict[str, Adapter]:
    """Train adapters given by (name, seed, batch, steps) together; return them.

    Those called in `broken` are fed what is not finite; `told` takes the events.
    """
    fresh = {
        name: fresh_adapter(
            model.networks, RANKS, Card(family="sd1"), stream(seed, name, "weights"), torch.float64
        )
        for name, seed, _, _ in specs
    }
    with attach(model.networks, fresh, 0.0, trainable=True) as attachment:
        trainees = [
            Trainee(
                name,
                attachment,
                Tuning(
                    steps=steps,
                    learning_rates={"unet": 1e-2, "text_encoder": 1e-3},
                    schedule="cosine",
                    warmup=2,
                    optimizer_arguments={"weight_decay": 0.01},
                    min_snr_gamma=5.0,
                ),
                (Broken if name in broken else Drawn)(seed, batch, side + 8 * (seed == 3)),
                stream(seed, name, "noise"),
                None,
            )
            for name, seed, batch, steps in specs
        ]
        with pytest.raises(Diverged) if broken else nullcontext():
            for event in train(
                model, attachment, trainees, after_step=lambda *_: iter(()), stop=lambda: False
            ):
                if told is not None:
                    told.append(event)
        return {name: attachment.adapter(name) for name, *_ in specs}


def largest_gap(one: Adapter, other: Adapter) -> float:
    return max(
        float((tensor - other.deltas[site].parts()[part]).norm() / tensor.norm())
        for site, delta in one.deltas.items()
        for part, tensor in delta.parts().items()
    )


def test_packed_equals_solo(tiny_base: Path) -> None:
    model = load_model(tiny_base, dtype=torch.float64)
    # Other seeds, batches, numbers of steps, gathered batches, and one of another picture size.
    specs = [("anime", 1, 2, 4), ("wash", 2, 3, 3), ("toon", 3, 2, 4)]
    together = run(model, specs)
    for spec in specs:
        gap = largest_gap(run(model, [spec])[spec[0]], together[spec[0]])
        assert gap <= 1e-9, (spec, gap)
    moved = run(model, [("wash", 12, 3, 3)])["wash"]
    gap = largest_gap(moved, together["wash"])
    assert gap > 1e-3, "another seed must make a difference, or the first figures say nothing"


def test_the_base_is_untouched(tiny_base: Path) -> None:
    model = load_model(tiny_base, dtype=torch.float64)
    before = {
        f"{part}.{name}": value.clone()
        for part, network in model.networks.items()
        for name, value in network.state_dict().items()
    }
    run(model, [("anime", 1, 2, 2)])
    after = {
        f"{part}.{name}": value
        for part, network in model.networks.items()
        for name, value in network.state_dict().items()
    }
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_gradient_that_is_not_finite_names_adapter_and_step(tiny_base: Path) -> None:
    model = load_model(tiny_base, dtype=torch.float64)
    fresh = {"a": fresh_adapter(model.networks, RANKS, Card(family="sd1"), stream(1, "a", "w"))}
    with attach(model.networks, fresh, 0.0, trainable=True) as attachment:
        tuning = Tuning(steps=3, learning_rates={"unet": 1e-3}, optimizer_arguments={})
        trainee = Trainee("a", attachment, tuning, Broken(1, 1), stream(1, "a", "noise"), None)
        told: list[Event] = []
        with pytest.raises(Diverged, match='"a" broke at step 2'):
            told.extend(
                train(
                    model, attachment, [trainee], after_step=lambda *_: iter(()), stop=lambda: False
                )
            )
    assert [type(event) for event in told] == [Stepped], "the error itself is all there is to tell"
    assert (trainee.step, trainee.active) == (1, False)


def test_one_that_breaks_leaves_alone(tiny_base: Path) -> None:
    model = load_model(tiny_base, dtype=torch.float64)
    # The one that breaks would train longest; another is of the same picture size, one is not.
    specs = [("anime", 1, 2, 3), ("bad", 2, 3, 7), ("toon", 3, 2, 2)]
    told: list[Event] = []
    together = run(model, specs, broken=["bad"], told=told)
    rest = run(model, [spec for spec in specs if spec[0] != "bad"])
    for name, adapter in rest.items():
        assert largest_gap(adapter, together[name]) <= 1e-9, name

    assert [event.code for event in told if isinstance(event, Warned)] == ["train.diverged"]
    broken = next(event for event in told if isinstance(event, Warned))
    assert (broken.details["adapter"], broken.details["step"]) == ("bad", 2)
    steps = [event for event in told if isinstance(event, Stepped)]
    assert [(event.step, event.total, sorted(event.losses)) for event in steps] == [
        (1, 7, ["anime", "bad", "toon"]),
        (2, 3, ["anime", "toon"]),
        (3, 3, ["anime"]),
    ]
    assert all(event.losses.keys() == event.gradient_norms.keys() for event in steps)
    for tensor in (t for d in together["bad"].deltas.values() for t in d.parts().values()):
        assert tensor.isfinite().all(), "the step that would have broken it is not taken"


def test_nobody_is_left(tiny_base: Path) -> None:
    model = load_model(tiny_base, dtype=torch.float64)
    told: list[Event] = []
    run(model, [("one", 2, 1, 5), ("two", 4, 1, 9)], broken=["one", "two"], told=told)
    assert [type(event) for event in told] == [Stepped]


def test_stop_ends_after_the_step(tiny_base: Path) -> None:
    model = load_model(tiny_base, dtype=torch.float64)
    fresh = {"a": fresh_adapter(model.networks, RANKS, Card(family="sd1"), stream(1, "a", "w"))}
    with attach(model.networks, fresh, 0.0, trainable=True) as attachment:
        tuning = Tuning(steps=9, learning_rates={"unet": 1e-3}, optimizer_arguments={})
        trainee = Trainee("a", attachment, tuning, Drawn(1, 1), stream(1, "a", "noise"), None)
        events = list(
            train(
                model,
                attachment,
                [trainee],
                after_step=lambda *_: iter(()),
                stop=lambda: trainee.step == 2,
            )
        )
    assert len(events) == trainee.step == 2
