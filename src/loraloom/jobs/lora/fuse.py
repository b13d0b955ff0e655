"""Adapters written into a copy of a model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from loraloom.adapters.adapter import Adapter
from loraloom.composing.checkpoint import Checkpoint
from loraloom.composing.checkpoint_file import CheckpointFile
from loraloom.composing.fusion import fuse as fused
from loraloom.composing.fusion import fused_metadata
from loraloom.composing.weights import Weight
from loraloom.errors import OutputError, UsageError
from loraloom.events import Event, Finished, Saved, Warned
from loraloom.formats.files import read_adapter
from loraloom.formats.header import read_header
from loraloom.jobs.lora.files import warnings_of
from loraloom.jobs.lora.model_files import ModelFiles
from loraloom.jobs.lora.options import FuseOptions
from loraloom.jobs.lora.output import check_output
from loraloom.jobs.lora.progress import stopped, written
from loraloom.jobs.lora.weights import weighted, with_blocks

_BLOCK: Final = 1 << 20
_SUFFIX: Final = ".safetensors"


def fuse(options: FuseOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Write the base with adapters in it, one tensor at a time; the base itself stays untouched.

    Of a folder, every file is written: shards as they were divided, the rest copied. Asked to stop
    before the end, it leaves nothing behind.
    """
    started = time.monotonic()
    model = ModelFiles.at(options.base, whole=True)
    found = weighted(options.adapters)
    paths = [path for path, _ in found.values()]
    check_output(options.output, [model.path, *paths], force=options.force)
    _check_kind(options.output, model, force=options.force)
    adapters = {name: read_adapter(path) for name, (path, _) in found.items()}
    yield from warnings_of(adapters)
    for name, adapter in adapters.items():
        if adapter.embeddings:
            details = {"name": name, "words": ", ".join(adapter.embeddings)}
            yield Warned(code="lora.embeddings_left_out", details=details)
    sites = {name: [str(site) for site in adapter.sites] for name, adapter in adapters.items()}
    weights = with_blocks(found, options.blocks, sites)
    checkpoint = fused(model.checkpoint, model.meanings, adapters, weights, options.strength.law)
    contents = _contents(model, checkpoint, adapters, weights)
    if model.is_folder:
        if left := model.left_out():
            yield Warned(code="lora.files_left_out", details={"files": ", ".join(left)})
        files = {options.output / name: content for name, content in contents.items()}
    else:
        (content,) = contents.values()
        files = {options.output: content}
    size = sum(content.size for content in contents.values())
    stale = _stale(options.output, files) if model.is_folder else ()
    if not (yield from written(files, size, stop, overwrite=options.force, stale=stale)):
        yield from stopped("lora fuse", started)
        return
    yield Saved(path=options.output, what="model")
    seconds = time.monotonic() - started
    yield Finished(job="lora fuse", seconds=seconds, outputs=(options.output,))


def _check_kind(output: Path, model: ModelFiles, *, force: bool) -> None:
    if model.is_folder:
        if output.is_file():
            raise UsageError("lora.folder_expected", path=output)
        if output.is_dir() and any(output.iterdir()) and not force:
            raise OutputError("lora.output_exists", path=output)
    elif output.suffix != _SUFFIX:
        raise UsageError("output.suffix", path=output, suffix=_SUFFIX)


def _contents(
    model: ModelFiles,
    checkpoint: Checkpoint,
    adapters: Mapping[str, Adapter],
    weights: Mapping[str, Weight],
) -> dict[str, CheckpointFile | _Copy]:
    root = model.path if model.is_folder else model.path.parent
    contents: dict[str, CheckpointFile | _Copy] = {}
    for file in model.files:
        start = f"{file}:"
        own = {
            name.removeprefix(start): stored
            for name, stored in checkpoint.items()
            if name.startswith(start)
        }
        metadata = fused_metadata(read_header(root / file).metadata, adapters, weights)
        contents[file] = CheckpointFile(own, metadata)
    if model.is_folder:
        copied = (*model.others(), *model.indices())
        contents |= {name: _Copy(root / name) for name in copied}
    return contents


def _stale(output: Path, written: Mapping[Path, object]) -> list[Path]:
    """Return weights that an earlier model left in the folder, which would be mistaken for new."""
    folders = {path.parent for path in written if path.suffix == _SUFFIX}
    beside = (path for folder in folders for path in folder.glob(f"*{_SUFFIX}*"))
    return [path for path in beside if path not in written]


class _Copy:
    """The bytes of a file, block by block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size
        """How many there are."""

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
