"""Random streams that depend on an adapter's own seed and name, never on its neighbours."""

from __future__ import annotations

import hashlib

import torch


def stream(seed: int, name: str, purpose: str) -> torch.Generator:
    """Return a CPU generator for one purpose ("weights", "noise", ...) of one adapter."""
    digest = hashlib.sha256(f"{seed}/{name}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
