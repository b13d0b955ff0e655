"""Everything that a training folder holds, looked at once and kept as plain records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from loraloom.data.bucket import Bucketing
from loraloom.data.caption import CaptionRules, plain_prompt
from loraloom.data.caption_files import caption_files, extensions_to_read
from loraloom.data.captions import Caption, alone, check_extension, find_captions
from loraloom.data.finding import Finding
from loraloom.data.folders import Subset, find_subsets
from loraloom.data.goals import Goal
from loraloom.data.likeness import clusters
from loraloom.data.listing import composed
from loraloom.data.look import Look, look_at
from loraloom.data.options import MOST_ENLARGED
from loraloom.data.source import Source
from loraloom.data.tokens import LIMIT, TokenCounter, Tokens, estimate


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What the pictures are to be trained for, as far as it is known.

    `resolution` is (width, height) in pixels. `goal` says how many pictures are advised. Pictures
    that would have to be enlarged more than `most_enlarged` times are refused. `tokens` counts
    what the text encoder sees; it is None where no model was named. `bucketing` says at which sizes
    pictures are trained; it is None where that is not known. `rules` say what becomes of captions,
    but for the trigger.
    """

    trigger: str = ""
    resolution: tuple[int, int] | None = None
    goal: Goal | None = None
    most_enlarged: float = MOST_ENLARGED
    wildcards: bool = False
    rules: CaptionRules = field(default_factory=CaptionRules)
    tokens: TokenCounter | None = None
    token_limit: int = LIMIT
    bucketing: Bucketing | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One picture of a training folder, with all that was seen of it; `name` is how it is told."""

    path: Path
    name: str
    subset: Subset
    look: Look
    caption: Caption

    def trigger(self, aim: Aim) -> str:
        """Return the trigger that its prompt gets; pictures of the class alone get none."""
        return "" if self.subset.source.regularisation else aim.trigger

    def prompt(self, aim: Aim) -> str:
        """Return its prompt when nothing is drawn by lot; "" where it has no caption."""
        rules = replace(aim.rules, trigger=self.trigger(aim))
        return plain_prompt(self.caption.text, rules) if self.caption.text else ""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """All subsets and pictures of the sources, in order, and what was noticed on the way to them.

    `alone` are text files that belong to no picture, `shared` those that caption several.
    """

    aim: Aim
    subsets: tuple[Subset, ...]
    entries: tuple[Entry, ...]
    alone: tuple[str, ...]
    shared: tuple[str, ...]
    remarks: tuple[Finding, ...]

    @cached_property
    def alike(self) -> tuple[tuple[Entry, ...], ...]:
        """The groups of nearly equal pictures."""
        seen = [entry for entry in self.entries if entry.look.fingerprint]
        prints = [entry.look.fingerprint for entry in seen]
        groups = clusters([each for each in prints if each])
        return tuple(tuple(seen[index] for index in group) for group in groups)

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """The prompt of each picture, trigger included; "" where it has none."""
        return tuple(entry.prompt(self.aim) for entry in self.entries)

    @cached_property
    def tokens(self) -> tuple[Tokens, ...]:
        """What the text encoder makes of each prompt; an estimate where no model is known."""
        count = self.aim.tokens or estimate
        counted = {prompt: count(prompt) for prompt in dict.fromkeys(self.prompts)}
        return tuple(counted[prompt] for prompt in self.prompts)


def find_all(
    sources: Sequence[Source], *, caption_extension: str | None = None
) -> tuple[tuple[Subset, ...], tuple[Finding, ...]]:
    """Return the subsets of all sources and what was left out; DatasetError where one has none."""
    subsets: list[Subset] = []
    remarks: list[Finding] = []
    for source in sources:
        found, noticed = find_subsets(source)
        subsets += found
        remarks += noticed
    check_extension(subsets, extensions_to_read(caption_extension))
    return tuple(subsets), tuple(remarks)


def take(
    subsets: Sequence[Subset],
    remarks: Sequence[Finding],
    aim: Aim,
    *,
    caption_extension: str | None = None,
    workers: int | None = None,
) -> Iterator[int | Survey]:
    """Look at all pictures and captions; yield how many pictures are done, then the survey."""
    extensions = extensions_to_read(caption_extension)
    captions: list[Caption] = []
    places: list[tuple[Subset, Path]] = []
    for subset in subsets:
        trigger = "" if subset.source.regularisation else aim.trigger
        found = find_captions(subset, extensions=extensions, trigger=trigger)
        captions += found.values()
        places += ((subset, path) for path in found)
    entries: list[Entry] = []
    looks = look_at([path for _, path in places], workers=workers)
    for (subset, path), caption, seen in zip(places, captions, looks, strict=True):
        entries.append(
            Entry(path=path, name=subset.told(path), subset=subset, look=seen, caption=caption)
        )
        yield len(entries)
    lone, shared = _odd_files(subsets, extensions)
    yield Survey(
        aim=aim,
        subsets=tuple(subsets),
        entries=tuple(entries),
        alone=lone,
        shared=shared,
        remarks=tuple(remarks),
    )


def _odd_files(
    subsets: Sequence[Subset], extensions: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the caption files of no picture, and those of several."""
    lone: list[str] = []
    shared: list[str] = []
    for subset in subsets:
        own = subset.caption_extensions or extensions
        for listing in subset.listings:
            lone += (subset.told(file) for file in alone(listing, own))
            pictures = Counter(composed(picture.stem) for picture in listing.pictures)
            files = caption_files(listing, own)
            shared += (
                subset.told(first) for stem, (first, *_) in files.items() if pictures[stem] > 1
            )
    return tuple(lone), tuple(shared)
