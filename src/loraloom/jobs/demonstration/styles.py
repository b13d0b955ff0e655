"""What the report says of each style: its folder, its file, its training, its sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image
from torch import nn

from loraloom.evaluation.report import (
    AdapterFacts,
    DatasetFacts,
    Picture,
    Strip,
    StyleReport,
    TrainingFacts,
    WeightPicture,
)
from loraloom.evaluation.savings import adapter_savings, weight_shapes
from loraloom.formats.files import read_adapter
from loraloom.generation.images import to_pictures
from loraloom.jobs.demonstration.datasets import StyleFolder
from loraloom.jobs.demonstration.questions import Question
from loraloom.jobs.demonstration.sweep import Sweep
from loraloom.jobs.recipe import AdapterOptions

_SHOWN = 8


def style_report(
    folder: StyleFolder,
    options: AdapterOptions,
    file: Path,
    losses: Sequence[float],
    measured: Sweep,
    first: Question,
    networks: Mapping[str, nn.Module],
    root: Path,
) -> StyleReport:
    """Put together all that is known of one style; its strip is written below `root`."""
    strip = Strip(
        prompt=first.prompt,
        seed=first.seed,
        pictures=tuple(
            WeightPicture(
                weight=weight,
                picture=_saved(
                    to_pictures(pixels[None])[0],
                    root / "images" / f"{folder.style}-{weight:.2f}.png",
                    root,
                    f"{first.prompt}, {folder.style} {weight:g}",
                ),
            )
            for weight, pixels in measured.strip
        ),
    )
    shown = zip(folder.pictures[:_SHOWN], folder.captions[:_SHOWN], strict=True)
    return StyleReport(
        name=folder.style,
        trigger=folder.trigger,
        dataset=DatasetFacts(
            folder=folder.pictures[0].parent.relative_to(root).as_posix(),
            images=len(folder.pictures),
            pictures=tuple(
                Picture(path=path.relative_to(root).as_posix(), alt=caption)
                for path, caption in shown
            ),
        ),
        adapter=_adapter_facts(file, networks, root),
        training=TrainingFacts(
            learning_rate=options.optimizer.learning_rate,
            steps=len(losses),
            batch_size=options.training.train_batch_size,
            losses=tuple(losses),
        ),
        sweep=measured.rows,
        strip=strip,
    )


def _adapter_facts(file: Path, networks: Mapping[str, nn.Module], root: Path) -> AdapterFacts:
    adapter = read_adapter(file)
    sites: dict[str, int] = {}
    for site in adapter.deltas:
        sites[site.part] = sites.get(site.part, 0) + 1
    some = next(iter(adapter.deltas.values()))
    # The demonstration trains LoRAs.
    assert some.rank is not None
    assert some.alpha is not None
    return AdapterFacts(
        file=file.relative_to(root).as_posix(),
        bytes=file.stat().st_size,
        kind=some.kind,
        rank=some.rank,
        alpha=some.alpha,
        parameters=adapter.parameter_count,
        sites=sites,
        savings=adapter_savings(adapter, weight_shapes(networks)),
    )


def _saved(picture: Image.Image, path: Path, root: Path, alt: str) -> Picture:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return Picture(path=path.relative_to(root).as_posix(), alt=alt)
