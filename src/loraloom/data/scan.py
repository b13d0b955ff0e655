"""From a folder to training examples: which pictures, with which words, how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loraloom.data.checks.table import examine
from loraloom.data.example import Example
from loraloom.data.finding import Finding
from loraloom.data.source import Source
from loraloom.data.survey import Aim, Entry, Survey, find_all, take
from loraloom.data.words import Words, words_of
from loraloom.errors import DatasetError, UsageError


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The examples of a training folder, sorted by subset and name, and what was noticed."""

    examples: tuple[Example, ...]
    findings: tuple[Finding, ...]
    words: Words


class DatasetErrors(DatasetError):
    """Several things that make a folder unusable, told together; the first one's code."""

    def __init__(self, errors: Sequence[DatasetError]) -> None:
        super().__init__(errors[0].code, **errors[0].details)
        self.errors = tuple(errors)

    def message(self, language: str) -> str:
        """Return all messages, each on its own lines."""
        return "\n".join(error.message(language) for error in self.errors)


def scan(
    folder: Path,
    *,
    trigger: str = "",
    caption_extension: str | None = None,
    repeats: int | None = None,
    resolution: tuple[int, int] | None = None,
) -> Scan:
    """Return the examples of a training folder, after looking at every picture and caption.

    `folder` is flat, is named like "10_words" (ten repeats), or holds subfolders named so, or a
    folder such as `train` or `img` that does. A picture's caption is its caption file's
    (`caption_extension`, else .txt before .caption), else its row's in `metadata.jsonl` or
    `metadata.csv`, else the words of its folder's name, else the `trigger`. `repeats` (1 if None)
    counts for folders without a number. With a `resolution`, (width, height) in pixels, pictures
    too small for it are refused. Raises DatasetError for what cannot be trained on, all of it told
    together, and UsageError for arguments out of range.
    """
    if repeats is not None and repeats < 1:
        raise UsageError("dataset.repeats", value=repeats)
    source = Source(folder=folder, repeats=repeats or 1)
    aim = Aim(trigger=trigger.strip(), resolution=resolution)
    subsets, remarks = find_all((source,), caption_extension=caption_extension)
    *_, survey = take(subsets, remarks, aim, caption_extension=caption_extension)
    assert isinstance(survey, Survey)
    return scanned(survey)


def scanned(survey: Survey) -> Scan:
    """Return the examples of a survey; DatasetError if it holds what cannot be trained on."""
    findings = examine(survey)
    raise_errors(findings)
    return Scan(examples=examples_of(survey), findings=findings, words=words_of(survey))


def examples_of(survey: Survey) -> tuple[Example, ...]:
    """Return an example for each picture of a survey that could be decoded."""
    return tuple(_example(entry) for entry in survey.entries if entry.look.picture)


def raise_errors(findings: Sequence[Finding]) -> None:
    """Raise the errors among findings: one as it is, several as `DatasetErrors`."""
    errors = [
        DatasetError(each.code, **each.details) for each in findings if each.severity == "error"
    ]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise DatasetErrors(errors)


def _example(entry: Entry) -> Example:
    picture, source = entry.look.picture, entry.subset.source
    assert picture is not None
    return Example(
        path=entry.path,
        caption=entry.caption.text,
        width=picture.width,
        height=picture.height,
        repeats=entry.subset.repeats,
        subset=entry.subset.name,
        further_lines=entry.caption.further_lines,
        regularisation=source.regularisation,
        weight=source.weight,
        settings=source.settings,
    )
