"""A grammar of module names, and the two spellings it ties together: dotted and flat."""

from __future__ import annotations

import re
from typing import Final, final

_NUMBER: Final = "(?:0|[1-9][0-9]*)"


@final
class Grammar:
    """Which dotted module names a network may have, whatever its number of blocks and layers.

    A rule is a regular expression without its noise: `.` parts two levels, `#` is a number,
    `( | )` a choice, and white space means nothing. The flat spelling writes every `.` as `_`,
    which cannot be undone by looking at a name alone (`to_out.0` and `to_out_0` collide); the
    rule knows where the dots belong.
    """

    def __init__(self, rule: str) -> None:
        rule = "".join(rule.split()).replace("(", "(?:").replace("#", _NUMBER)
        self._dotted = re.compile(rule.replace(".", r"\."))
        # Each underscore that stands for a dot is a group: where it matched is where a dot goes.
        self._flat = re.compile(rule.replace(".", "(_)"))

    def knows(self, dotted: str) -> bool:
        """Whether the rule allows this dotted name."""
        return self._dotted.fullmatch(dotted) is not None

    def flatten(self, dotted: str) -> str | None:
        """Return the flat spelling; None if the rule does not know the name."""
        return dotted.replace(".", "_") if self.knows(dotted) else None

    def unflatten(self, flat: str) -> str | None:
        """Return the dotted spelling, the inverse of `flatten`; None for a name it cannot be."""
        match = self._flat.fullmatch(flat)
        if match is None:
            return None
        dots = {match.start(group) for group in range(1, self._flat.groups + 1)}
        return "".join("." if at in dots else letter for at, letter in enumerate(flat))
