"""The metadata of a safetensors file, shown and changed without touching its tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from loraloom.errors import UsageError
from loraloom.formats.atomic import write_files
from loraloom.formats.hashes import hash_file
from loraloom.formats.header import METADATA, Header, framed, read_header

_BLOCK: Final = 1 << 20
_SUFFIX: Final = ".safetensors"
_TENSORS_HASH: Final = "sshs_model_hash"


def read_metadata(path: Path) -> Mapping[str, str]:
    """Return the metadata in a file's header; a `ModelError` if it is no safetensors file."""
    return read_header(path).metadata


def write_metadata(
    path: Path, output: Path, changes: Mapping[str, str | None], overwrite: bool = False
) -> None:
    """Write a file's tensors as they are under a header with entries changed; None removes one.

    `output` may be the file itself, with `overwrite`: it is replaced once the new one is whole.
    """
    if output.suffix != _SUFFIX:
        raise UsageError("output.suffix", path=output, suffix=_SUFFIX)
    header = read_header(path)
    metadata = {**header.metadata, **{k: text for k, text in changes.items() if text is not None}}
    for key, text in changes.items():
        if text is None:
            metadata.pop(key, None)
    write_files({output: _file(path, header, metadata)}, overwrite=overwrite)


def told_hash_is_right(path: Path) -> bool | None:
    """Return whether the hash of the tensors in a header is theirs; None if it tells none.

    LyCORIS writes one of another definition, which begins with 0x and is no hash of the file.
    """
    header = read_header(path)
    told = header.metadata.get(_TENSORS_HASH)
    if told is None or told.startswith("0x"):
        return None
    return told == hash_file(path, header.data_start).tensors


def _file(path: Path, header: Header, metadata: Mapping[str, str]) -> Iterator[bytes]:
    entries: dict[str, object] = {METADATA: dict(sorted(metadata.items()))} if metadata else {}
    for name, entry in header.entries.items():
        entries[name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [entry.begin, entry.end],
        }
    yield framed(entries)
    with path.open("rb") as file:
        file.seek(header.data_start)
        while block := file.read(_BLOCK):
            yield block
