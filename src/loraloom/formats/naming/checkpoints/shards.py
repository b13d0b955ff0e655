"""The index of a model whose tensors are spread over several files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, final

from pydantic import BaseModel, ConfigDict, ValidationError

from loraloom.errors import ModelError
from loraloom.formats.excerpt import shown

INDEX_SUFFIX: Final = ".safetensors.index.json"

_WEIGHTS: Final = re.compile(r"[^/\\:\x00]+\.safetensors")


@final
class ShardIndex(BaseModel):
    """Which file holds which tensor, as `diffusion_pytorch_model.safetensors.index.json` tells.

    Source: huggingface_hub, serialization; what the index tells besides is kept.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    weight_map: Mapping[str, str]
    metadata: Mapping[str, Any] = {}

    @property
    def files(self) -> tuple[str, ...]:
        """The files' names, which lie beside the index."""
        return tuple(dict.fromkeys(self.weight_map.values()))

    def names_in(self, file: str) -> tuple[str, ...]:
        """Return the names of the tensors in one file."""
        return tuple(name for name, place in self.weight_map.items() if place == file)

    def to_json(self) -> str:
        """Return the index's text, the inverse of `read_index`."""
        return json.dumps(self.model_dump(), indent=2, sort_keys=True) + "\n"


def read_index(text: str | bytes, where: str) -> ShardIndex:
    """Return the index; one that is broken, or points outside its folder, is a `ModelError`."""
    try:
        index = ShardIndex.model_validate_json(text)
    except ValidationError as error:
        raise ModelError("naming.shard_index", where=where, reason="weight_map") from error
    outside = next((file for file in index.files if not _WEIGHTS.fullmatch(file)), None)
    if outside is not None:
        raise ModelError("naming.shard_index", where=where, reason=shown(outside))
    return index
