"""From a folder to training examples: which pictures, with which words, how often."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loraloom.data.caption_files import extensions_to_read
from loraloom.data.captions import check_complete, check_extension, find_captions
from loraloom.data.example import Example
from loraloom.data.finding import Finding, Tally
from loraloom.data.folders import Subset, find_subsets
from loraloom.data.metadata import relative_name
from loraloom.data.picture import inspect
from loraloom.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The examples of a training folder, sorted by subset and name, and what was noticed."""

    examples: tuple[Example, ...]
    findings: tuple[Finding, ...]


def scan(
    folder: Path,
    *,
    trigger: str = "",
    caption_extension: str | None = None,
    repeats: int | None = None,
) -> Scan:
    """Return the examples of a training folder, each picture decoded once to prove it whole.

    `folder` is flat, is named like "10_words" (ten repeats), or holds subfolders named so.
    A picture's caption is its caption file's (`caption_extension`, else .txt before .caption),
    else its row's in `metadata.jsonl`, else the words of its folder's name, else the `trigger`.
    `repeats` (1 if None) counts for folders without a number. Raises DatasetError, naming the
    file or folder, for what cannot be trained on, a picture without caption among it, and
    UsageError for arguments out of range.
    """
    if repeats is not None and repeats < 1:
        raise UsageError("dataset.repeats", value=repeats)
    extensions = extensions_to_read(caption_extension)
    subsets, left_out = find_subsets(folder, repeats=repeats or 1)
    check_extension(folder, subsets, extensions)
    tally = Tally()
    captions: dict[Path, str] = {}
    for subset in subsets:
        captions |= find_captions(
            folder, subset, extensions=extensions, trigger=trigger.strip(), tally=tally
        )
    check_complete(folder, captions)
    examples = tuple(
        _example(folder, subset, path, captions[path], tally)
        for subset in subsets
        for _, path in subset.pictures()
    )
    return Scan(examples=examples, findings=(*left_out, *tally.findings()))


def _example(root: Path, subset: Subset, path: Path, caption: str, tally: Tally) -> Example:
    picture = inspect(path)
    if picture.animated:
        tally.warn("dataset.picture_animated", relative_name(path, root))
    return Example(
        path=path,
        caption=caption,
        width=picture.width,
        height=picture.height,
        repeats=subset.repeats,
        subset=subset.name,
    )
