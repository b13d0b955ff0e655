"""What is looked for in pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

from loraloom.data.checks.check import Noticed, noticed
from loraloom.data.mask_faults import Masking
from loraloom.data.picture import Picture
from loraloom.data.survey import Entry, Survey, enlargement

_MUCH = 2.0

MOST_CUT: Final = 0.25
"""The share of a picture that may be cut away without a word.

Rounding to buckets costs less, at most 15 % with sides of 512 pixels in steps of 64 and shapes up
to 4:1. What loses more has a shape that no bucket has, or is cut to a square.
"""

# Shown with two digits below it, for "1.0 times" would tell of no enlargement.
_ROUNDED: Final = 1.1
_ALL: Final = 0.99


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
    """Find pictures that something shines through, unless that is their mask."""
    for_masks = Masking(), Masking(moves=True)
    yield from noticed(
        entry
        for entry in survey.entries
        if (seen := entry.look.picture)
        and seen.transparent
        and survey.aim.masking(entry.subset.source) not in for_masks
    )


def animated(survey: Survey) -> Iterator[Noticed]:
    """Find pictures of several frames."""
    yield from _that(survey, lambda picture: picture.animated)


def _that(survey: Survey, has: Callable[[Picture], bool]) -> Iterator[Noticed]:
    yield from noticed(
        entry for entry in survey.entries if (seen := entry.look.picture) and has(seen)
    )


def _enlarged(survey: Survey, above: float, most: float) -> Iterator[Noticed]:
    found = [
        (factor, entry)
        for entry, fit in zip(survey.entries, survey.fits, strict=True)
        if fit and above < (factor := enlargement(entry, fit)) <= most
    ]
    if found:
        factor, worst = max(found, key=lambda pair: pair[0])
        yield from noticed(
            (entry for _, entry in found),
            factor=f"{factor:.1f}" if factor >= _ROUNDED else f"{factor:.2f}",
            size=_size(worst),
            resolution=_resolution(survey),
            most=f"{survey.aim.most_enlarged:g}",
        )


def cut(survey: Survey) -> Iterator[Noticed]:
    """Find pictures whose shape is far from their bucket's, so that much of them is cut away."""
    found = [
        (fit.cut, entry)
        for entry, fit in zip(survey.entries, survey.fits, strict=True)
        if fit and fit.cut > MOST_CUT
    ]
    if found:
        share, worst = max(found, key=lambda pair: pair[0])
        yield from noticed(
            (entry for _, entry in found),
            share=f"{min(share, _ALL):.0%}",
            size=_size(worst),
            most=f"{MOST_CUT:.0%}",
        )


def _size(entry: Entry) -> str:
    picture = entry.look.picture
    assert picture is not None
    return f"{picture.width}x{picture.height}"


def _resolution(survey: Survey) -> str:
    assert survey.aim.resolution is not None
    return "x".join(map(str, survey.aim.resolution))
