"""The names of modules in one file, whose whole set may tell what a single name does not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import cached_property, partial
from typing import final

from loraloom.adapters.site import Site
from loraloom.formats.naming.meaning import Holder, Meaning
from loraloom.formats.naming.network import Network
from loraloom.formats.naming.renaming import Renaming, Spelling
from loraloom.formats.naming.rule import AbstractNumbering, Derive, Evidence
from loraloom.formats.naming.template import Numbers


@final
class Shown(AbstractNumbering):
    """A numbering that is told from evidence, once it is asked for."""

    def __init__(self, derive: Derive, evidence: Callable[[], Evidence]) -> None:
        self._derive = derive
        self._evidence = evidence

    @cached_property
    def _numbering(self) -> AbstractNumbering:
        return self._derive(self._evidence())

    def ours(self, zone: str, numbers: Numbers) -> Numbers | None:
        return self._numbering.ours(zone, numbers)

    def theirs(self, zone: str, numbers: Numbers) -> Numbers | None:
        return self._numbering.theirs(zone, numbers)


@final
class Names:
    """The names of modules in one file of one family: what each means, and what to call a weight.

    Where blocks are counted through, `layout` tells the numbers of layers; without it the file's
    whole set of names does, or the set of sites to be written. A look-up raises a `ModelError` if
    they do not tell either.
    """

    def __init__(
        self,
        networks: Iterable[Network],
        spelling: Spelling,
        evidence: Callable[[Network, Renaming], Evidence],
        layout: AbstractNumbering | None = None,
    ) -> None:
        self._spelling = spelling
        self._networks = {network.part: network for network in networks}
        self._numberings = {
            part: Shown(network.native.derive, partial(evidence, network, network.native))
            if layout is None and network.native is not None and network.native.derive is not None
            else layout
            for part, network in self._networks.items()
        }
        self._known: dict[str, Meaning] = {}  # a file has several tensors to a module
        self._read = tuple(
            (start, renaming, self._numberings[part])
            for part, network in self._networks.items()
            for start in network.starts(spelling)
            for renaming in network.read(spelling)
        )

    def meaning(self, name: str) -> Meaning | None:
        """Return what the name of a module means; None if the family has no such name."""
        if name in self._known:
            return self._known[name]
        for start, renaming, numbering in self._read:
            if name.startswith(start):
                meaning = renaming.meaning(name.removeprefix(start), self._spelling, numbering)
                if meaning is not None:
                    self._known[name] = meaning
                    return meaning
        return None

    def holder(self, site: Site) -> Holder | None:
        """Return the module's name that holds a weight, and all it means; None without one.

        Every weight that the name means is held by it: a file has all of them or none.
        """
        network = self._networks.get(site.part)
        if network is None:
            return None
        renaming = network.written(self._spelling)
        holder = renaming.holder(site, self._spelling, self._numberings[site.part])
        if holder is None:
            return None
        return Holder(network.starts(self._spelling)[0] + holder.name, holder.meaning)


def evidence_of_names(
    names: Collection[str], spelling: Spelling, where: str, network: Network, renaming: Renaming
) -> Evidence:
    """Return what the names in a file show of how a network's blocks are counted."""
    rests = (
        name.removeprefix(start)
        for name in names
        for start in network.starts(spelling)
        if name.startswith(start)
    )
    return renaming.shown_by_names(rests, spelling, where)


def evidence_of_sites(
    sites: Collection[Site], where: str, network: Network, renaming: Renaming
) -> Evidence:
    """Return what our names show of how a network's blocks are counted."""
    return renaming.shown_by_sites(sites, where)
