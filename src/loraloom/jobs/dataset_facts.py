"""What an adapter's file tells of the pictures that it learnt, as kohya's trainer writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from loraloom.data.bucket import Fit
from loraloom.data.example import Example
from loraloom.jobs.adapter_plan import AdapterPlan


def dataset_facts(plan: AdapterPlan) -> dict[str, Any]:
    """Return counts, folders, tags and buckets; folders by their own names, never by a path.

    Compared with sd-scripts' train_network.py: pictures are counted with their repeats, and tags
    without, in small letters. There, regularisation pictures are repeated or left out until they
    are as many as the others; here all are counted with their own repeats.
    """
    examples = plan.scan.examples
    uses = {
        kind: sum(each.repeats for each in examples if each.regularisation == kind)
        for kind in (False, True)
    }
    facts: dict[str, Any] = {
        "images": uses[False],
        "reg_images": uses[True],
        "batches_per_epoch": sum(plan.epoch.batches.values()),
        "dataset_dirs": _folders(examples, regularisation=False),
        "reg_dataset_dirs": _folders(examples, regularisation=True),
        "tag_frequency": _tags(examples),
    }
    if plan.bucketing.by_shape:
        facts["bucket_info"] = _buckets(examples, plan.fits)
    return facts


def _folders(examples: Sequence[Example], *, regularisation: bool) -> dict[str, dict[str, int]]:
    """Return repeats and pictures of each folder; one whose name is taken gets a number."""
    chosen = (each for each in examples if each.regularisation == regularisation)
    found: dict[str, dict[str, int]] = {}
    for (name, repeats), same in groupby(chosen, key=lambda each: (each.subset, each.repeats)):
        names = (name, *(f"{name} ({number})" for number in range(2, len(found) + 2)))
        free = next(each for each in names if each not in found)
        found[free] = {"n_repeats": repeats, "img_count": len(list(same))}
    return found


def _tags(examples: Sequence[Example]) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for example in examples:
        tags = (tag.strip().lower() for tag in example.caption.split(","))
        found.setdefault(example.subset, Counter()).update(filter(None, tags))
    return {name: dict(counted) for name, counted in found.items()}


def _buckets(examples: Sequence[Example], fits: Sequence[Fit]) -> dict[str, Any]:
    """Return the buckets in use, sorted, and how far shapes are from their buckets' on average."""
    uses: Counter[tuple[int, int]] = Counter()
    errors: list[float] = []
    for example, fit in zip(examples, fits, strict=True):
        uses[fit.bucket] += example.repeats
        errors.append(abs(fit.bucket[0] / fit.bucket[1] - example.width / example.height))
    return {
        "buckets": {
            str(number): {"resolution": list(size), "count": uses[size]}
            for number, size in enumerate(sorted(uses))
        },
        "mean_img_ar_error": sum(errors) / len(errors),
    }
