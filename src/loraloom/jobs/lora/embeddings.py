"""Token embeddings taken out of adapters, and written to files of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from torch import Tensor

from loraloom.adapters.adapter import Adapter, Origin
from loraloom.errors import OutputError
from loraloom.events import Event, Saved, Warned
from loraloom.formats.atomic import write_files
from loraloom.formats.excerpt import excerpt
from loraloom.formats.tensor_file import TensorFile

_NO_NAME: Final = re.compile(r'[\x00-\x1f/\\:*?"|]|^\.+')
"""What some file system has no place for in a file's name; < and > are usual in tokens."""
_ENCODERS: Final = frozenset({"clip_l", "clip_g", "t5xxl"})
"""What the tensors of an embedding for several text encoders are called."""
_ONE: Final = "emb_params"
"""What the tensor of an embedding for one text encoder is called."""


def without(
    adapters: Mapping[str, Adapter], way: Literal["keep", "drop", "split"]
) -> dict[str, Adapter]:
    """Return the adapters as they go on: without their embeddings, unless those are kept."""
    if way == "keep":
        return dict(adapters)
    return {
        name: replace(adapter, embeddings={}, origin=_edited(adapter))
        for name, adapter in adapters.items()
    }


def files_of(
    adapters: Mapping[str, Adapter], output: Path, *, force: bool
) -> dict[Path, TensorFile]:
    """Return the embeddings of all adapters as files beside the output.

    Where two adapters teach a token differently the later file has its adapter's name as well.
    What exists is an `OutputError` unless `force`; the output itself is one in any case.
    """
    found: dict[Path, dict[str, Tensor]] = {}
    for name, adapter in adapters.items():
        for token, parts in adapter.embeddings.items():
            tensors = _common_form(parts)
            plain, own = (_path(output, word) for word in (token, f"{token}-{name}"))
            taken = plain in found and not _same(found[plain], tensors)
            path = own if taken else plain
            if path == output or (path.exists() and not force):
                raise OutputError("output.exists", path=path)
            found[path] = tensors
    return {path: TensorFile(own, {"format": "pt"}) for path, own in found.items()}


def told(
    adapters: Mapping[str, Adapter],
    way: Literal["keep", "drop", "split"],
    output: Path,
    *,
    force: bool,
) -> Iterator[Event]:
    """Write the embeddings to files of their own, or say which are left out."""
    if way == "split":
        files = files_of(adapters, output, force=force)
        write_files(files, overwrite=force)
        yield from (Saved(path=path, what="embedding") for path in files)
    if way == "drop":
        for name, adapter in adapters.items():
            if adapter.embeddings:
                details = {"name": name, "words": excerpt(adapter.embeddings)}
                yield Warned(code="lora.embeddings_dropped", details=details)


def _edited(adapter: Adapter) -> Origin | None:
    origin = adapter.origin
    if origin is None or not adapter.embeddings:
        return origin
    return replace(origin, dialect="")


def _path(output: Path, word: str) -> Path:
    return output.with_name(f"{_NO_NAME.sub('_', word)}.safetensors")


def _common_form(parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors as textual inversion files name them.

    One by its encoder's name or `emb_params`. Source: AUTOMATIC1111/stable-diffusion-webui,
    modules/textual_inversion; huggingface/diffusers, loaders/textual_inversion.py.
    """
    if len(parts) == 1 and not _ENCODERS & parts.keys():
        return {_ONE: next(iter(parts.values())).contiguous()}
    return {part: tensor.contiguous() for part, tensor in parts.items()}


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        tensor.shape == other[key].shape and bool((tensor == other[key]).all())
        for key, tensor in one.items()
    )
