"""Hashes by which web UIs and model sites know an adapter file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

_BLOCK: Final = 1 << 20
_LEGACY: Final = slice(0x100000, 0x110000)


@final
@dataclass(frozen=True, kw_only=True)
class Hashes:
    """SHA-256 of a whole file, and the three short names derived from file or tensors.

    `autov1` (8 digits) is of 64 KiB at 1 MiB, `autov2` (10) of the whole file, `autov3` (12) of
    the tensors alone, which does not change with the metadata. `tensors` is autov3 in full,
    kohya's `sshs_model_hash`; both are None of a pickle, whose tensors have no place of their own.
    """

    sha256: str
    tensors: str | None
    autov1: str

    @property
    def autov2(self) -> str:
        """The first 10 digits of the file's hash."""
        return self.sha256[:10]

    @property
    def autov3(self) -> str | None:
        """The first 12 digits of the tensors' hash."""
        return None if self.tensors is None else self.tensors[:12]


def hash_file(path: Path, data_start: int | None) -> Hashes:
    """Hash a file whose tensors begin at byte `data_start`, None for a pickle, in one pass."""
    whole, tensors = hashlib.sha256(), hashlib.sha256()
    with path.open("rb") as file:
        head = file.read(data_start or 0)
        whole.update(head)
        while block := file.read(_BLOCK):
            whole.update(block)
            tensors.update(block)
        file.seek(_LEGACY.start)
        legacy = hashlib.sha256(file.read(_LEGACY.stop - _LEGACY.start))
    return Hashes(
        sha256=whole.hexdigest(),
        tensors=None if data_start is None else tensors.hexdigest(),
        autov1=legacy.hexdigest()[:8],
    )


def kohya_hashes(header: bytes, data: Iterable[bytes | memoryview]) -> dict[str, str]:
    """Return the two header entries by which kohya names the tensors of a file.

    `header` is that of the file with no metadata but `ss_*`. Source: kohya-ss/sd-scripts,
    library/train_util.py, `precalculate_safetensors_hashes`.
    """
    tensors, legacy = hashlib.sha256(), hashlib.sha256()
    legacy.update(header[_LEGACY])
    at = len(header)
    for block in data:
        tensors.update(block)
        legacy.update(block[max(0, _LEGACY.start - at) : max(0, _LEGACY.stop - at)])
        at += len(block)
    return {"sshs_model_hash": tensors.hexdigest(), "sshs_legacy_hash": legacy.hexdigest()[:8]}
