"""A whole model's files: one checkpoint with the names of its weights, wherever they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, final

from loraloom.adapters.site import PARTS
from loraloom.composing.base_weights import BaseWeights
from loraloom.composing.checkpoint import Checkpoint, Stored, in_file
from loraloom.errors import ModelError
from loraloom.formats.naming.checkpoints.checkpoint import names_in_file, names_in_folder
from loraloom.formats.naming.checkpoints.shards import INDEX_SUFFIX, read_index
from loraloom.formats.naming.meaning import Meaning
from loraloom.playground.packaged import base_folder

Item = TypeVar("Item")

_PLAYGROUND: Final = "playground"
_SUFFIX: Final = ".safetensors"
_ALONE: Final = "model"
_NAMES: Final = ("diffusion_pytorch_model", "model")
_WEIGHTS: Final = (_SUFFIX, INDEX_SUFFIX, ".bin", ".bin.index.json", ".ckpt", ".pt", ".msgpack")


@final
@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """A model in one file or in a folder.

    Tensors are known by the name of their file, a colon, and their own name. `files` are those of
    networks that adapters are for, relative to `root`; of a single file, its name.
    """

    path: Path
    files: tuple[str, ...]
    checkpoint: Checkpoint
    meanings: Mapping[str, Meaning]
    families: tuple[str, ...]

    @classmethod
    def at(cls, name: str) -> ModelFiles:
        """Open a model by name: `playground`, a folder of diffusers or transformers, or a file.

        Headers alone are read. What is no model, or lacks safetensors files, is a `ModelError`.
        """
        path = base_folder() if name == _PLAYGROUND else Path(name)
        if path.is_dir():
            return _in_folder(path)
        if not path.is_file():
            raise ModelError("lora.no_model", name=name)
        tensors = in_file(path)
        names = names_in_file(tensors.keys(), str(path))
        return cls(
            path=path,
            files=(path.name,),
            checkpoint=_of_file(path.name, tensors),
            meanings=_of_file(path.name, names.meanings),
            families=names.families,
        )

    @property
    def is_folder(self) -> bool:
        """Whether the model is a folder."""
        return self.path.is_dir()

    @property
    def weights(self) -> BaseWeights:
        """The weights, each read when it is asked for."""
        return BaseWeights.in_checkpoint(self.checkpoint, self.meanings)

    def others(self) -> Iterator[str]:
        """Yield the files of a folder that hold no weights of networks that adapters are for."""
        folders = {str(Path(file).parent) for file in self.files}
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            beside = str(Path(name).parent) in folders
            if path.is_file() and not (beside and path.name.endswith(_WEIGHTS)):
                yield name

    def left_out(self) -> tuple[str, ...]:
        """Return weights in a folder that are neither read nor copied: other formats or types."""
        known = {*self.others(), *self.files, *self.indices()}
        every = (path for path in sorted(self.path.rglob("*")) if path.is_file())
        names = (path.relative_to(self.path).as_posix() for path in every)
        return tuple(name for name in names if name not in known)

    def indices(self) -> tuple[str, ...]:
        """Return the files that say which shard holds which tensor."""
        folders = dict.fromkeys(Path(file).parent for file in self.files)
        found = (folder / f"{name}{INDEX_SUFFIX}" for folder in folders for name in _NAMES)
        return tuple(path.as_posix() for path in found if (self.path / path).is_file())


def open_base(name: str | None) -> BaseWeights | None:
    """Return the weights of a base by name, None without a name."""
    return None if name is None else ModelFiles.at(name).weights


def _in_folder(path: Path) -> ModelFiles:
    folders = {part: part for part in PARTS if (path / part).is_dir()} or {_ALONE: ""}
    files: list[str] = []
    checkpoint: dict[str, Stored] = {}
    meanings: dict[str, Meaning] = {}
    for part, folder in folders.items():
        own = {file: in_file(path / file) for file in _weight_files(path, folder)}
        names = [name for tensors in own.values() for name in tensors]
        known = names_in_folder(part, names, str(path / folder)).meanings
        for file, tensors in own.items():
            checkpoint |= _of_file(file, tensors)
            meanings |= _of_file(file, {name: known[name] for name in tensors})
        files += own
    return ModelFiles(
        path=path, files=tuple(files), checkpoint=checkpoint, meanings=meanings, families=()
    )


def _weight_files(root: Path, folder: str) -> list[str]:
    """Return the weight files of one network: its shards, its one file, or the only one there."""
    place = root / folder
    for name in _NAMES:
        index = place / f"{name}{INDEX_SUFFIX}"
        if index.is_file():
            shards = read_index(index.read_bytes(), str(index)).files
            return [(Path(folder) / shard).as_posix() for shard in shards]
        if (place / f"{name}{_SUFFIX}").is_file():
            return [(Path(folder) / f"{name}{_SUFFIX}").as_posix()]
    found = sorted(place.glob(f"*{_SUFFIX}"))
    if len(found) != 1:
        raise ModelError("lora.model_weights", path=place, count=len(found))
    return [found[0].relative_to(root).as_posix()]


def _of_file(file: str, items: Mapping[str, Item]) -> dict[str, Item]:
    return {f"{file}:{name}": item for name, item in items.items()}
