"""Which of several nearly equal pictures to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loraloom.data.fingerprint import Fingerprint
from loraloom.data.likeness import near
from loraloom.data.survey import Entry


@dataclass(frozen=True, kw_only=True)
class Redundant:
    """A picture worth keeping, and those that are nearly the same."""

    kept: Entry
    others: tuple[Entry, ...]


def redundant(group: Sequence[Entry]) -> tuple[Redundant, ...]:
    """Return what of a group of nearly equal pictures is not needed.

    Kept is the best: the largest, then one with a caption of its own, then the one with the most
    bytes, as compressing and blurring each leave fewer (sharpness would prefer the edges of JPEG's
    blocks). In a chain of pictures whose ends differ, only those near to a kept one are redundant.
    """
    left = tuple(sorted(group, key=_worth, reverse=True))
    found: list[Redundant] = []
    while left:
        is_near = near([_print(entry) for entry in left]).tolist()
        same = tuple(entry for entry, equal in zip(left, is_near, strict=True) if equal)
        if len(same) > 1:
            found.append(Redundant(kept=same[0], others=same[1:]))
        left = tuple(entry for entry, equal in zip(left, is_near, strict=True) if not equal)
    return tuple(found)


def _print(entry: Entry) -> Fingerprint:
    assert entry.look.fingerprint is not None
    return entry.look.fingerprint


def _worth(entry: Entry) -> tuple[int, bool, int]:
    picture = entry.look.picture
    assert picture is not None
    captioned = entry.caption.origin in ("file", "row")
    return picture.width * picture.height, captioned, entry.path.stat().st_size
