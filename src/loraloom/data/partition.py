"""Pictures parted into those to train on and those to hold out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def held_out(groups: Sequence[Sequence[str]], *, share: float, seed: int) -> frozenset[str]:
    """Return the names to hold out: whole groups, so that no near duplicate is on both sides.

    Their number is as near below `share` (0 to 1) of all as whole groups let it be, but at least
    the smallest group where there are two. Which they are depends on the seed and on their own
    names, so that pictures added later move few of them.
    """
    total = sum(len(group) for group in groups)
    wanted = round(share * total)
    drawn = sorted(groups, key=lambda group: _lot(min(group), seed))
    chosen: list[str] = []
    for group in drawn:
        if len(chosen) + len(group) <= wanted:
            chosen += group
    if not chosen and len(groups) > 1 and share > 0:
        chosen += min(drawn, key=len)
    return frozenset(chosen)


def _lot(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
