"""A grammar of module names, and the two spellings it ties together: dotted and flat."""

from __future__ import annotations

from functools import cached_property
from typing import final

from loraloom.formats.naming.template import Index, Template


@final
class Grammar:
    """Which dotted module names a network may have, whatever its number of blocks and layers.

    In a rule `.` parts two levels, `#` is a number, `( | )` a choice, and white space means
    nothing. The flat spelling writes every `.` as `_`, which cannot be undone by looking at a name
    alone (`to_out.0` and `to_out_0` collide); the rule knows where the dots belong.
    """

    def __init__(self, rule: str) -> None:
        self._rule = "".join(rule.split())

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names, each with # for the numbers that are free."""
        return expand(self._rule)

    @cached_property
    def _dotted(self) -> Index[None]:
        return Index((Template(name), None) for name in self.names)

    @cached_property
    def _flat(self) -> Index[Template]:
        return Index((Template(flattened(name)), Template(name)) for name in self.names)

    def knows(self, dotted: str) -> bool:
        """Whether the rule allows this dotted name."""
        return self._dotted.find(dotted) is not None

    def flatten(self, dotted: str) -> str | None:
        """Return the flat spelling; None if the rule does not know the name."""
        return flattened(dotted) if self.knows(dotted) else None

    def unflatten(self, flat: str) -> str | None:
        """Return the dotted spelling, the inverse of `flatten`; None for a name it cannot be."""
        found = self._flat.find(flat)
        return None if found is None else found[0].form % found[1]


def flattened(dotted: str) -> str:
    """Return a name with `_` for every dot."""
    return dotted.replace(".", "_")


def expand(rule: str) -> tuple[str, ...]:
    """Return every name that a rule's choices allow, in order; its white space is to be gone."""
    names, rest = _alternatives(rule)
    if rest:
        raise ValueError(f"the rule ends before {rest!r}")
    return tuple(dict.fromkeys(names))


def _alternatives(rule: str) -> tuple[list[str], str]:
    """Read `a|b|c` up to the end or a closing bracket; return its names and what follows."""
    names, rest = _sequence(rule)
    while rest.startswith("|"):
        more, rest = _sequence(rest[1:])
        names += more
    return names, rest


def _sequence(rule: str) -> tuple[list[str], str]:
    """Read letters and brackets in a row; return every way of joining them and what follows."""
    names = [""]
    while rule and rule[0] not in "|)":
        if rule[0] == "(":
            choices, rule = _alternatives(rule[1:])
            if not rule:
                raise ValueError("a bracket is not closed")
            rule = rule[1:]
        else:
            end = next((at for at, letter in enumerate(rule) if letter in "(|)"), len(rule))
            choices, rule = [rule[:end]], rule[end:]
        names = [name + choice for name in names for choice in choices]
    return names, rule
