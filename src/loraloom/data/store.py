"""Latents kept on the disk for all trainings, each in a file named by what it is made of."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, final

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from loraloom.data.cache import Row, Use
from loraloom.data.cached_files import BROKEN, LATENTS, PASSING, SUFFIX
from loraloom.data.shot import MaskSource
from loraloom.errors import DatasetError, OutputError

_FORMAT: Final = "1"
_open: Any = safe_open  # it comes without types


@final
class LatentStore:
    """A shelf on the disk for the latents of one image encoder.

    `encoder` is the hash of its weights, `dtype` the number type that it computes in, `title` its
    name for people. A row's file is named by a hash of the picture's bytes, the part that is shown,
    the size that it is brought to, whether it is mirrored, its mask's bytes, the encoder and the
    type: so it can never be stale, whatever becomes of the picture. A file appears whole or not at
    all, so any number of processes may read and write here, and be killed; one that is damaged,
    or holds what is no number, counts as missing. Nothing is ever written beside the pictures.
    """

    def __init__(self, folder: Path, *, encoder: str, dtype: str, title: str) -> None:
        self._folder = folder / LATENTS / encoder[:16]
        self._encoder = encoder
        self._dtype = dtype
        self._title = title
        self._hashes: dict[Path, str] = {}

    def path(self, use: Use) -> Path:
        """Return the file of a view's row."""
        shot, view = use
        made_of = {
            "format": _FORMAT,
            "encoder": self._encoder,
            "dtype": self._dtype,
            "picture": self._hash(shot.path),
            "box": shot.box(view),
            "size": shot.target,
            "flip": view.flip,
            "mask": self._mask(shot.mask),
        }
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        return self._folder / digest[:2] / f"{digest}{SUFFIX}"

    def has(self, use: Use) -> bool:
        """Tell whether a whole file is there, and mark it as used today."""
        path = self.path(use)
        try:
            with _open(path, "pt") as file:
                whole = {"mean", "deviation"} <= set(file.keys())
            os.utime(path)
        except BROKEN:
            return False
        return whole

    def get(self, use: Use) -> Row | None:
        try:
            with _open(self.path(use), "pt") as file:
                mask: Tensor | None = None if use[0].mask is None else file.get_tensor("mask")
                row = Row(file.get_tensor("mean"), file.get_tensor("deviation"), mask)
        except BROKEN:
            return None
        return row if _is_finite(row) else None

    def put(self, use: Use, row: Row) -> None:
        """Write a row's file; what cannot be written is an OutputError."""
        tensors = {"mean": row.mean, "deviation": row.deviation}
        if row.mask is not None:
            tensors["mask"] = row.mask
        content = save(tensors, {"base": self._title})
        path = self.path(use)
        passing = path.with_name(f"{secrets.token_hex(8)}{PASSING}")
        try:
            # Not forced to the disk: what a power cut leaves half-written is seen to be, and made
            # again.
            try:
                _write(passing, content)
            except FileNotFoundError:  # the folder was empty for a moment, and was pruned
                _write(passing, content)
            passing.replace(path)
        except OSError as error:
            with suppress(OSError):
                passing.unlink(missing_ok=True)
            raise OutputError("cache.unwritable", path=path, reason=error) from error

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            try:
                with path.open("rb") as file:
                    self._hashes[path] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                details = {"count": 1, "files": str(path), "reason": str(error)}
                raise DatasetError("dataset.picture_unreadable", **details) from error
        return self._hashes[path]

    def _mask(self, mask: MaskSource) -> str:
        if mask is None:
            return ""
        return mask if isinstance(mask, str) else self._hash(mask)


def _is_finite(row: Row) -> bool:
    # A sum is finite only if all of it is, and is several times quicker than looking at each.
    sums = (part.sum().item() for part in (row.mean, row.deviation, row.mask) if part is not None)
    return all(map(math.isfinite, sums))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
