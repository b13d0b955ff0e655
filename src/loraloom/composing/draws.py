"""Random streams of one purpose at one weight, so that other weights never shift them."""

from __future__ import annotations

import hashlib

import torch


def stream(seed: int, *names: object) -> torch.Generator:
    """Return a CPU generator that the seed and the names alone decide."""
    text = "/".join(map(str, (seed, *names)))
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
