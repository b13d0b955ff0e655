"""The header of an adapter file: its metadata and the hashes of what lies behind it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loraloom.errors import ModelError, UsageError
from loraloom.formats.hashes import hash_file
from loraloom.formats.header import read_header
from loraloom.formats.header_editing import read_metadata, told_hash_is_right, write_metadata
from loraloom.formats.source import Volume, locate
from loraloom.jobs.lora.options import MetadataOptions
from loraloom.jobs.lora.output import check_output
from loraloom.jobs.lora.telling_options import HashOptions, ShowOptions
from loraloom.jobs.lora_info import hashes_told


def show_metadata(options: ShowOptions) -> Mapping[str, Any]:
    """Return the metadata as they stand in the header."""
    _require_header(options.source)
    return {"path": str(options.source), "metadata": dict(read_metadata(options.source))}


def set_metadata(options: MetadataOptions) -> Mapping[str, Any]:
    """Write the file with entries set or taken out, its tensors bit for bit; return where it is.

    An entry that is not there cannot be taken out, and nothing to do is a `UsageError` too.
    """
    changes: dict[str, str | None] = {}
    for word in options.entries:
        key, equals, text = word.partition("=")
        if not key or not equals:
            raise UsageError("lora.entry", word=word)
        changes[key] = text
    _require_header(options.source)
    known = read_metadata(options.source)
    for key in options.remove:
        if key not in known or key in changes:
            raise UsageError("lora.no_entry", key=key, known=", ".join(sorted(known)) or "-")
        changes[key] = None
    if not changes:
        raise UsageError("lora.no_entries")
    output = options.output or options.source
    check_output(output, (), force=options.force)
    write_metadata(options.source, output, changes, options.force)
    return {"path": str(output)}


def tell_hashes(options: HashOptions) -> Mapping[str, Any]:
    """Return the hashes of files, and whether the one told in the header is that of the tensors."""
    files: list[Mapping[str, Any]] = []
    for path in options.files:
        if path.is_dir():
            raise ModelError("lora.hash_folder", path=path)
        (volume,) = locate(path)
        start = None if volume.is_pickle else read_header(path).data_start
        hashes, told = hash_file(path, start), start and told_hash_is_right(path)
        files.append({"path": str(path), **hashes_told(hashes), "told_is_right": told})
    return {"files": files}


def _require_header(path: Path) -> None:
    """Raise ModelError for a pickle: no metadata go with one."""
    if Volume(path).is_pickle and path.is_file():
        raise ModelError("lora.no_metadata", path=path)
