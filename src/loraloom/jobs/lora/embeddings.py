"""Token embeddings taken out of adapters, and written to files of their own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, final

from torch import Tensor

from loraloom.adapters.adapter import Adapter, Origin
from loraloom.errors import OutputError
from loraloom.events import Event, Saved, Warned
from loraloom.formats.atomic import write_files
from loraloom.formats.excerpt import excerpt, shown
from loraloom.formats.obstacle import require_writable
from loraloom.formats.tensor_file import TensorFile
from loraloom.jobs.lora.output import check_output
from loraloom.jobs.lora.token_names import free_name, is_file_safe, likeness

_ENCODERS: Final = frozenset({"clip_l", "clip_g", "t5xxl"})
"""What the tensors of an embedding for several text encoders are called."""
_ONE: Final = "emb_params"
"""What the tensor of an embedding for one text encoder is called."""
_UNNAMED: Final = frozenset({"", ".."})
"""What the last name of a path is that goes to a folder by where it lies."""


@final
@dataclass(frozen=True, kw_only=True)
class Embedding:
    """A token and what it is taught, as its file has it."""

    token: str
    tensors: Mapping[str, Tensor]


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


def split_off(
    adapters: Mapping[str, Adapter],
    way: Literal["keep", "drop", "split"],
    output: Path,
    sources: Sequence[Path],
    *,
    force: bool,
    bases: Iterable[str | None] = (),
) -> dict[Path, Embedding]:
    """Return the embeddings of all adapters by the files beside the output that they go to.

    None unless they are to be split off. Where two adapters teach a token differently the later
    file has its adapter's name as well. Of tokens that make one name for a file all but one get a
    number; one that is that name itself keeps it. What may not be written over is an `OutputError`,
    as `check_output` has it; so is a token that the output is named for.
    """
    found: dict[Path, Embedding] = {}
    if way != "split":
        return found
    folder = Path(os.path.abspath(output)).parent if output.name in _UNNAMED else output.parent
    taken: set[str] = set()
    taught = [
        (name, token, parts)
        for name, adapter in adapters.items()
        for token, parts in adapter.embeddings.items()
    ]
    for name, token, parts in sorted(taught, key=lambda each: not is_file_safe(each[1])):
        tensors = _common_form(parts)
        others = [each for each in found.values() if each.token == token]
        if any(_same(each.tensors, tensors) for each in others):
            continue
        file = free_name(f"{token}-{name}" if others else token, taken)
        taken.add(likeness(file))
        found[folder / file] = Embedding(token=token, tensors=tensors)
    bases = tuple(bases)
    for path, each in found.items():
        if likeness(path.name) == likeness(os.path.basename(os.path.abspath(output))):
            details = {"path": path, "token": shown(each.token)}
            raise OutputError("lora.embedding_is_output", **details)
        check_output(path, sources, force=force, bases=bases)
        require_writable(path)
        if os.path.lexists(path) and not force:
            raise OutputError("lora.output_exists", path=path)
    return found


def told(
    adapters: Mapping[str, Adapter],
    way: Literal["keep", "drop", "split"],
    beside: Mapping[Path, Embedding],
    *,
    force: bool,
) -> Iterator[Event]:
    """Write the embeddings to files of their own, or say which are left out.

    Files that are not named as their tokens are told, as programs take the one for the other.
    """
    if beside:
        files = {path: TensorFile(own.tensors, {"format": "pt"}) for path, own in beside.items()}
        write_files(files, overwrite=force)
        yield from (Saved(path=path, what="embedding") for path in files)
        renamed = [
            f"{path.name} ({shown(own.token)})"
            for path, own in beside.items()
            if path.stem != own.token
        ]
        if renamed:
            yield Warned(code="lora.embeddings_renamed", details={"files": ", ".join(renamed)})
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
