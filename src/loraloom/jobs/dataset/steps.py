"""How many steps the pictures of training folders come to, and in which sizes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from loraloom.data.bucket import Bucketing, Fit, Size
from loraloom.data.example import Example
from loraloom.data.scan import examples_of
from loraloom.data.survey import Survey
from loraloom.data.updates import count_epoch


@final
@dataclass(frozen=True, kw_only=True)
class Steps:
    """How the steps are counted: pictures per step, and epochs where they are known."""

    batch_size: int
    epochs: int | None


def steps_of(survey: Survey, steps: Steps) -> dict[str, Any]:
    """Return the uses, buckets and steps of an epoch, and the steps in all, as part of a report."""
    examples = examples_of(survey)
    fits = fits_of(examples, survey.aim.bucketing) if survey.aim.bucketing else None
    sizes = [fit.bucket for fit in fits] if fits else [None] * len(examples)
    epoch = count_epoch(examples, sizes, batch_size=steps.batch_size)
    return {
        "uses_per_epoch": epoch.uses,
        "train_batch_size": steps.batch_size,
        "buckets": buckets_of(examples, fits, steps.batch_size) if fits else [],
        "steps_per_epoch": epoch.steps,
        "epochs": steps.epochs,
        "steps": epoch.steps * steps.epochs if steps.epochs else None,
    }


def fits_of(examples: Sequence[Example], bucketing: Bucketing) -> tuple[Fit, ...]:
    """Return how each example comes into its bucket."""
    return tuple(bucketing.fit(example.width, example.height) for example in examples)


def buckets_of(
    examples: Sequence[Example], fits: Sequence[Fit], batch_size: int
) -> list[dict[str, Any]]:
    """Return the buckets that are used, the fullest first, as plain data.

    `cut` is the mean share of its pictures that is cut away, `most_cut` the largest. Batches and
    uses are those of an epoch; regularisation pictures are counted apart, and have no batches of
    their own in it.
    """
    members: defaultdict[Size, list[tuple[Example, Fit]]] = defaultdict(list)
    for example, fit in zip(examples, fits, strict=True):
        members[fit.bucket].append((example, fit))
    found: list[dict[str, Any]] = []
    for size, inside in members.items():
        taught = [example for example, _ in inside if not example.regularisation]
        epoch = count_epoch(taught, [size] * len(taught), batch_size=batch_size)
        cuts = [fit.cut for _, fit in inside]
        found.append(
            {
                "size": list(size),
                "images": len(taught),
                "regularisation": len(inside) - len(taught),
                "uses": epoch.uses,
                "batches": epoch.batches.get(size, 0),
                "cut": round(sum(cuts) / len(cuts), 4),
                "most_cut": round(max(cuts), 4),
            }
        )
    return sorted(found, key=lambda each: (-each["uses"], each["size"]))
