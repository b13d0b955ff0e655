"""What an adapter file is, as plain data for a table or for a program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loraloom.formats.families import possible_families
from loraloom.formats.hashes import Hashes
from loraloom.formats.summary import AdapterSummary, alpha_of, describe, scale_of
from loraloom.jobs.lora.telling_options import InfoOptions


def lora_infos(options: InfoOptions) -> Mapping[str, Any]:
    """Return what `lora_info` tells of several files."""
    found = [
        lora_info(path, hashed=options.hash, weights=options.weights, family=options.kin.stated)
        for path in options.files
    ]
    return {"adapters": found}


def lora_info(
    path: Path, *, hashed: bool = False, weights: bool = False, family: str = ""
) -> Mapping[str, Any]:
    """Read an adapter's header and return what it tells; no model and no tensor is loaded.

    A pickle has no header, and is read by torch. `hashed` reads the whole file for its hashes;
    `weights` tells of every adapted weight. What is not an adapter file is a `ModelError`.
    """
    summary = describe(path, hashed=hashed, family=family)
    own = summary.card.family
    families = [own] if own else list(possible_families(summary.layers))
    return {
        "path": str(path),
        "format": summary.format,
        "kinds": list(summary.kinds),
        "family": own,
        "families": families,
        "name": summary.card.name,
        "triggers": list(summary.card.triggers),
        "base": summary.card.base,
        "base_hash": summary.card.base_hash,
        "rank": summary.ranks,
        "alpha": summary.alphas,
        "scale": summary.scales,
        "sites": {part: len(sites) for part, sites in summary.sites_by_part.items()},
        "parameters": summary.parameter_count,
        "bytes": summary.size,
        "dtypes": list(summary.dtypes),
        "embeddings": list(summary.words),
        "hashes": {name: hashes_told(hashes) for name, hashes in summary.hashes.items()},
        "weights": _weights(summary) if weights else {},
        "facts": dict(summary.card.facts),
        "recipe": dict(summary.card.recipe),
    }


def hashes_told(hashes: Hashes) -> Mapping[str, str | None]:
    """Return the hashes of a file by the names that web UIs and model sites have for them."""
    return {
        "autov1": hashes.autov1,
        "autov2": hashes.autov2,
        "autov3": hashes.autov3,
        "sha256": hashes.sha256,
        "tensors": hashes.tensors,
    }


def _weights(summary: AdapterSummary) -> Mapping[str, Any]:
    return {
        str(place): {
            "kind": layer.kind,
            "rank": layer.rank,
            "alpha": alpha_of(layer),
            "scale": scale_of(layer),
        }
        for place, layer in summary.layers.items()
    }
