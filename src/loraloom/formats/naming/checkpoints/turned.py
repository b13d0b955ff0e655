"""The weights that a model's files keep with the inputs for rows, as GPT-2's are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, cast

TURNED_FAMILY: Final = "gpt2"
"""What adapters for such models have on their cards: GPT-2 and those built of its layers."""

_LAYERS: Final = frozenset({"c_attn", "q_attn", "c_proj", "c_fc"})
_ARCHITECTURES: Final = frozenset(
    {"gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp"}
)
"""Those whose layers of these names are transformers' `Conv1D`; others have them too, but linear.

Source: huggingface/transformers, models/*/modeling_*.py.
"""


def perhaps_turned(names: Collection[str]) -> frozenset[str]:
    """Return the tensors whose names alone do not tell which way round they are."""
    parted = {name: name.split(".")[-2:] for name in names}
    return frozenset(
        name for name, ends in parted.items() if ends[0] in _LAYERS and ends[1:] == ["weight"]
    )


def turns_weights(config: Mapping[str, Any]) -> bool:
    """Whether those are turned in a model with this `config.json`, or in one of its parts."""
    return any(name in _ARCHITECTURES for name in _architectures(config))


def _architectures(config: Mapping[str, Any]) -> Iterator[object]:
    yield config.get("model_type")
    for value in config.values():
        if isinstance(value, dict):
            yield from _architectures(cast("dict[str, Any]", value))
