"""A whole model's files: one checkpoint with the names of its weights, wherever they lie."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, final

from loraloom.adapters.site import PARTS
from loraloom.composing.base_weights import BaseWeights
from loraloom.composing.checkpoint import Checkpoint, Stored, in_file
from loraloom.errors import ModelError
from loraloom.formats.excerpt import excerpt
from loraloom.formats.naming.checkpoints.checkpoint import names_in_file, names_in_folder
from loraloom.formats.naming.checkpoints.shards import INDEX_SUFFIX, read_index
from loraloom.formats.naming.checkpoints.turned import (
    TURNED_FAMILY,
    perhaps_turned,
    turns_weights,
)
from loraloom.formats.naming.meaning import Meaning
from loraloom.jobs.lora.model_place import place_of_model
from loraloom.models.configuration import read_object

Item = TypeVar("Item")

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
    title: str
    files: tuple[str, ...]
    checkpoint: Checkpoint
    meanings: Mapping[str, Meaning]
    families: tuple[str, ...]

    @classmethod
    def at(cls, name: str, *, whole: bool = False) -> ModelFiles:
        """Open a model by name: a folder of diffusers or transformers, a file, or of the hub.

        Headers alone are read. What is no model, or lacks safetensors files, is a `ModelError`.
        Of a model of the hub only what adapters are for is fetched, unless the `whole` is needed.
        """
        path, title = place_of_model(name, whole=whole)
        if path.is_dir():
            return _in_folder(path, title)
        tensors = in_file(path)
        names = names_in_file(tensors.keys(), str(path))
        return cls(
            path=path,
            title=title,
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
            # A whole model in one file often lies beside the networks' folders.
            beside = str(Path(name).parent) in {*folders, "."}
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


def _in_folder(path: Path, title: str) -> ModelFiles:
    folders = {part: part for part in PARTS if (path / part).is_dir()} or {_ALONE: ""}
    files: list[str] = []
    checkpoint: dict[str, Stored] = {}
    meanings: dict[str, Meaning] = {}
    families: tuple[str, ...] = ()
    for part, folder in folders.items():
        own = {file: in_file(path / file) for file in _weight_files(path, folder)}
        names = [name for tensors in own.values() for name in tensors]
        turned = _turned(path / folder, names)
        known = names_in_folder(part, names, str(path / folder), turned).meanings
        for file, tensors in own.items():
            checkpoint |= _of_file(file, tensors)
            meanings |= _of_file(file, {name: known[name] for name in tensors})
        files += own
        families = (TURNED_FAMILY,) if turned else families
    return ModelFiles(
        path=path,
        title=title,
        files=tuple(files),
        checkpoint=checkpoint,
        meanings=meanings,
        families=families,
    )


def _turned(folder: Path, names: Collection[str]) -> Collection[str]:
    """Return the tensors that keep a weight with the inputs for rows, as `config.json` has it."""
    perhaps = perhaps_turned(names)
    config = folder / "config.json"
    if perhaps and not config.is_file():
        raise ModelError("lora.no_config", folder=folder, sites=excerpt(perhaps))
    return perhaps if perhaps and turns_weights(read_object(config)) else ()


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
