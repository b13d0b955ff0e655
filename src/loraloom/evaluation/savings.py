"""What an adapter saves: its numbers against those of the layers it adapts, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from torch import nn

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.site import Site, canonical_path
from loraloom.errors import ModelError, UsageError


@final
@dataclass(frozen=True, kw_only=True)
class Saving:
    """`parameters` that stand for `replaced` ones; `saved` is 1 - parameters / replaced.

    `saved` is at most 1. It is negative where the adapter is larger than what it stands for, as a
    low-rank update of a small layer can be.
    """

    parameters: int
    replaced: int
    saved: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "saved", 1 - self.parameters / self.replaced)


@final
@dataclass(frozen=True, kw_only=True)
class SiteSaving:
    """The saving at one weight of `shape`, adapted by `kind` with `rank`, where that has one."""

    site: str
    kind: str
    rank: int | None
    shape: tuple[int, ...]
    saving: Saving


@final
@dataclass(frozen=True, kw_only=True)
class Savings:
    """The savings of one adapter: at each weight it adapts, over those, over the network."""

    sites: tuple[SiteSaving, ...]
    layers: Saving
    network: Saving

    @property
    def best(self) -> SiteSaving:
        """The site that saves most; the first of equals."""
        return max(self.sites, key=lambda each: each.saving.saved)

    @property
    def worst(self) -> SiteSaving:
        """The site that saves least, or costs most; the first of equals."""
        return min(self.sites, key=lambda each: each.saving.saved)

    @property
    def costly(self) -> int:
        """How many weights have fewer numbers than their updates."""
        return sum(each.saving.saved < 0 for each in self.sites)


def weight_shapes(networks: Mapping[str, nn.Module]) -> dict[Site, tuple[int, ...]]:
    """Return the shape of every parameter of the networks, given by part name."""
    return {
        Site(part, canonical_path(part, path)): tuple(parameter.shape)
        for part, network in networks.items()
        for path, parameter in network.named_parameters()
    }


def adapter_savings(adapter: Adapter, shapes: Mapping[Site, tuple[int, ...]]) -> Savings:
    """Compare an adapter's numbers with those of the weights in `shapes`, the whole network's.

    A LoRA of rank r has r * (in + out) numbers for the in * out of a linear layer, and for a
    convolution's in * out * kernel it has r * (in * kernel + out). Source: arXiv 2106.09685,
    section 4.2. Raises ModelError for a site that `shapes` does not know, UsageError for an adapter
    without sites.
    """
    if not adapter.deltas:
        raise UsageError("evaluation.no_sites", name=adapter.card.name)
    sites: list[SiteSaving] = []
    for place, delta in adapter.deltas.items():
        for site in place.sites:
            if site not in shapes:
                raise ModelError("evaluation.no_weight", site=str(site), name=adapter.card.name)
        rows, (_, *rest) = [shapes[site][0] for site in place.sites], shapes[place.sites[0]]
        shape = (sum(rows), *rest)
        saving = Saving(
            parameters=sum(tensor.numel() for tensor in delta.parts().values()),
            replaced=math.prod(shape),
        )
        sites.append(
            SiteSaving(
                site=str(place),
                kind=delta.kind,
                rank=delta.rank,
                shape=shape,
                saving=saving,
            )
        )
    parameters = sum(each.saving.parameters for each in sites)
    return Savings(
        sites=tuple(sites),
        layers=Saving(parameters=parameters, replaced=sum(each.saving.replaced for each in sites)),
        network=Saving(
            parameters=parameters, replaced=sum(math.prod(shape) for shape in shapes.values())
        ),
    )
