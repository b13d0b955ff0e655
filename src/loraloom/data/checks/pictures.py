"""What is looked for in pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from loraloom.data.checks.check import Noticed, noticed
from loraloom.data.picture import Picture
from loraloom.data.survey import Entry, Survey

_MUCH = 2.0


def faulty(code: str) -> Callable[[Survey], Iterator[Noticed]]:
    """Return what finds pictures that could not be decoded for the reason `code`."""

    def detect(survey: Survey) -> Iterator[Noticed]:
        found = [
            (entry, fault)
            for entry in survey.entries
            if (fault := entry.look.fault) and fault.code == code
        ]
        if found:
            told = ("reason", "limit", "mode")
            _, first = found[0]
            details = {name: first.details[name] for name in told if name in first.details}
            yield from noticed((entry for entry, _ in found), **details)

    return detect


def too_small(survey: Survey) -> Iterator[Noticed]:
    """Find pictures that would have to be enlarged more than is let pass."""
    yield from _enlarged(survey, survey.aim.most_enlarged, math.inf)


def enlarged_much(survey: Survey) -> Iterator[Noticed]:
    """Find pictures whose enlargement will be seen."""
    yield from _enlarged(survey, _MUCH, survey.aim.most_enlarged)


def enlarged(survey: Survey) -> Iterator[Noticed]:
    """Find pictures that are a little smaller than the training size."""
    yield from _enlarged(survey, 1.0, min(_MUCH, survey.aim.most_enlarged))


def blurred(survey: Survey) -> Iterator[Noticed]:
    """Find pictures on which hardly an edge is sharp."""
    yield from noticed(
        entry
        for entry in survey.entries
        if (sharpness := entry.look.sharpness) and sharpness.blurred
    )


def alike(survey: Survey) -> Iterator[Noticed]:
    """Find pictures that are nearly the same as others."""
    groups = survey.alike
    if groups:
        every = [entry for group in groups for entry in group]
        first = " = ".join(entry.name for entry in groups[0][:2])
        first += ", …" if len(every) > 2 else ""
        yield from noticed(every, groups=len(groups), first=first)


def turned(survey: Survey) -> Iterator[Noticed]:
    """Find pictures that are stored lying or mirrored, with a remark on how to turn them."""
    yield from _that(survey, lambda picture: picture.turned)


def ink(survey: Survey) -> Iterator[Noticed]:
    """Find pictures made for print."""
    yield from _that(survey, lambda picture: picture.ink)


def transparent(survey: Survey) -> Iterator[Noticed]:
    """Find pictures that something shines through."""
    yield from _that(survey, lambda picture: picture.transparent)


def animated(survey: Survey) -> Iterator[Noticed]:
    """Find pictures of several frames."""
    yield from _that(survey, lambda picture: picture.animated)


def enlargement(picture: Picture, resolution: tuple[int, int]) -> float:
    """Return how many times larger, in width and height, a picture must be made.

    It keeps its aspect ratio and gets the area of the training size. Below 1 it is made smaller.
    """
    width, height = resolution
    return math.sqrt(width * height / (picture.width * picture.height))


def _that(survey: Survey, has: Callable[[Picture], bool]) -> Iterator[Noticed]:
    yield from noticed(
        entry for entry in survey.entries if (seen := entry.look.picture) and has(seen)
    )


def _enlarged(survey: Survey, above: float, most: float) -> Iterator[Noticed]:
    resolution = survey.aim.resolution
    if resolution is None:
        return
    found: list[tuple[float, Entry]] = []
    for entry in survey.entries:
        if entry.look.picture is not None:
            factor = enlargement(entry.look.picture, resolution)
            if above < factor <= most:
                found.append((factor, entry))
    if found:
        factor, worst = max(found, key=lambda pair: pair[0])
        picture = worst.look.picture
        assert picture is not None
        yield from noticed(
            (entry for _, entry in found),
            factor=f"{factor:.1f}",
            size=f"{picture.width}x{picture.height}",
            resolution="x".join(map(str, resolution)),
            most=f"{survey.aim.most_enlarged:g}",
        )
