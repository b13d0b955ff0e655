"""CLIP's text encoder, in transformers' names and in those of OpenCLIP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from loraloom.formats.naming.grammar import Grammar
from loraloom.formats.naming.renaming import Renaming
from loraloom.formats.naming.rule import Rule, renamed

ROOT: Final = "text_model."
"""The first level, which transformers 5 dropped from `CLIPTextModel` and files have."""

CLIP: Final = Grammar(
    """
    text_model .
      ( embeddings . (token_embedding | position_embedding)
      | encoder.layers.# .
        ( self_attn . (q_proj | k_proj | v_proj | out_proj)
        | mlp . (fc1 | fc2)
        | layer_norm1
        | layer_norm2
        )
      | final_layer_norm
      )
    """
)
HIDDEN: Final = (".q_proj", ".k_proj", ".v_proj", ".out_proj", ".fc1")
"""The modules whose input is as wide as the encoder."""

CLIP_WITH_PROJECTION: Final = Grammar(f"{'|'.join(CLIP.names)} | text_projection")

_LAYERS: Final = "text_model.encoder.layers.#"
_OPEN: Final = "transformer.resblocks.#"


def openclip(part: str) -> Renaming:
    """Return OpenCLIP's names, which the checkpoints of Stable Diffusion 2 and XL have.

    Source: mlfoundations/open_clip, src/open_clip/transformer.py; its `text_projection` is
    multiplied from the right, so it is the transposed weight of a linear layer.
    """
    return Renaming(part, _openclip_rules())


def _openclip_rules() -> Iterator[Rule]:
    yield from renamed(
        {
            "token_embedding": "text_model.embeddings.token_embedding",
            f"{_OPEN}.ln_1": f"{_LAYERS}.layer_norm1",
            f"{_OPEN}.attn.out_proj": f"{_LAYERS}.self_attn.out_proj",
            f"{_OPEN}.ln_2": f"{_LAYERS}.layer_norm2",
            f"{_OPEN}.mlp.c_fc": f"{_LAYERS}.mlp.fc1",
            f"{_OPEN}.mlp.c_proj": f"{_LAYERS}.mlp.fc2",
            "ln_final": "text_model.final_layer_norm",
        }
    )
    yield Rule(
        f"{_OPEN}.attn",
        tuple(f"{_LAYERS}.self_attn.{each}_proj" for each in "qkv"),
        parameters={"in_proj_weight": "weight", "in_proj_bias": "bias"},
    )
    yield Rule(
        "",
        ("text_model.embeddings.position_embedding",),
        parameters={"positional_embedding": "weight"},
    )
    yield Rule("", ("text_projection",), parameters={"text_projection": "weight"}, transposed=True)
    # Distilled models have a linear layer there.
    yield from renamed({"text_projection": "text_projection"})
