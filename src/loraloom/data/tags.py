"""The tags of captions: counted, and edited in bulk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SEPARATOR = ","


@dataclass(frozen=True, kw_only=True)
class TagEdit:
    """What is to be done to every caption, in this order; tags are told apart without capitals.

    `remove` drops tags, `replace` puts one in the place of another, `prepend` puts tags first and
    `append` last where the caption lacks them.
    """

    remove: tuple[str, ...] = ()
    replace: tuple[tuple[str, str], ...] = ()
    prepend: tuple[str, ...] = ()
    append: tuple[str, ...] = ()

    @property
    def changes_nothing(self) -> bool:
        """Whether nothing is asked for."""
        return not (self.remove or self.replace or self.prepend or self.append)

    def edited(self, caption: str) -> str:
        """Return one line of a caption as edited; one that needs no edit stays as it is."""
        tags = tags_of(caption)
        found = self._edited(tags)
        return caption if found == tags else f"{_SEPARATOR} ".join(found)

    def _edited(self, tags: Sequence[str]) -> list[str]:
        removed = {tag.casefold() for tag in self.remove}
        replaced = {old.casefold(): new for old, new in self.replace}
        found = [tag for tag in tags if tag.casefold() not in removed]
        found = _once(replaced.get(tag.casefold(), tag) for tag in found) if replaced else found
        there = {tag.casefold() for tag in found}
        first = [tag for tag in self.prepend if tag.casefold() not in there]
        last = [tag for tag in self.append if tag.casefold() not in there]
        return [*first, *found, *last]


def tags_of(caption: str) -> list[str]:
    """Return the tags of a caption, which stand between commas; a sentence is one."""
    return [tag for tag in map(str.strip, caption.split(_SEPARATOR)) if tag]


def frequency(captions: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Return how many captions have each tag, the most frequent first, then by name.

    Tags that differ in capitals alone are counted together, under the spelling met first.
    """
    counted: Counter[str] = Counter()
    spelling: dict[str, str] = {}
    for caption in captions:
        for tag in _once(tags_of(caption)):
            counted[tag.casefold()] += 1
            spelling.setdefault(tag.casefold(), tag)
    ordered = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple((spelling[plain], count) for plain, count in ordered)


def _once(tags: Iterable[str]) -> list[str]:
    """Return tags without those that were there before, capitals aside."""
    found: dict[str, str] = {}
    for tag in tags:
        found.setdefault(tag.casefold(), tag)
    return list(found.values())
