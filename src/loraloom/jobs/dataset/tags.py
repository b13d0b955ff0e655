"""The job of counting the tags of captions and editing them in bulk."""

from __future__ import annotations

import csv
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from loraloom.data.caption_files import extensions_to_read, read_text
from loraloom.data.captions import Caption, find_captions
from loraloom.data.finding import some
from loraloom.data.folders import Subset, find_subsets
from loraloom.data.rows import caption_column, rows
from loraloom.data.source import Source
from loraloom.data.tags import TagEdit, frequency
from loraloom.errors import DatasetError, UsageError
from loraloom.events import Event, Examined, Finished, Saved, Warned
from loraloom.jobs.dataset.options import TagsOptions as TagsOptions
from loraloom.jobs.dataset.sources import name_sources
from loraloom.jobs.dataset.undo import apply_edit, undo_edit


def edit_tags(options: TagsOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Count the tags of all captions, after an edit where one is asked for.

    Captions in files and in metadata tables are edited where they are, and the edit of each folder
    is put on record, so that `undo` takes it back. Files that cannot be read are told and left. An
    edit that leaves captions without a word is a UsageError unless that is allowed.
    """
    started = time.monotonic()
    edit = _edit(options)
    if options.undo and not edit.changes_nothing:
        raise UsageError("tags.undo_alone")
    place = options.place
    sources = name_sources(place.folders, place.like()).sources
    changed: list[Path] = []
    if options.undo:
        for source in sources:
            changed += undo_edit(source.folder, overwrite=options.overwrite)
    read = [
        (source, _Captions.of(find_subsets(source)[0], place.caption_extension))
        for source in sources
    ]
    emptied = [name for _, found in read for name in found.emptied(edit)]
    if emptied:
        details = {"count": len(emptied), "files": some(emptied)}
        if not (options.allow_empty or options.dry_run):
            raise UsageError("tags.would_empty", **details)
        yield Warned(code="tags.emptied", details=details)
    texts: list[str] = []
    bare = 0
    for source, found in read:
        contents = found.edited(edit)
        if contents and not options.dry_run:
            yield Saved(path=apply_edit(source.folder, contents), what="undo")
        changed += contents
        texts += found.texts(edit)
        bare += found.bare
        for file in found.faulty:
            yield Warned(code="tags.unreadable", details={"file": file})
    yield Examined(
        report={
            "captions": len(texts),
            "without_caption": bare,
            "changed": [str(path) for path in changed],
            "emptied": len(emptied),
            "edited": not edit.changes_nothing,
            "undone": options.undo,
            "dry_run": options.dry_run,
            "tags": [{"tag": tag, "count": count} for tag, count in frequency(texts)],
            "top": options.top,
        }
    )
    yield Finished(job="tags", seconds=time.monotonic() - started)


@final
@dataclass(frozen=True, kw_only=True)
class _Captions:
    """The captions of a folder that can be edited: files, and rows of metadata tables.

    `bare` counts the pictures that have neither, `faulty` are the files that cannot be read.
    """

    files: Mapping[Path, Caption]
    tables: Mapping[Path, Source]
    rows: tuple[str, ...]
    bare: int
    faulty: tuple[Path, ...]

    @classmethod
    def of(cls, subsets: Sequence[Subset], extension: str | None) -> _Captions:
        extensions = extensions_to_read(extension)
        files: dict[Path, Caption] = {}
        tables: dict[Path, Source] = {}
        said: list[str] = []
        origins: Counter[str] = Counter()
        faulty: list[Path] = []
        for subset in subsets:
            table = subset.metadata.file
            if subset.metadata.faults and table is not None:
                faulty.append(table)
            for caption in find_captions(subset, extensions=extensions, trigger="").values():
                origins[caption.origin] += 1
                if caption.fault is not None:
                    faulty += [caption.file] if caption.file else []
                elif caption.file is not None:
                    files[caption.file] = caption
                elif caption.origin == "row" and table is not None and table not in faulty:
                    tables[table] = subset.source
                    said.append(caption.text)
        return cls(
            files=files,
            tables=tables,
            rows=tuple(said),
            bare=origins["folder"] + origins["nowhere"],
            faulty=tuple(faulty),
        )

    def texts(self, edit: TagEdit) -> list[str]:
        """Return all captions, as edited."""
        said = [caption.text for caption in self.files.values()]
        return [edit.edited(text) for text in (*said, *self.rows)]

    def emptied(self, edit: TagEdit) -> Iterator[str]:
        """Yield what an edit leaves without a word: the names of files, and captions in tables."""
        for path, caption in self.files.items():
            if not any(map(edit.edited, (caption.text, *caption.further_lines))):
                yield path.name
        for text in self.rows:
            if not edit.edited(text):
                yield f'"{text}"'

    def edited(self, edit: TagEdit) -> dict[Path, bytes]:
        """Return the new contents of the files that an edit changes."""
        contents: dict[Path, bytes] = {}
        for path, caption in self.files.items():
            lines = (caption.text, *caption.further_lines)
            edited = tuple(map(edit.edited, lines))
            if edited != lines:
                contents[path] = "".join(f"{line}\n" for line in edited).encode()
        for path, source in self.tables.items():
            before, _ = read_text(path, source.caption_encoding)
            after = _edited_table(path, source, edit)
            if after != before:
                contents[path] = after.encode()
        return contents


def _edit(options: TagsOptions) -> TagEdit:
    pairs: list[tuple[str, str]] = []
    for word in options.replace:
        old, equals, new = (part.strip() for part in word.partition("="))
        if not (old and equals and new):
            raise UsageError("tags.replace_form", word=word)
        pairs.append((old, new))
    for tag in (*options.append, *options.prepend, *options.remove, *(new for _, new in pairs)):
        if "," in tag or not tag.strip():
            raise UsageError("tags.one_tag", tag=tag)
    return TagEdit(
        remove=tuple(map(str.strip, options.remove)),
        replace=tuple(pairs),
        prepend=tuple(map(str.strip, options.prepend)),
        append=tuple(map(str.strip, options.append)),
    )


def _edited_table(path: Path, source: Source, edit: TagEdit) -> str:
    """Return a metadata table without faults with its captions edited, all else as it was."""
    column, encoding = source.caption_column, source.caption_encoding
    found = rows(path, column, encoding=encoding)
    read = [(line, row) for line, row in found if not isinstance(row, DatasetError)]
    new = [_edited_row(row, column, edit) for _, row in read]
    text, _ = read_text(path, encoding)
    if new == [row for _, row in read]:
        return text
    if path.suffix.lower() == ".csv":
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, fieldnames=list(new[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(new)
        return out.getvalue()
    lines = text.split("\n")
    for (line, row), edited in zip(read, new, strict=True):
        if edited != row:
            lines[line - 1] = json.dumps(edited, ensure_ascii=False)
    return "\n".join(lines)


def _edited_row(row: Mapping[str, object], column: str | None, edit: TagEdit) -> dict[str, Any]:
    name = caption_column(row, column)
    if name is None or not row[name]:
        return dict(row)
    return {**row, name: edit.edited(str(row[name]))}
