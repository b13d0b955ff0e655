"""A captioner found, loaded."""

from __future__ import annotations

import torch

from loraloom.models.captioning.captioner import AbstractCaptioner, Tagging, Wording
from loraloom.models.captioning.source import TAGGER, fetch_captioner


def load_captioner(
    name: str,
    wording: Wording,
    tagging: Tagging,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> AbstractCaptioner:
    """Load a captioner by the name of its folder or hub repository, fetching it if need be.

    `wording` is for BLIP and BLIP-2, `tagging` for taggers, whose `dtype` is in their file. What
    is missing or broken is a `ModelError`; a tagger without onnxruntime a `SetupError`.
    """
    source = fetch_captioner(name)
    assert source.folder is not None
    if source.kind == TAGGER:
        from loraloom.models.captioning.tagger import load_tagger

        return load_tagger(source.folder, tagging, on_cuda=device.type == "cuda")

    from loraloom.models.captioning.blip import load_blip

    return load_blip(source.folder, source.kind, wording, device, dtype)
