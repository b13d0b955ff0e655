"""What file formats must know of a model family: the names of its weights, and its own names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import final

from loraloom.adapters.site import Site
from loraloom.formats.naming.names import Names, evidence_of_names, evidence_of_sites
from loraloom.formats.naming.network import Network
from loraloom.formats.naming.renaming import Spelling
from loraloom.formats.naming.rule import AbstractNumbering


@final
@dataclass(frozen=True, kw_only=True)
class Family:
    """A model family, and what it is called in the headers of files.

    `base_model_version` (kohya), `architecture` and `implementation` (Stability AI's modelspec)
    are written; `versions` are what the first two may begin with in other files. `is_v2` is
    kohya's own mark of Stable Diffusion 2.
    """

    name: str
    networks: tuple[Network, ...]
    base_model_version: str
    architecture: str
    implementation: str
    versions: tuple[str, ...]
    is_v2: bool = False

    @property
    def told(self) -> dict[str, str]:
        """The entries of a header that tell the family."""
        return {
            "ss_v2": str(self.is_v2),
            "ss_base_model_version": self.base_model_version,
            "modelspec.architecture": f"{self.architecture}/lora",
            "modelspec.implementation": self.implementation,
        }

    def network(self, part: str) -> Network | None:
        """Return the network that plays `part`."""
        return next((network for network in self.networks if network.part == part), None)

    def knows(self, site: Site) -> bool:
        """Whether the family has a weight of this name, at any depth and width."""
        network = self.network(site.part)
        return network is not None and network.grammar.knows(site.module)

    def fits(self, weights: Mapping[Site, tuple[int | None, ...]]) -> bool:
        """Whether the shapes of weights say that they are of a published model of the family.

        They do if there are some that tell, and all of those agree.
        """
        agree = [
            shape[1] == network.width.columns
            for site, shape in weights.items()
            if len(shape) > 1
            and shape[1] is not None
            and (network := self.network(site.part)) is not None
            and network.width is not None
            and network.width.concerns(site)
        ]
        return bool(agree) and all(agree)

    def is_published(self, weights: Mapping[Site, tuple[int | None, ...]]) -> bool:
        """Whether a published model of the family has all these weights, in these shapes."""
        parts: dict[str, dict[Site, tuple[int | None, ...]]] = {}
        for site, shape in weights.items():
            parts.setdefault(site.part, {})[site] = shape
        networks = {part: self.network(part) for part in parts}
        return all(
            network is not None and network.is_published(parts[part])
            for part, network in networks.items()
        )

    def names_in(
        self,
        names: Collection[str],
        spelling: Spelling,
        where: str,
        layout: AbstractNumbering | None = None,
    ) -> Names:
        """Return the names of modules in a file, given all of them; `where` is for messages."""
        return Names(
            self.networks, spelling, partial(evidence_of_names, names, spelling, where), layout
        )

    def names_for(
        self,
        sites: Collection[Site],
        spelling: Spelling,
        where: str,
        layout: AbstractNumbering | None = None,
    ) -> Names:
        """Return the names that weights get in a file, given all that are to be written."""
        return Names(self.networks, spelling, partial(evidence_of_sites, sites, where), layout)

    def flat(self, site: Site) -> str | None:
        """Return kohya's name of the module that owns `site`; None if it means other weights too.

        Layers are counted as in the family's published models.
        """
        holder = self._published.holder(site)
        return holder.name if holder is not None and holder.meaning.is_plain else None

    def site(self, flat: str) -> Site | None:
        """Return the one weight that kohya's module name means, the inverse of `flat`."""
        meaning = self._published.meaning(flat)
        return meaning.site if meaning is not None and meaning.is_plain else None

    @cached_property
    def _published(self) -> Names:
        return self.names_for((), Spelling.FLAT, self.name)
