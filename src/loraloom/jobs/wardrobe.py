"""The wardrobe: adapters read from files and put on a model, each under its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, final

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import Attachment, attach
from loraloom.errors import UsageError
from loraloom.formats.files import read_adapter
from loraloom.formats.hashes import hash_file
from loraloom.formats.header import read_header
from loraloom.formats.source import locate
from loraloom.generation.prompt import LoraTag
from loraloom.jobs.lora_check import require_family
from loraloom.models.model import AbstractModel


@final
@dataclass(frozen=True)
class Wardrobe:
    """Adapters on a model, and the hashes by which infotext knows them."""

    attachment: Attachment
    hashes: Mapping[str, str]

    @classmethod
    def of(
        cls, model: AbstractModel, files: Mapping[str, Path], adapters: Mapping[str, Adapter]
    ) -> Self:
        """Put what was read from these files on a model, at strength 0.

        An adapter of another architecture is a `ModelError`.
        """
        for name, adapter in adapters.items():
            family = adapter.card.family
            require_family(name, files[name], family, model.name, model.family)
        hashes = {name: _hash(adapter, files[name]) for name, adapter in adapters.items()}
        return cls(attach(model.networks, adapters, 0.0), hashes)

    def strengths(self, tags: Iterable[LoraTag]) -> dict[str, dict[str, float]]:
        """Return what tags mean for each network; a name that is not here is a `UsageError`."""
        found: dict[str, dict[str, float]] = {}
        for tag in tags:
            if tag.name not in self.attachment.names:
                known = ", ".join(self.attachment.names)
                raise UsageError("attach.unknown_adapter", name=tag.name, known=known)
            parts = dict.fromkeys(site.part for site in self.attachment.sites(tag.name))
            found[tag.name] = {
                part: tag.text_encoder if part.startswith("text_encoder") else tag.unet
                for part in parts
            }
        return found

    def hashes_of(self, tags: Iterable[LoraTag]) -> dict[str, str]:
        """Return the hashes of the adapters that tags name."""
        return {tag.name: self.hashes[tag.name] for tag in tags}


def read_loras(files: Mapping[str, Path]) -> dict[str, Adapter]:
    """Return the adapters of files, by the same names; one that cannot be read is a `ModelError`.

    It needs no model, so that a file can be found broken before one is loaded.
    """
    return {name: read_adapter(path) for name, path in files.items()}


def _hash(adapter: Adapter, path: Path) -> str:
    """Return the hash of the tensors: as kohya noted it, else computed; of a pickle, the file's."""
    if adapter.origin and (noted := adapter.origin.metadata.get("sshs_model_hash")):
        return noted
    volume = locate(path)[0]
    start = None if volume.is_pickle else read_header(volume.weights).data_start
    hashes = hash_file(volume.weights, start)
    return hashes.tensors or hashes.sha256
