"""Causal language models built as Llama is: Llama, Mistral, Qwen 2 and 3, Gemma, Phi 3."""

from __future__ import annotations

from typing import Final

from loraloom.formats.naming.family import Family
from loraloom.formats.naming.grammar import Grammar
from loraloom.formats.naming.network import Network

_LANGUAGE_MODEL: Final = Grammar(
    """
      (lm_head | language_model.lm_head)
    | (model | model.language_model | language_model.model) .
      ( embed_tokens
      | norm
      | layers.# .
        ( self_attn . (q_proj | k_proj | v_proj | qkv_proj | o_proj | q_norm | k_norm)
        | mlp . (gate_proj | up_proj | gate_up_proj | down_proj)
        | input_layernorm
        | post_attention_layernorm
        | pre_feedforward_layernorm
        | post_feedforward_layernorm
        )
      )
    """
)

# Headers of language models' adapters have no name for the family.
LLAMA: Final = Family(
    name="llama",
    networks=(
        Network(
            part="model",
            grammar=_LANGUAGE_MODEL,
            prefixes=("lycoris",),
            dotted_prefixes=("",),
        ),
    ),
    base_model_version="",
    architecture="",
    implementation="",
    versions=(),
)
