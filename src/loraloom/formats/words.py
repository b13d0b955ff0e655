"""Token embeddings (textual inversion) that lie in a file beside the adapter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

from loraloom.formats.rearrangement import AS_IS

_START: Final = "bundle_emb."
_ALONE: Final = "emb_params"
"""What ai-toolkit calls the one embedding that it saves with an adapter."""
_NAME: Final = "ss_output_name"
"""Where its header has the adapter's name, which is the embedding's; else it has none."""
_NAMELESS: Final = "embedding"


@final
@dataclass(frozen=True)
class Word:
    """One tensor of an embedding: the word that calls it, and the tensor's name within it."""

    name: str
    part: str
    rearrangement: str = AS_IS


def bundled(keys: Iterable[str], metadata: Mapping[str, str]) -> Mapping[str, Word]:
    """Return the bundled embeddings among a file's tensors: `bundle_emb.WORD.clip_l`.

    Most who bundle them do it so, whatever the rest of the file is called; ai-toolkit has one,
    under its own name of the tensor. A word ends at its first dot. Source:
    AUTOMATIC1111/stable-diffusion-webui, extensions-builtin/Lora; ostris/ai-toolkit,
    toolkit/embedding.py.
    """
    words: dict[str, Word] = {}
    for key in keys:
        name, dot, part = key.removeprefix(_START).partition(".")
        if key.startswith(_START) and name and dot and part:
            words[key] = Word(name, part)
        elif key == _ALONE:
            words[key] = Word(metadata.get(_NAME, "").replace(".", "_") or _NAMELESS, key)
    return words


def bundle_key(word: str, part: str) -> str | None:
    """Return the name of a bundled tensor, the inverse of `bundled`; None if it has none."""
    return None if "." in word or not word else f"{_START}{word}.{part}"
