"""What file formats must know of a model family: the names of its weights, and its own names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from loraloom.adapters.site import Site
from loraloom.formats.naming.grammar import Grammar


@final
@dataclass(frozen=True, kw_only=True)
class Network:
    """How the modules of one network are named.

    `prefixes` are kohya's names of the network; all are read, the first is written. `root` is a
    first level that the live network lacks in transformers 5 and files have nevertheless; names
    without it are read as if it were there.
    """

    part: str
    grammar: Grammar
    prefixes: tuple[str, ...]
    root: str = ""

    def flat(self, module: str) -> str | None:
        """Return kohya's name of a dotted module; None if the network has no such module."""
        flat = self.grammar.flatten(module)
        return None if flat is None else f"{self.prefixes[0]}_{flat}"

    def module(self, flat: str) -> str | None:
        """Return the dotted module of kohya's name; None if it is none of this network's."""
        for prefix in self.prefixes:
            if flat.startswith(f"{prefix}_"):
                rest = flat.removeprefix(f"{prefix}_")
                rooted = self.root.replace(".", "_") + rest
                return self.grammar.unflatten(rest) or self.grammar.unflatten(rooted)
        return None

    def canonical(self, module: str) -> str | None:
        """Return the canonical name of a live module; None if the network has no such module."""
        return next(filter(self.grammar.knows, (module, self.root + module)), None)

    def live(self, module: str) -> str:
        """Return the module's name in the live network."""
        return module.removeprefix(self.root)


@final
@dataclass(frozen=True, kw_only=True)
class Family:
    """A model family; the last three fields are what it is called in the headers of files."""

    name: str
    networks: tuple[Network, ...]
    base_model_version: str
    architecture: str
    implementation: str

    def network(self, part: str) -> Network | None:
        """Return the network that plays `part`."""
        return next((network for network in self.networks if network.part == part), None)

    def knows(self, site: Site) -> bool:
        """Whether the family has a weight of this name, at any depth and width."""
        network = self.network(site.part)
        return network is not None and network.grammar.knows(site.module)

    def flat(self, site: Site) -> str | None:
        """Return kohya's name of the module that owns `site`."""
        network = self.network(site.part)
        return None if network is None else network.flat(site.module)

    def site(self, flat: str) -> Site | None:
        """Return the weight that kohya's module name means."""
        for network in self.networks:
            module = network.module(flat)
            if module is not None:
                return Site(network.part, f"{module}.weight")
        return None
