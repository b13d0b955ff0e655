"""Token embeddings (textual inversion) that lie in a file beside the adapter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

from loraloom.formats.rearrangement import AS_IS

_START: Final = "bundle_emb."


@final
@dataclass(frozen=True)
class Word:
    """One tensor of an embedding: the word that calls it, and the tensor's name within it."""

    name: str
    part: str
    rearrangement: str = AS_IS


def bundled(keys: Iterable[str]) -> Mapping[str, Word]:
    """Return the bundled embeddings among a file's tensors: `bundle_emb.WORD.clip_l`.

    Everybody who bundles them does it so, whatever the rest of the file is called. A word ends at
    its first dot. Source: AUTOMATIC1111/stable-diffusion-webui, extensions-builtin/Lora.
    """
    words: dict[str, Word] = {}
    for key in keys:
        name, dot, part = key.removeprefix(_START).partition(".")
        if key.startswith(_START) and name and dot and part:
            words[key] = Word(name, part)
    return words


def bundle_key(word: str, part: str) -> str | None:
    """Return the name of a bundled tensor, the inverse of `bundled`; None if it has none."""
    return None if "." in word or not word else f"{_START}{word}.{part}"
