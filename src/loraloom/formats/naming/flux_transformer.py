"""FLUX's transformer, in diffusers' names and in those of Black Forest Labs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from loraloom.formats.naming.grammar import Grammar
from loraloom.formats.naming.meaning import Halves, Rows
from loraloom.formats.naming.renaming import Renaming
from loraloom.formats.naming.rule import Rule, renamed

FLUX_TRANSFORMER: Final = Grammar(
    """
      x_embedder
    | context_embedder
    | time_text_embed . (timestep_embedder | guidance_embedder | text_embedder) .
      (linear_1 | linear_2)
    | transformer_blocks.# .
      ( (norm1 | norm1_context).linear
      | attn .
        ( to_q | to_k | to_v | to_out.0
        | add_q_proj | add_k_proj | add_v_proj | to_add_out
        | norm_q | norm_k | norm_added_q | norm_added_k
        )
      | (ff | ff_context).net . (0.proj | 2)
      )
    | single_transformer_blocks.# .
      ( norm.linear
      | attn . (to_q | to_k | to_v | norm_q | norm_k)
      | proj_mlp
      | proj_out
      )
    | norm_out.linear
    | proj_out
    """
)

_DOUBLE: Final = "transformer_blocks.#"
_SINGLE: Final = "single_transformer_blocks.#"

_RENAMED: Final = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "double_blocks.#.img_mod.lin": f"{_DOUBLE}.norm1.linear",
    "double_blocks.#.img_attn.proj": f"{_DOUBLE}.attn.to_out.0",
    "double_blocks.#.img_mlp.0": f"{_DOUBLE}.ff.net.0.proj",
    "double_blocks.#.img_mlp.2": f"{_DOUBLE}.ff.net.2",
    "double_blocks.#.txt_mod.lin": f"{_DOUBLE}.norm1_context.linear",
    "double_blocks.#.txt_attn.proj": f"{_DOUBLE}.attn.to_add_out",
    "double_blocks.#.txt_mlp.0": f"{_DOUBLE}.ff_context.net.0.proj",
    "double_blocks.#.txt_mlp.2": f"{_DOUBLE}.ff_context.net.2",
    "single_blocks.#.modulation.lin": f"{_SINGLE}.norm.linear",
    "single_blocks.#.linear2": f"{_SINGLE}.proj_out",
    "final_layer.linear": "proj_out",
}
_NORMS: Final = {
    "double_blocks.#.img_attn.norm.query_norm": f"{_DOUBLE}.attn.norm_q",
    "double_blocks.#.img_attn.norm.key_norm": f"{_DOUBLE}.attn.norm_k",
    "double_blocks.#.txt_attn.norm.query_norm": f"{_DOUBLE}.attn.norm_added_q",
    "double_blocks.#.txt_attn.norm.key_norm": f"{_DOUBLE}.attn.norm_added_k",
    "single_blocks.#.norm.query_norm": f"{_SINGLE}.attn.norm_q",
    "single_blocks.#.norm.key_norm": f"{_SINGLE}.attn.norm_k",
}
_STACKED: Final = {
    "double_blocks.#.img_attn.qkv": tuple(f"{_DOUBLE}.attn.to_{each}" for each in "qkv"),
    "double_blocks.#.txt_attn.qkv": tuple(f"{_DOUBLE}.attn.add_{each}_proj" for each in "qkv"),
}


def _rules() -> Iterator[Rule]:
    yield from renamed(_RENAMED)
    yield from renamed(_NORMS, parameters={"scale": "weight"})
    for theirs, ours in _STACKED.items():
        yield Rule(theirs, ours)
    yield Rule(
        "single_blocks.#.linear1",
        (*(f"{_SINGLE}.attn.to_{each}" for each in "qkv"), f"{_SINGLE}.proj_mlp"),
        rows=Rows.SQUARES_FIRST,
    )
    yield Rule("final_layer.adaLN_modulation.1", ("norm_out.linear",), halves=Halves.SWAPPED)


# The names of the model's authors, which kohya's files and single files have. Source:
# black-forest-labs/flux, src/flux/model.py and modules/layers.py.
FLUX_NATIVE: Final = Renaming("transformer", _rules())
