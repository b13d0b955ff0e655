"""A small made-up demonstration: two styles, pictures of noise, figures that are easy to find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from loraloom.adapters.adapter import Adapter, Card
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.evaluation.agreement import Share
from loraloom.evaluation.report import (
    AdapterFacts,
    BaseMeasure,
    Checks,
    DatasetFacts,
    DemoReport,
    Gap,
    Grid,
    GridColumn,
    GridRow,
    Isolation,
    Machine,
    NextCommand,
    Phase,
    Picture,
    Strip,
    StyleReport,
    TrainingFacts,
    TriggerAlone,
    WeightPicture,
    WeightRow,
    WrittenFile,
    ZeroWeight,
)
from loraloom.evaluation.savings import Savings, adapter_savings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one picture of 64 x 64 pixels, noise.png."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    return tmp_path


@pytest.fixture
def savings() -> Savings:
    """Return the savings of a LoRA that is larger than one of its two layers."""
    generator = torch.Generator().manual_seed(0)
    shapes = {Site("unet", "wide.weight"): (100, 200), Site("unet", "small.weight"): (6, 6)}
    deltas = {site: Lora.fresh(shape, 4, 2, generator) for site, shape in shapes.items()}
    network = {**shapes, Site("unet", "untouched.weight"): (1000, 10)}
    return adapter_savings(Adapter(deltas=deltas, card=Card(family="sd1")), network)


def style(name: str, trigger: str, rights: tuple[int, ...], savings: Savings) -> StyleReport:
    picture = Picture(path="noise.png", alt=f"a red ball, {name}")
    weights = [0.0, 0.5, 1.0]
    return StyleReport(
        name=name,
        trigger=trigger,
        dataset=DatasetFacts(folder=f"data/10_{name}", images=60, pictures=(picture,)),
        adapter=AdapterFacts(
            file=f"{name}.safetensors",
            bytes=1_284_112,
            kind="lora",
            rank=16,
            alpha=8.0,
            parameters=1_248,
            sites={"unet": 2},
            savings=savings,
        ),
        training=TrainingFacts(
            learning_rate=5e-4, steps=4, batch_size=2, losses=(0.4, 0.2, 0.3, 0.1)
        ),
        sweep=tuple(
            WeightRow(
                weight=weight,
                style=Share(right, 24),
                object=Share(23, 24),
                colour=Share(22, 24),
                background=Share(21, 24),
            )
            for weight, right in zip(weights, rights, strict=True)
        ),
        strip=Strip(
            prompt=f"{trigger} a red ball",
            seed=7,
            pictures=tuple(WeightPicture(weight=weight, picture=picture) for weight in weights),
        ),
    )


@pytest.fixture
def report(savings: Savings) -> DemoReport:
    """Return a whole demonstration, all of whose checks pass."""
    picture = Picture(path="noise.png", alt="a picture")
    return DemoReport(
        title="Two styles",
        created="2026-03-02T14:05:11+09:00",
        version="0.1.0",
        base="playground",
        machine=Machine(python="3.12.9", torch="2.13.0", cpu="A chip", cores=2, device="cpu"),
        phases=(Phase(name="train", seconds=200.0), Phase(name="measure", seconds=52.0)),
        seconds=252.0,
        styles=(
            style("anime", "anistyle", (1, 12, 23), savings),
            style("cartoon", "cartoonstyle", (0, 20, 24), savings),
        ),
        grid=Grid(
            columns=(
                GridColumn(label="base", addition=""),
                GridColumn(label="anime", addition="anistyle <lora:anime:0.8>"),
            ),
            rows=(GridRow(prompt="a red ball", seed=11, pictures=(picture, picture)),),
            sheet=picture,
        ),
        checks=Checks(
            zero_weight=ZeroWeight(identical=True, pictures=8),
            triggers=(TriggerAlone(style="anime", trigger="anistyle", share=Share(1, 24)),),
            isolation=Isolation(
                adapters=2,
                steps=20,
                batch_size=4,
                tensors=4,
                float64=Gap(difference=1.34e-14, tensor="unet.wide.weight up", allowed=1e-10),
                float32=Gap(difference=3.2e-5, tensor="unet.wide.weight down", allowed=1e-3),
            ),
        ),
        files=(WrittenFile(path="anime.safetensors", bytes=1_284_112, kind="adapter"),),
        next_commands=(NextCommand(kind="mix", command='loraloom generate --prompt "a ball"'),),
        base_measure=BaseMeasure(
            object=Share(90, 96), colour=Share(84, 96), background=Share(95, 96), all=Share(77, 96)
        ),
    )
