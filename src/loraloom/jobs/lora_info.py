"""What an adapter file is, as plain data for a table or for a program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loraloom.formats.summary import AdapterSummary, describe


def lora_info(path: Path) -> Mapping[str, Any]:
    """Read an adapter's header and return what it tells; no model and no tensor is loaded.

    What is not an adapter file is a `ModelError`.
    """
    summary = describe(path)
    return {
        "path": str(path),
        "format": summary.format,
        "kinds": list(summary.kinds),
        "family": summary.card.family,
        "name": summary.card.name,
        "triggers": list(summary.card.triggers),
        "base": summary.card.base,
        "base_hash": summary.card.base_hash,
        "rank": list(summary.ranks),
        "alpha": _alphas(summary),
        "scale": list(summary.scales),
        "sites": {part: len(sites) for part, sites in summary.sites_by_part.items()},
        "parameters": summary.parameter_count,
        "bytes": summary.size,
        "dtypes": list(summary.dtypes),
        "hashes": {
            name: {"autov1": hashes.autov1, "autov2": hashes.autov2, "autov3": hashes.autov3}
            for name, hashes in summary.hashes.items()
        },
        "facts": dict(summary.card.facts),
        "recipe": dict(summary.card.recipe),
    }


def _alphas(summary: AdapterSummary) -> list[float]:
    alphas = [layer.told_alpha for layer in summary.layers.values()]
    return [min(alphas), max(alphas)]
