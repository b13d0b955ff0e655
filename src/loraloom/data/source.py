"""A place that training pictures come from, as somebody named it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Source:
    """A folder of pictures and how it is to be read.

    `repeats` counts for folders whose name has no number. With `literal` the folder's name and the
    folders in it mean nothing: all its pictures are one subset, captioned by `words` where they
    have no caption of their own. `recursive` takes all folders below as well. `caption_encoding` is
    that of captions that are not UTF-8. `label` is put before the names of its pictures when they
    are told. `weight` multiplies the loss, and `settings` are the options in which its pictures
    differ from the rest of the run.
    """

    folder: Path
    repeats: int = 1
    literal: bool = False
    words: str = ""
    recursive: bool = False
    caption_extension: str | None = None
    caption_column: str | None = None
    caption_encoding: str | None = None
    regularisation: bool = False
    weight: float = 1.0
    label: str = ""
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
