"""Names with numbers in them, looked up in time that depends on the name's length alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Generic, TypeAlias, TypeVar, final

Numbers: TypeAlias = tuple[int, ...]
T = TypeVar("T")

# A number is a whole level, or a whole word of a flat name: not the 1 of `attn1`. No block is
# numbered 007, and none beyond nine digits, so hostile names cost no long arithmetic.
_DIGITS: Final = "0|[1-9][0-9]{0,8}"
_NUMBER: Final = re.compile(f"(?<![A-Za-z0-9])({_DIGITS})(?![A-Za-z0-9])")
_SLOT: Final = re.compile(f"(?<![A-Za-z0-9])(#|{_DIGITS})(?![A-Za-z0-9])")


@final
class Template:
    """`blocks.#.attn.to_out.0`: a name whose numbers are free (#) or fixed.

    `form % numbers` is the name with some free numbers.
    """

    def __init__(self, text: str) -> None:
        pieces = _SLOT.split(text)
        self.skeleton = "#".join(pieces[::2])
        self.slots = tuple(None if slot == "#" else int(slot) for slot in pieces[1::2])
        if self.skeleton.count("#") != len(self.slots):
            raise ValueError(f"# is not a whole word somewhere in {text!r}")
        self.fixed = tuple((at, slot) for at, slot in enumerate(self.slots) if slot is not None)
        self.free = tuple(at for at, slot in enumerate(self.slots) if slot is None)
        self.form = text.replace("%", "%%").replace("#", "%d")

    def meets(self, other: Template) -> bool:
        """Whether some numbers make the same name of both."""
        return self.skeleton == other.skeleton and all(
            None in (mine, yours) or mine == yours
            for mine, yours in zip(self.slots, other.slots, strict=True)
        )


@final
class Index(Generic[T]):
    """What each of many templates stands for, found by a name."""

    def __init__(self, entries: Iterable[tuple[Template, T]]) -> None:
        self._entries: dict[tuple[str, int], list[tuple[Template, T]]] = {}
        for template, value in entries:
            key = template.skeleton, len(template.slots)
            self._entries.setdefault(key, []).append((template, value))

    def find(self, name: str) -> tuple[T, Numbers] | None:
        """Return what a name stands for and its free numbers; None if no template makes it.

        Where two templates make the same name, the first one counts.
        """
        pieces = _NUMBER.split(name)
        numbers = tuple(map(int, pieces[1::2]))
        for template, value in self._entries.get(("#".join(pieces[::2]), len(numbers)), ()):
            for at, fixed in template.fixed:
                if numbers[at] != fixed:
                    break
            else:
                return value, tuple([numbers[at] for at in template.free])
        return None
