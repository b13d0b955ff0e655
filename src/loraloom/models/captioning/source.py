"""A captioner by name: a folder, or a repository of the hub; and which kind it is."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, final

from loraloom.errors import ModelError
from loraloom.models import hub
from loraloom.models.configuration import read_object

NETWORK, TAGS, CONFIG = "model.onnx", "selected_tags.csv", "config.json"

TAGGER: Final = "tagger"
BLIP_TYPES: Final = ("blip", "blip-2")
"""`model_type` in the configurations of what transformers captions with."""

_BLIP_FILES: Final = ("*.json", "*.txt", "*.model", "model*.safetensors")
_FILES: Final[Mapping[bool, tuple[str, ...]]] = MappingProxyType(
    {True: (NETWORK, TAGS), False: _BLIP_FILES}
)
"""Whether it is a tagger -> the files of the repository that are used."""

_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@final
@dataclass(frozen=True, kw_only=True)
class CaptionerSource:
    """Where a captioner lies, and its kind: a member of BLIP_TYPES, or TAGGER.

    `folder` is None and `kind` "" where the hub is to be asked first.
    """

    name: str
    folder: Path | None = None
    kind: str = ""


def find_captioner(name: str) -> CaptionerSource:
    """Return the captioner of a name, if it is on this machine; nothing is loaded or asked.

    A name that is no folder and no hub repository's is a `ModelError`, and so is a folder that
    holds none of the kinds.
    """
    path = Path(name)
    # This says no, where pathlib's raises, to a path that cannot be looked at.
    if os.path.isdir(path):
        return CaptionerSource(name=name, folder=path, kind=_kind(path))
    if os.path.exists(path):
        raise ModelError("captioner.not_folder", path=path)
    if not _HUB_NAME.fullmatch(name):
        raise ModelError("captioner.unknown", name=name)
    for files in _FILES.values():
        folder = hub.cached(name, files)
        if folder is not None and _is_whole(folder):
            return CaptionerSource(name=name, folder=folder, kind=_kind(folder))
    return CaptionerSource(name=name)


def check_captioner(name: str) -> str:
    """Return the kind of a captioner, "" where only its files tell; the hub is asked if need be.

    A repository that cannot be reached, or holds none of the kinds, is a `ModelError`.
    """
    found = find_captioner(name)
    if found.folder is not None:
        return found.kind
    return TAGGER if _is_tagger(name) else ""


def fetch_captioner(name: str) -> CaptionerSource:
    """Return the captioner of a name, fetched from the hub if it is not on this machine."""
    found = find_captioner(name)
    if found.folder is not None:
        return found
    folder = hub.download(name, _FILES[_is_tagger(name)])
    return CaptionerSource(name=name, folder=folder, kind=_kind(folder))


def _is_tagger(name: str) -> bool:
    listed = set(hub.listed(name))
    if {NETWORK, TAGS} <= listed:
        return True
    if CONFIG not in listed:
        raise ModelError("captioner.none", path=name)
    return False


def _is_whole(folder: Path) -> bool:
    """Tell whether a download came to its end, as far as the names of its files tell."""
    names = {file.name for file in folder.iterdir() if file.is_file()}
    return {NETWORK, TAGS} <= names or (CONFIG in names and _has_weights(names))


def _has_weights(names: Collection[str]) -> bool:
    return any(name.endswith(".safetensors") for name in names)


def _kind(folder: Path) -> str:
    if (folder / NETWORK).is_file() and (folder / TAGS).is_file():
        return TAGGER
    if not (folder / CONFIG).is_file():
        raise ModelError("captioner.none", path=folder)
    kind = str(read_object(folder / CONFIG).get("model_type", ""))
    if kind not in BLIP_TYPES:
        raise ModelError(
            "captioner.kind", path=folder, found=kind, known=", ".join((*BLIP_TYPES, TAGGER))
        )
    return kind
