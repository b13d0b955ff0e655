"""Adapters from files and into files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.scale import is_moderate, scale_of
from loraloom.errors import Diverged, ModelError, OutputError, UsageError
from loraloom.formats.atomic import Content, write_files
from loraloom.formats.coding import Encoded, decode, encode
from loraloom.formats.header import read_header
from loraloom.formats.metadata import Level
from loraloom.formats.pickles import read_pickle
from loraloom.formats.source import (
    CONFIG,
    WEIGHTS,
    Volume,
    locate,
    merged_config,
    network_volumes,
    peft_volumes,
)
from loraloom.formats.table import codec_named
from loraloom.formats.tensor_file import TensorFile

_SUFFIX: Final = ".safetensors"


def read_adapter(path: Path | str, *, on_changed_base: bool = False, family: str = "") -> Adapter:
    """Read an adapter of any known format: a file, a PEFT folder, or one that diffusers saved into.

    Tensors stay on the disk until they are looked at. What cannot be read, or is read only in
    part, is a `ModelError`; so is an adapter whose training changed the base as well (PiSSA),
    unless `on_changed_base` says that it will be worn on that one. `family` states the model
    family, which the file itself tells mostly; one that its weights cannot be of is an error too.
    """
    path = Path(path)
    volumes = locate(path)
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for volume in volumes:
        own_tensors, own_metadata = _read_volume(volume)
        tensors |= volume.named(own_tensors)
        metadata |= volume.named(own_metadata)
    config = merged_config(volumes)
    return decode(
        tensors, metadata, config, str(path), on_changed_base=on_changed_base, family=family
    )


def write_adapter(
    adapter: Adapter,
    path: Path | str,
    format: str = "kohya",
    dtype: torch.dtype | None = None,
    overwrite: bool = False,
    level: Level | None = None,
) -> None:
    """Write an adapter; `dtype` casts its factors, None keeps them.

    `level` is how much the header tells; None keeps what was read, and tells all of a new one.

    `path` ends in `.safetensors`, or is a folder for PEFT's format. What exists is an
    `OutputError` unless `overwrite`; a number that is not finite is `Diverged`.
    """
    path = Path(path)
    codec = codec_named(format)
    if not codec.is_folder and path.suffix != _SUFFIX:
        raise UsageError("output.suffix", path=path, suffix=_SUFFIX)
    _check_finite(adapter, dtype)
    encoded = encode(codec, adapter, level, dtype)
    if codec.is_folder:
        _write_folder(path, encoded, overwrite)
    else:
        file = TensorFile(encoded.tensors, encoded.metadata, encoded.casts)
        write_files({path: file}, overwrite=overwrite)


def _read_volume(volume: Volume) -> tuple[Mapping[str, Tensor], Mapping[str, str]]:
    if volume.is_pickle:
        return read_pickle(volume.weights), {}
    header = read_header(volume.weights)
    try:
        tensors = load_file(volume.weights)
    except (SafetensorError, OSError) as error:
        path, reason = volume.weights, error
        raise ModelError("file.not_safetensors", path=path, reason=reason) from error
    return tensors, header.metadata


def _check_finite(adapter: Adapter, dtype: torch.dtype | None) -> None:
    """Raise Diverged for a number that is not finite, or would not be in another number type.

    So is a scale that float32, in which it is applied, cannot hold.
    """
    for place, delta in adapter.deltas.items():
        if not is_moderate(delta):
            told = {"alpha": delta.alpha, "scale": scale_of(delta)}
            raise Diverged("adapter.scale_overflow", site=place, **told)
        for tensor in delta.parts().values():
            tensor = tensor if dtype is None else tensor.to(dtype)
            # Eight-bit numbers have no test of their own.
            numbers = tensor.float() if tensor.itemsize == 1 else tensor
            if not numbers.isfinite().all():
                raise Diverged("adapter.not_finite", site=place)


def _write_folder(path: Path, encoded: Encoded, overwrite: bool) -> None:
    """Write weights and configuration of every network in place of what the folder held.

    Subfolders of networks go too where a reader would take them for part of what is written.
    """
    volumes = peft_volumes(path)
    configs: Mapping[str, Any] = encoded.config or {}
    if "" not in configs:
        volumes = tuple(dict.fromkeys((*volumes, *network_volumes(path))))
    old = [file for volume in volumes for file in volume.files if os.path.lexists(file)]
    if old and not overwrite:
        raise OutputError("output.exists", path=path)
    for folder in (*configs, *(volume.folder for volume in volumes)):
        if folder and (path / folder).is_symlink():
            raise OutputError("output.linked", path=path / folder)
    contents: dict[Path, Content] = {}
    for folder, config in configs.items():
        volume = Volume(path / folder / WEIGHTS, folder, path / folder / CONFIG)
        tensors, metadata = volume.own(encoded.tensors), volume.own(encoded.metadata)
        file = TensorFile(tensors, metadata, volume.own(encoded.casts))
        contents[path / folder / WEIGHTS] = file
        contents[path / folder / CONFIG] = json.dumps(config, indent=2, sort_keys=True).encode()
    write_files(contents, overwrite=overwrite, stale=[file for file in old if file not in contents])
