"""The autoencoder, in diffusers' names and in latent-diffusion's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from loraloom.formats.naming.renaming import Renaming
from loraloom.formats.naming.rule import AbstractNumbering, Evidence, Rule, renamed
from loraloom.formats.naming.template import Numbers

_UP: Final = "up"
_RESNET: Final = {
    "norm1": "norm1",
    "conv1": "conv1",
    "norm2": "norm2",
    "conv2": "conv2",
    "nin_shortcut": "conv_shortcut",
}
_ATTENTION: Final = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}


@final
@dataclass(frozen=True)
class Reversed(AbstractNumbering):
    """The decoder's blocks, which latent-diffusion counts from the last to the first."""

    blocks: int

    def ours(self, zone: str, numbers: Numbers) -> Numbers | None:
        block = self.blocks - 1 - numbers[0]
        return None if block < 0 else (block, *numbers[1:])

    def theirs(self, zone: str, numbers: Numbers) -> Numbers | None:
        return self.ours(zone, numbers)


def _derive(evidence: Evidence) -> AbstractNumbering:
    return Reversed(max((numbers[0] for numbers in evidence.of(_UP)), default=-1) + 1)


def _rules() -> Iterator[Rule]:
    yield from renamed({name: name for name in ("quant_conv", "post_quant_conv")})
    for half in ("encoder", "decoder"):
        yield from renamed(
            {
                f"{half}.conv_in": f"{half}.conv_in",
                f"{half}.norm_out": f"{half}.conv_norm_out",
                f"{half}.conv_out": f"{half}.conv_out",
            }
        )
        for number, place in enumerate(("block_1", "block_2")):
            yield from _resnet(f"{half}.mid.{place}", f"{half}.mid_block.resnets.{number}")
        yield from renamed(
            {
                f"{half}.mid.attn_1.{name}": f"{half}.mid_block.attentions.0.{own}"
                for name, own in _ATTENTION.items()
            }
        )
    yield from _resnet("encoder.down.#.block.#", "encoder.down_blocks.#.resnets.#")
    samplers = {"encoder.down.#.downsample.conv": "encoder.down_blocks.#.downsamplers.0.conv"}
    yield from renamed(samplers)
    yield from _resnet("decoder.up.#.block.#", "decoder.up_blocks.#.resnets.#", _UP)
    samplers = {"decoder.up.#.upsample.conv": "decoder.up_blocks.#.upsamplers.0.conv"}
    yield from renamed(samplers, _UP)


def _resnet(theirs: str, ours: str, zone: str = "") -> Iterator[Rule]:
    return renamed({f"{theirs}.{name}": f"{ours}.{own}" for name, own in _RESNET.items()}, zone)


# Latent-diffusion's names; a set of them shows how many blocks there are. Its attention is of 1x1
# convolutions, diffusers' of linear layers. Source: CompVis/latent-diffusion,
# ldm/modules/diffusionmodules/model.py.
VAE_LDM: Final = Renaming("vae", _rules(), _derive)
