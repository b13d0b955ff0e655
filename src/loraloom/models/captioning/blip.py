"""BLIP (arXiv 2201.12086) and BLIP-2 (arXiv 2301.12597), by transformers."""

# The model classes of transformers are only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, final

import torch
import transformers
from PIL import Image
from safetensors import SafetensorError

from loraloom.errors import ModelError, ran_out_of_memory
from loraloom.models.captioning.captioner import AbstractCaptioner, Wording
from loraloom.models.quiet import quietly

# What the libraries raise on configurations and weights that are not what they claim to be.
_DAMAGE: Final = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    RuntimeError,
    SafetensorError,
)

_CLASSES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "blip": ("BlipForConditionalGeneration", "BlipProcessor"),
        "blip-2": ("Blip2ForConditionalGeneration", "Blip2Processor"),
    }
)
"""`model_type` -> classes of network and processor."""


@final
@dataclass(frozen=True)
class Blip(AbstractCaptioner):
    """A network and its processor; sentences as `wording` asks."""

    network: Any
    processor: Any
    wording: Wording

    @torch.inference_mode()
    def describe(self, pictures: Sequence[Image.Image]) -> list[str]:
        """Return one sentence per picture."""
        pixels: Any = self.processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        wording = self.wording
        tokens = self.network.generate(
            pixel_values=pixels.to(self.network.device, self.network.dtype),
            num_beams=wording.num_beams,
            do_sample=False,
            min_new_tokens=wording.min_length,
            max_new_tokens=wording.max_length,
        )
        texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]


def load_blip(
    folder: Path, kind: str, wording: Wording, device: torch.device, dtype: torch.dtype
) -> Blip:
    """Load BLIP or BLIP-2 from a folder; a missing or broken part is a `ModelError`."""
    network_class, processor_class = (getattr(transformers, name) for name in _CLASSES[kind])
    settings: dict[str, Any] = {"local_files_only": True}
    try:
        with quietly():
            processor: Any = processor_class.from_pretrained(folder, **settings)
            network: Any = network_class.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, **settings
            )
    except _DAMAGE as error:
        if ran_out_of_memory(error):
            raise
        raise ModelError("model.unreadable", path=folder, reason=error) from error
    return Blip(network.to(device).eval(), processor, wording)
