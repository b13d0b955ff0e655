"""T5's encoder."""

from __future__ import annotations

from typing import Final

from loraloom.formats.naming.grammar import Grammar

T5: Final = Grammar(
    """
      shared
    | encoder .
      ( embed_tokens
      | final_layer_norm
      | block.#.layer .
        ( 0 . (SelfAttention . (q | k | v | o | relative_attention_bias) | layer_norm)
        | 1 . (DenseReluDense . (wi | wi_0 | wi_1 | wo) | layer_norm)
        )
      )
    """
)
