"""The live parameter that a site names, and the layer whose output it shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

from loraloom.adapters.operation import Operation, is_turned
from loraloom.adapters.site import Site
from loraloom.errors import ModelError

_FUSED: Final = frozenset({"to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj"})
"""Layers that a diffusers attention does not call once its projections are fused."""

_WITHOUT_BATCH: Final = frozenset({"position_embedding", "relative_attention_bias"})
"""Layers that run once for all rows of a batch: CLIP's and T5's places of tokens."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a site is in a live network.

    `layer` is the module that is called, `parameter` the dotted path inside it. `operation` is
    what the layer does with its weight, None if it must be run again to see what a change does.
    `turned` layers keep that weight with the inputs for rows; here its rows are the outputs.
    """

    site: Site
    layer: nn.Module
    parameter: str
    operation: Operation | None
    shape: tuple[int, ...]
    turned: bool = False

    @property
    def weight(self) -> Tensor:
        """The live parameter as it is now."""
        return self._kept(self.parameter)

    @property
    def layer_weight(self) -> Tensor:
        """The weight of the layer, whichever of its parameters the site names."""
        return self._kept("weight")

    def readable(self, kind: str, like: Tensor) -> Tensor:
        """Return the live parameter's numbers; a `ModelError` if it holds none of `like`'s sort.

        A quantised weight is stored otherwise, and an offloaded one is away between two calls.
        """
        weight = self.weight
        if not weight.is_floating_point() or weight.is_meta != like.is_meta:
            stored = "offloaded" if weight.is_meta else str(weight.dtype).removeprefix("torch.")
            raise ModelError("attach.unreadable", site=str(self.site), kind=kind, stored=stored)
        return weight

    @property
    def has_batch(self) -> bool:
        """Whether the layer sees one row per sample, so that samples may differ."""
        batched = getattr(self.layer, "batch_first", True)
        return batched and self.site.module.rpartition(".")[2] not in _WITHOUT_BATCH

    def _kept(self, parameter: str) -> Tensor:
        held = self.layer.get_parameter(parameter)
        return held.T if self.turned and parameter == "weight" else held


def find_target(networks: Mapping[str, nn.Module], site: Site, adapter: str) -> Target:
    """Return the live parameter of `site`; a `ModelError` says what is missing.

    A layer that PEFT has wrapped is found inside its wrapper: what is worn there adds to what
    PEFT adds. A site whose layer is there but is never called is an error too.
    """
    if site.part in networks:
        for path in site.live_modules():
            found = _find(networks[site.part], path, site, adapter)
            if found is not None:
                return found
    raise ModelError("attach.no_site", adapter=adapter, site=str(site), parts=", ".join(networks))


def _find(network: nn.Module, path: str, site: Site, adapter: str) -> Target | None:
    above, _, name = path.rpartition(".")
    try:
        layer, parent = network.get_submodule(path), network.get_submodule(above)
    except AttributeError:
        return None
    while isinstance(inner := getattr(layer, "base_layer", None), nn.Module):
        layer = inner
    held = dict(layer.named_parameters(recurse=False))
    if site.parameter not in held:
        return None
    if name in _FUSED and getattr(parent, "fused_projections", False):
        raise ModelError("attach.fused_away", adapter=adapter, site=str(site))
    shape = tuple(held[site.parameter].shape)
    if isinstance(layer, nn.Linear) and site.parameter == "weight":
        shape = (layer.out_features, layer.in_features)  # a quantised weight is stored otherwise
    turned = is_turned(layer)
    if turned and site.parameter == "weight":
        shape = shape[::-1]
    operation = Operation.of(layer) if site.parameter in ("weight", "bias") else None
    if path and isinstance(parent, nn.MultiheadAttention):
        # It reads its output layer's weight and never calls that layer.
        return Target(
            site=site,
            layer=parent,
            parameter=f"{name}.{site.parameter}",
            operation=None,
            shape=shape,
        )
    return Target(
        site=site,
        layer=layer,
        parameter=site.parameter,
        operation=operation,
        shape=shape,
        turned=turned,
    )
