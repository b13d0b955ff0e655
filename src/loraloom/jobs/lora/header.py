"""The header of an adapter file: its metadata and the hashes of what lies behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraloom.errors import ModelError, OutputError, UsageError
from loraloom.formats.hashes import hash_file
from loraloom.formats.header import read_header
from loraloom.formats.header_editing import read_metadata, told_hash_is_right, write_metadata
from loraloom.jobs.lora.options import MetadataOptions
from loraloom.jobs.lora.telling_options import HashOptions, ShowOptions
from loraloom.jobs.lora_info import hashes_told


def show_metadata(options: ShowOptions) -> Mapping[str, Any]:
    """Return the metadata as they stand in the header."""
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
    known = read_metadata(options.source)
    for key in options.remove:
        if key not in known or key in changes:
            raise UsageError("lora.no_entry", key=key, known=", ".join(sorted(known)) or "-")
        changes[key] = None
    if not changes:
        raise UsageError("lora.no_entries")
    output = options.output or options.source
    if output.exists() and not options.force:
        raise OutputError("output.exists", path=output)
    write_metadata(options.source, output, changes, options.force)
    return {"path": str(output)}


def tell_hashes(options: HashOptions) -> Mapping[str, Any]:
    """Return the hashes of files, and whether the one told in the header is that of the tensors."""
    files: list[Mapping[str, Any]] = []
    for path in options.files:
        if path.is_dir():
            raise ModelError("lora.hash_folder", path=path)
        hashes = hash_file(path, read_header(path).data_start)
        told = told_hash_is_right(path)
        files.append({"path": str(path), **hashes_told(hashes), "told_is_right": told})
    return {"files": files}
