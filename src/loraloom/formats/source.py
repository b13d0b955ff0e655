"""Where an adapter lies: one file, or a folder of files with their configurations."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, final

from loraloom.adapters.site import PARTS
from loraloom.errors import ModelError
from loraloom.formats.strict_json import parse_object

WEIGHTS: Final = "adapter_model.safetensors"
CONFIG: Final = "adapter_config.json"

_PEFT_WEIGHTS: Final = (WEIGHTS, "adapter_model.bin")
_PIPELINE_WEIGHTS: Final = ("pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin")
_PICKLES: Final = frozenset({".bin", ".ckpt", ".pt", ".pth"})

_LARGEST_CONFIG: Final = 16 << 20

Item = TypeVar("Item")


@final
@dataclass(frozen=True)
class Volume:
    """One file of tensors, the subfolder it lies in ("" for none), and its configuration file."""

    weights: Path
    folder: str = ""
    config: Path | None = None

    @property
    def is_pickle(self) -> bool:
        """Whether the file's name says that it is a pickle of torch."""
        return self.weights.suffix.lower() in _PICKLES

    def named(self, items: Mapping[str, Item]) -> dict[str, Item]:
        """Put the subfolder before the names of what the volume holds."""
        return {f"{self.folder}/{key}" if self.folder else key: each for key, each in items.items()}

    def own(self, items: Mapping[str, Item]) -> dict[str, Item]:
        """Return what this volume holds of all volumes' items: `named` undone."""
        start = f"{self.folder}/" if self.folder else ""
        return {
            key.removeprefix(start): each for key, each in items.items() if key.startswith(start)
        }

    def holds(self, name: str) -> bool:
        """Whether a name is that of something in this volume."""
        return not self.folder or name.startswith(f"{self.folder}/")

    @property
    def files(self) -> tuple[Path, ...]:
        """The volume's files."""
        return (self.weights,) if self.config is None else (self.weights, self.config)

    def read_config(self) -> Mapping[str, Any] | None:
        """Return the content of the configuration file; None without one."""
        if self.config is None:
            return None
        try:
            if self.config.stat().st_size > _LARGEST_CONFIG:
                raise ValueError("no configuration is so long")
            return parse_object(self.config.read_bytes())
        except (OSError, ValueError) as error:
            raise ModelError("format.config", where=self.config) from error


def locate(path: Path) -> tuple[Volume, ...]:
    """Return the files of the adapter at `path`, a file or a folder.

    A folder is PEFT's, alone or with a subfolder per network, or one that diffusers saved into.
    """
    # These say no, where pathlib's raise, to a path that cannot be looked at.
    if os.path.isdir(path):
        return _in_folder(path)
    if not os.path.isfile(path):
        raise ModelError("file.missing", path=path)
    config = path.with_name(CONFIG)
    if path.name in _PEFT_WEIGHTS and os.path.isfile(config):
        return (Volume(path, config=config),)
    return (Volume(path),)


def merged_config(volumes: tuple[Volume, ...]) -> Mapping[str, Any] | None:
    """Return the configurations by subfolder; None if the files have none."""
    configs = {volume.folder: volume.read_config() for volume in volumes}
    return {folder: config for folder, config in configs.items() if config is not None} or None


def peft_volumes(path: Path) -> tuple[Volume, ...]:
    """Return what PEFT's format has in a folder: one network, or one per subfolder so named."""
    if os.path.isfile(path / CONFIG):
        return (_peft_volume(path, ""),)
    return network_volumes(path)


def network_volumes(path: Path) -> tuple[Volume, ...]:
    """Return what PEFT's format has in a folder's subfolders, whatever lies beside these."""
    return tuple(_peft_volume(path, part) for part in PARTS if os.path.isfile(path / part / CONFIG))


def _in_folder(path: Path) -> tuple[Volume, ...]:
    pipeline = next(_existing(path, _PIPELINE_WEIGHTS), None)
    volumes = peft_volumes(path) or (() if pipeline is None else (Volume(pipeline),))
    if not volumes:
        raise ModelError("file.no_adapter", path=path)
    return volumes


def _peft_volume(path: Path, folder: str) -> Volume:
    weights = next(_existing(path / folder, _PEFT_WEIGHTS), path / folder / WEIGHTS)
    return Volume(weights, folder, path / folder / CONFIG)


def _existing(path: Path, names: tuple[str, ...]) -> Iterator[Path]:
    return (path / name for name in names if os.path.isfile(path / name))
