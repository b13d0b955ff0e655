"""How the networks of a model are put together in one file, each under a prefix of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from loraloom.formats.naming.clip import CLIP_WITH_PROJECTION, ROOT, openclip
from loraloom.formats.naming.flux import FLUX
from loraloom.formats.naming.flux_transformer import FLUX_NATIVE
from loraloom.formats.naming.renaming import Renaming
from loraloom.formats.naming.sd1 import SD1
from loraloom.formats.naming.sd2 import SD2
from loraloom.formats.naming.sd3 import SD3
from loraloom.formats.naming.sd3_transformer import SD3_NATIVE
from loraloom.formats.naming.sdxl import SDXL
from loraloom.formats.naming.t5 import T5
from loraloom.formats.naming.unet import UNET_LDM, UNET_XL_LDM
from loraloom.formats.naming.vae import VAE_LDM


@final
@dataclass(frozen=True)
class Section:
    """One network in a file: what its names begin with, and how they go on.

    The first prefix that occurs is read; with an empty one the network is a file of its own.
    """

    prefixes: tuple[str, ...]
    renaming: Renaming


@final
@dataclass(frozen=True)
class Arrangement:
    """What the files of a family hold."""

    family: str
    sections: tuple[Section, ...]


_IMAGES: Final = Section(("first_stage_model.", "vae.", ""), VAE_LDM)
_MAIN: Final = ("model.diffusion_model.", "diffusion_model.", "")
_UNET: Final = Section(_MAIN, UNET_LDM)
_UNET_XL: Final = Section(_MAIN, UNET_XL_LDM)


def _clip(part: str, prefix: str) -> Section:
    return Section((prefix,), Renaming.plain(part, CLIP_WITH_PROJECTION, ROOT))


def _t5(part: str) -> Section:
    return Section(("text_encoders.t5xxl.transformer.",), Renaming.plain(part, T5))


# Of Stable Diffusion XL, the refiner has the second text encoder alone. Sources: Stability-AI's
# generative-models and sd3.5, ComfyUI's all-in-one files.
ARRANGEMENTS: Final = (
    Arrangement(
        SD1.name,
        (_UNET, _clip("text_encoder", "cond_stage_model.transformer."), _IMAGES),
    ),
    Arrangement(
        SD2.name,
        (_UNET, Section(("cond_stage_model.model.",), openclip("text_encoder")), _IMAGES),
    ),
    Arrangement(
        SDXL.name,
        (
            _UNET_XL,
            _clip("text_encoder", "conditioner.embedders.0.transformer."),
            Section(("conditioner.embedders.1.model.",), openclip("text_encoder_2")),
            _IMAGES,
        ),
    ),
    Arrangement(
        SDXL.name,
        (
            _UNET_XL,
            Section(("conditioner.embedders.0.model.",), openclip("text_encoder_2")),
            _IMAGES,
        ),
    ),
    Arrangement(
        SD3.name,
        (
            Section(_MAIN, SD3_NATIVE),
            _clip("text_encoder", "text_encoders.clip_l.transformer."),
            _clip("text_encoder_2", "text_encoders.clip_g.transformer."),
            _t5("text_encoder_3"),
            _IMAGES,
        ),
    ),
    Arrangement(
        FLUX.name,
        (
            Section(_MAIN, FLUX_NATIVE),
            _clip("text_encoder", "text_encoders.clip_l.transformer."),
            _t5("text_encoder_2"),
            _IMAGES,
        ),
    ),
)
