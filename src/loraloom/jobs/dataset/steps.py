"""How many steps the pictures of training folders come to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

from loraloom.data.survey import Survey


@final
@dataclass(frozen=True, kw_only=True)
class Steps:
    """How the steps are counted: pictures per step, and epochs where they are known."""

    batch_size: int
    epochs: int | None


def steps_of(survey: Survey, steps: Steps) -> dict[str, Any]:
    """Return the uses and steps of an epoch, and the steps in all, as part of a report."""
    uses = sum(
        entry.subset.repeats
        for entry in survey.entries
        if entry.look.picture and not entry.subset.source.regularisation
    )
    per_epoch = math.ceil(uses / steps.batch_size)
    return {
        "uses_per_epoch": uses,
        "train_batch_size": steps.batch_size,
        "steps_per_epoch": per_epoch,
        "epochs": steps.epochs,
        "steps": per_epoch * steps.epochs if steps.epochs else None,
    }
