"""One line of a table that ties two spellings together, and how they count differently."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias, final

from loraloom.formats.naming.meaning import Halves, Rows
from loraloom.formats.naming.template import Numbers

_SAME: Final[Mapping[str, str]] = MappingProxyType({"weight": "weight", "bias": "bias"})


@final
@dataclass(frozen=True)
class Rule:
    """Their name of a module, and ours, or those of the modules that theirs stacks by rows.

    `#` are numbers; those of a `zone` are counted by a numbering. `parameters` are their names of
    the module's parameters, and ours. An empty `theirs` is the network itself.
    """

    theirs: str
    ours: tuple[str, ...]
    rows: Rows = Rows.EQUALLY
    halves: Halves = Halves.KEPT
    transposed: bool = False
    zone: str = ""
    parameters: Mapping[str, str] = field(default_factory=lambda: _SAME)


def renamed(
    names: Mapping[str, str], zone: str = "", parameters: Mapping[str, str] = _SAME
) -> Iterator[Rule]:
    """Yield a rule for each module that merely has another name, theirs to ours."""
    return (
        Rule(theirs, (ours,), zone=zone, parameters=parameters) for theirs, ours in names.items()
    )


class AbstractNumbering(ABC):
    """How two spellings count the blocks and layers of one network."""

    @abstractmethod
    def ours(self, zone: str, numbers: Numbers) -> Numbers | None:
        """Return our numbers for theirs; None if there is no such block or layer."""

    @abstractmethod
    def theirs(self, zone: str, numbers: Numbers) -> Numbers | None:
        """Return their numbers for ours, the inverse of `ours`."""


@final
@dataclass(frozen=True)
class Evidence:
    """What a set of names shows of the numbering: by zone the numbers that occur.

    `where` names the set in messages.
    """

    where: str
    is_ours: bool
    found: Mapping[str, frozenset[Numbers]]

    def of(self, *zones: str) -> frozenset[Numbers]:
        """Return the numbers in some zones."""
        return frozenset[Numbers]().union(*(self.found.get(zone, ()) for zone in zones))

    def fits(self, numbering: AbstractNumbering) -> bool:
        """Whether the numbering knows every block and layer that occurs."""
        convert = numbering.theirs if self.is_ours else numbering.ours
        return all(
            convert(zone, numbers) is not None
            for zone, found in self.found.items()
            for numbers in found
        )


Derive: TypeAlias = Callable[[Evidence], AbstractNumbering]
"""From what names show to the numbering; a `ModelError` if they do not tell it."""
