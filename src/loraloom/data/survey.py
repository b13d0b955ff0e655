"""Everything that a training folder holds, looked at once and kept as plain records."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Final

from loraloom.data.bucket import Bucketing, Fit, Size
from loraloom.data.caption import CaptionRules, compose, plain_prompt
from loraloom.data.caption_files import caption_files, caption_files_of, extensions_to_read
from loraloom.data.captions import Caption, alone, check_extension, find_captions
from loraloom.data.finding import Finding
from loraloom.data.folders import Subset, find_subsets
from loraloom.data.goals import Goal
from loraloom.data.identity import counted_once
from loraloom.data.likeness import clusters
from loraloom.data.look import Look, look_at
from loraloom.data.mask_faults import Masking, mask_faults
from loraloom.data.options import MOST_ENLARGED
from loraloom.data.picture import Picture
from loraloom.data.source import Source
from loraloom.data.tokens import LIMIT, TokenCounter, Tokens, estimate
from loraloom.errors import DatasetError

_CELL: Final = 8
"""Pixels of a side that Stable Diffusion's autoencoders make one cell of."""


def _plain_rules(source: Source) -> CaptionRules:
    return CaptionRules()


def _no_masks(source: Source) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What the pictures are to be trained for, as far as it is known.

    `resolution` is (width, height) in pixels. `goal` says how many pictures are advised. Pictures
    that would have to be enlarged more than `most_enlarged` times are refused. `tokens` counts
    what the text encoder sees, roughly where no model was named; `weighted` tells that "(a:1.2)"
    is a weight to it. `bucketing` says at which sizes pictures are trained; it is None where that
    is not known. `rules` say what becomes of the captions of a source, but for the trigger;
    `masking` where the masks of its pictures are, None where all of them counts.
    """

    trigger: str = ""
    resolution: tuple[int, int] | None = None
    goal: Goal | None = None
    most_enlarged: float = MOST_ENLARGED
    rules: Callable[[Source], CaptionRules] = _plain_rules
    tokens: TokenCounter = estimate
    weighted: bool = False
    masking: Callable[[Source], Masking | None] = _no_masks
    token_limit: int = LIMIT
    bucketing: Bucketing | None = None

    def fit(self, picture: Picture) -> Fit | None:
        """Return how a picture comes to the size it is trained at, None where that is not known.

        Where only the resolution is known, that is by buckets in the finest steps.
        """
        bucketing = self.bucketing or (self.resolution and _finest(self.resolution))
        return bucketing.fit(picture.width, picture.height) if bucketing else None


@cache
def _finest(resolution: Size) -> Bucketing:
    return Bucketing(
        resolution=resolution,
        step=_CELL,
        smallest=min(resolution) // 2,
        largest=max(resolution) * 2,
    )


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

    def rules(self, aim: Aim) -> CaptionRules:
        """Return what becomes of its caption, as its subset has it."""
        return replace(aim.rules(self.subset.source), trigger=self.trigger(aim))

    def prompt(self, aim: Aim) -> str:
        """Return its prompt when chance takes nothing from it; "" where it has no caption."""
        return plain_prompt(self.caption.text, self.rules(aim)) if self.caption.text else ""

    def drawn(self, aim: Aim, count: int) -> tuple[str, ...]:
        """Return the different prompts among `count` draws, as training makes them once all tags
        have joined in; none where nothing is drawn by lot.
        """
        rules = self.rules(aim)
        if not (rules.by_lot and self.caption.text):
            return ()
        generator = random.Random(self.name)
        rules = replace(rules, warmup_steps=min(rules.warmup_steps, 1))
        lines = self.caption.further_lines
        drawn = (
            compose(self.caption.text, rules, generator, further_lines=lines, step=1)
            for _ in range(count)
        )
        return tuple(dict.fromkeys(drawn))


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
    def fits(self) -> tuple[Fit | None, ...]:
        """How each picture comes into its bucket, None where it or its size is not known."""
        seen = [entry.look.picture for entry in self.entries]
        return tuple(self.aim.fit(picture) if picture else None for picture in seen)

    @cached_property
    def mask_faults(self) -> tuple[DatasetError | None, ...]:
        """What is wrong with the mask of each picture, None where nothing is or none is used."""
        pictures: list[tuple[Path, Size, Masking | None]] = []
        for entry in self.entries:
            seen = entry.look.picture
            masking = self.aim.masking(entry.subset.source) if seen else None
            pictures.append((entry.path, (seen.width, seen.height) if seen else (1, 1), masking))
        return tuple(mask_faults(pictures, self.aim.bucketing))

    @cached_property
    def prompts(self) -> tuple[str, ...]:
        """The prompt of each picture, trigger included; "" where it has none."""
        return tuple(entry.prompt(self.aim) for entry in self.entries)

    @cached_property
    def tokens(self) -> tuple[Tokens, ...]:
        """What the text encoder makes of each prompt; an estimate where no model is known."""
        counted = {prompt: self.aim.tokens(prompt) for prompt in dict.fromkeys(self.prompts)}
        return tuple(counted[prompt] for prompt in self.prompts)


def enlargement(entry: Entry, fit: Fit) -> float:
    """Return how many times larger, in width and height, training makes a picture; below 1 it is
    made smaller.
    """
    picture = entry.look.picture
    assert picture is not None
    return max(fit.resized[0] / picture.width, fit.resized[1] / picture.height)


def find_all(
    sources: Sequence[Source], *, caption_extension: str | None = None
) -> tuple[tuple[Subset, ...], tuple[Finding, ...]]:
    """Return the subsets of all sources, each picture in one of them, and what was left out.

    DatasetError where a source has none.
    """
    subsets: list[Subset] = []
    remarks: list[Finding] = []
    for source in sources:
        found, noticed = find_subsets(source)
        subsets += found
        remarks += noticed
    once, again = counted_once(subsets)
    check_extension(once, extensions_to_read(caption_extension))
    return once, (*remarks, *again)


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
            files = caption_files(listing, own)
            beside = (caption_files_of(picture, listing, files) for picture in listing.pictures)
            counted = Counter(first for first, *_ in filter(None, beside))
            shared += (subset.told(first) for first, count in counted.items() if count > 1)
    return tuple(lone), tuple(shared)
