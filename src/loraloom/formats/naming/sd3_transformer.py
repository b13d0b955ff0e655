"""The transformer of Stable Diffusion 3 and 3.5, in diffusers' names and in Stability AI's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from loraloom.formats.naming.grammar import Grammar
from loraloom.formats.naming.meaning import Halves
from loraloom.formats.naming.renaming import Renaming
from loraloom.formats.naming.rule import Rule, renamed

SD3_TRANSFORMER: Final = Grammar(
    """
      pos_embed
    | pos_embed.proj
    | context_embedder
    | time_text_embed . (timestep_embedder | text_embedder) . (linear_1 | linear_2)
    | transformer_blocks.# .
      ( (norm1 | norm1_context).linear
      | attn .
        ( to_q | to_k | to_v | to_out.0
        | add_q_proj | add_k_proj | add_v_proj | to_add_out
        | norm_q | norm_k | norm_added_q | norm_added_k
        )
      | attn2 . (to_q | to_k | to_v | to_out.0 | norm_q | norm_k)
      | (ff | ff_context).net . (0.proj | 2)
      )
    | norm_out.linear
    | proj_out
    """
)

_OURS: Final = "transformer_blocks.#"
_IMAGE: Final = "joint_blocks.#.x_block"
_TEXT: Final = "joint_blocks.#.context_block"

_RENAMED: Final = {
    "x_embedder.proj": "pos_embed.proj",
    "context_embedder": "context_embedder",
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    f"{_IMAGE}.adaLN_modulation.1": f"{_OURS}.norm1.linear",
    f"{_IMAGE}.attn.ln_q": f"{_OURS}.attn.norm_q",
    f"{_IMAGE}.attn.ln_k": f"{_OURS}.attn.norm_k",
    f"{_IMAGE}.attn.proj": f"{_OURS}.attn.to_out.0",
    f"{_IMAGE}.attn2.ln_q": f"{_OURS}.attn2.norm_q",
    f"{_IMAGE}.attn2.ln_k": f"{_OURS}.attn2.norm_k",
    f"{_IMAGE}.attn2.proj": f"{_OURS}.attn2.to_out.0",
    f"{_IMAGE}.mlp.fc1": f"{_OURS}.ff.net.0.proj",
    f"{_IMAGE}.mlp.fc2": f"{_OURS}.ff.net.2",
    f"{_TEXT}.attn.ln_q": f"{_OURS}.attn.norm_added_q",
    f"{_TEXT}.attn.ln_k": f"{_OURS}.attn.norm_added_k",
    f"{_TEXT}.attn.proj": f"{_OURS}.attn.to_add_out",
    f"{_TEXT}.mlp.fc1": f"{_OURS}.ff_context.net.0.proj",
    f"{_TEXT}.mlp.fc2": f"{_OURS}.ff_context.net.2",
    "final_layer.linear": "proj_out",
}
_STACKED: Final = {
    f"{_IMAGE}.attn.qkv": tuple(f"{_OURS}.attn.to_{each}" for each in "qkv"),
    f"{_IMAGE}.attn2.qkv": tuple(f"{_OURS}.attn2.to_{each}" for each in "qkv"),
    f"{_TEXT}.attn.qkv": tuple(f"{_OURS}.attn.add_{each}_proj" for each in "qkv"),
}


def _rules() -> Iterator[Rule]:
    yield from renamed(_RENAMED)
    for theirs, ours in _STACKED.items():
        yield Rule(theirs, ours)
    # The last block's text stream has a scale and a shift alone: its rows tell it from the others.
    yield Rule(
        f"{_TEXT}.adaLN_modulation.1",
        (f"{_OURS}.norm1_context.linear",),
        halves=Halves.SWAPPED_IF_TWO,
    )
    yield Rule("final_layer.adaLN_modulation.1", ("norm_out.linear",), halves=Halves.SWAPPED)
    yield Rule("", ("pos_embed",), parameters={"pos_embed": "pos_embed"})


# Stability AI's names, which kohya's files and single files have. Source: Stability-AI/sd3.5,
# mmditx.py.
SD3_NATIVE: Final = Renaming("transformer", _rules())
