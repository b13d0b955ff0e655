"""The live join of networks and adapters: put on without touching a weight, off without a trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, final

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.operation import Operation
from loraloom.adapters.shape import fits
from loraloom.adapters.site import Site
from loraloom.adapters.strength import Route, Strength, route
from loraloom.errors import ModelError, UsageError


@final
class Attachment:
    """Adapters worn by networks: W_live = W + sum of s_i * delta_i(W), at every site.

    The networks' weights are never written: each layer that an adapter touches gets a forward
    hook that adds the adapters' branches to its output. Closing the attachment (or leaving it as
    a context manager) removes the hooks, which restores the networks bit for bit.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        adapters: Mapping[str, Adapter],
        strengths: Mapping[str, Strength] | Strength = 1.0,
        *,
        trainable: bool = False,
    ) -> None:
        self._cards: dict[str, Card] = {}
        self._deltas: dict[str, dict[Site, AbstractDelta]] = {}
        self._routes: dict[str, dict[str, Route | None]] = {}
        self._hooks: list[RemovableHandle] = []
        layers: dict[Site, nn.Module] = {}
        for name, adapter in adapters.items():
            found = {site: find_layer(networks, site, name) for site in adapter.deltas}
            for site, delta in adapter.deltas.items():
                _check_shape(site, delta, found[site], name)
            layers.update(found)
            self._cards[name] = adapter.card
            self._deltas[name] = {
                site: _worn_copy(delta, found[site], trainable)
                for site, delta in adapter.deltas.items()
            }
        self.set_strengths(strengths)
        for site, layer in layers.items():
            self._hooks.append(self._wear(site, layer))

    def set_strengths(self, strengths: Mapping[str, Strength] | Strength) -> None:
        """Set the strengths of all adapters; those that a mapping leaves out are at 0.

        A strength is a number, a tensor with one number per row of the batch, or a mapping from
        part (`unet`, `text_encoder`) to either. At 0 an adapter is not evaluated at all.
        """
        if not isinstance(strengths, Mapping):
            strengths = dict.fromkeys(self._deltas, strengths)
        unknown = sorted(set(strengths) - set(self._deltas))
        if unknown:
            raise UsageError(
                "attach.unknown_adapter", name=unknown[0], known=", ".join(self._deltas)
            )
        self._routes = {
            name: {
                part: route(strengths.get(name, 0.0), part)
                for part in dict.fromkeys(site.part for site in deltas)
            }
            for name, deltas in self._deltas.items()
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The attached adapters' names."""
        return tuple(self._deltas)

    def sites(self, name: str) -> tuple[Site, ...]:
        """Return where one adapter is worn."""
        return tuple(self._deltas[name])

    def parameters(self, name: str, part: str | None = None) -> Iterator[nn.Parameter]:
        """Yield one adapter's tensors in the order of its sites, of one network or of all."""
        for site, delta in self._deltas[name].items():
            if part is None or site.part == part:
                yield from delta.parameters()

    def adapter(self, name: str) -> Adapter:
        """Return a detached copy of one adapter as it is now."""
        copies = {
            site: type(delta).from_parts(
                {part: tensor.detach().cpu().clone() for part, tensor in delta.parts().items()},
                delta.alpha,
            )
            for site, delta in self._deltas[name].items()
        }
        return Adapter(deltas=copies, card=self._cards[name])

    def close(self) -> None:
        """Take all adapters off. Closing twice does nothing."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _wear(self, site: Site, layer: nn.Module) -> RemovableHandle:
        worn = {name: deltas[site] for name, deltas in self._deltas.items() if site in deltas}
        operation = Operation.of(layer)
        assert operation is not None

        def add_branches(layer: nn.Module, inputs: tuple[Any, ...], y: Tensor) -> Tensor | None:
            x: Tensor = inputs[0]
            weight = layer.get_parameter(site.parameter)
            changes: list[_Change] = []
            for name, delta in worn.items():
                way = self._routes[name][site.part]
                if way is None:
                    continue
                _check_rows(site, way, y)
                x_rows, y_rows = (x, y) if way.rows is None else (x[way.rows], y[way.rows])
                change = delta.branch(x_rows, y_rows, weight, operation)
                if change is None:
                    change = operation.apply(x_rows, delta.delta(weight).to(x.dtype))
                changes.append(_Change(way.rows, change, way.scale))
            return _add_rows(y, changes)

        return layer.register_forward_hook(add_branches)


def attach(
    networks: Mapping[str, nn.Module],
    adapters: Mapping[str, Adapter] | Sequence[Adapter] | Adapter,
    strengths: Mapping[str, Strength] | Strength = 1.0,
    *,
    trainable: bool = False,
) -> Attachment:
    """Put adapters on networks; use the result as a context manager or call `close`.

    `networks` maps part names to modules: `{"unet": unet, "text_encoder": encoder}`. Adapters
    that are not given by name take the name on their card. An adapter that fits no site, or any
    site whose layer is missing or has another shape, is a `ModelError` naming the site.
    """
    if isinstance(adapters, Adapter):
        adapters = [adapters]
    if not isinstance(adapters, Mapping):
        named = {each.card.name or f"adapter{n}": each for n, each in enumerate(adapters)}
        if len(named) < len(adapters):
            raise UsageError(
                "attach.same_name", names=", ".join(each.card.name for each in adapters)
            )
        adapters = named
    return Attachment(networks, adapters, strengths, trainable=trainable)


def find_layer(networks: Mapping[str, nn.Module], site: Site, adapter: str) -> nn.Module:
    """Return the layer that owns `site`; a `ModelError` says what is missing."""
    if site.part in networks:
        for path in site.live_modules():
            try:
                layer = networks[site.part].get_submodule(path)
            except AttributeError:
                continue
            if Operation.of(layer) is not None:
                return layer
    raise ModelError("attach.no_site", adapter=adapter, site=str(site), parts=", ".join(networks))


def _check_shape(site: Site, delta: AbstractDelta, layer: nn.Module, adapter: str) -> None:
    expected = tuple(layer.get_parameter(site.parameter).shape)
    claimed = delta.claimed_shape
    if not fits(claimed, expected):
        raise ModelError(
            "attach.shape", adapter=adapter, site=str(site), expected=expected, found=claimed
        )


def _worn_copy(delta: AbstractDelta, layer: nn.Module, trainable: bool) -> AbstractDelta:
    """Copy a delta to the layer's device; what is only worn takes the layer's precision too."""
    like = next(layer.parameters())
    dtype = None if trainable else like.dtype
    parts = {
        name: tensor.detach().clone().to(device=like.device, dtype=dtype)
        for name, tensor in delta.parts().items()
    }
    copy = type(delta).from_parts(parts, delta.alpha)
    return copy.requires_grad_(trainable)


def _check_rows(site: Site, way: Route, output: Tensor) -> None:
    if way.batch is not None and way.batch != output.shape[0]:
        raise UsageError("attach.rows", site=str(site), rows=output.shape[0], strengths=way.batch)


@final
@dataclass(frozen=True)
class _Change:
    """What an adapter adds to some rows of an output, None being all, and how strongly."""

    rows: slice | Tensor | None
    change: Tensor
    strength: float | Tensor

    @property
    def scaled(self) -> Tensor:
        if isinstance(self.strength, Tensor):
            ones = (1,) * (self.change.ndim - 1)
            return self.change * self.strength.to(self.change).view(-1, *ones)
        return self.change if self.strength == 1 else self.change * self.strength


def _add_rows(output: Tensor, changes: Sequence[_Change]) -> Tensor | None:
    """Return a layer's output with each change added to its rows; None if there is none."""
    if not changes:
        return None
    slices = [each.rows for each in changes if isinstance(each.rows, slice)]
    if len(slices) == len(changes) and _tile(slices, output.shape[0]):
        return output + torch.cat([each.scaled for each in changes])
    for each in changes:
        rows = each.rows
        if rows is None and not isinstance(each.strength, Tensor):
            # Scaled while it is added: one pass over the output, not two.
            output = torch.add(output, each.change, alpha=each.strength)
        elif rows is None:
            output = output + each.scaled
        elif isinstance(rows, slice):
            span = torch.arange(rows.start, rows.stop, device=output.device)
            output = output.index_add(0, span, each.scaled)
        else:
            output = output.index_add(0, rows.to(output.device), each.scaled)
    return output


def _tile(slices: Sequence[slice], rows: int) -> bool:
    """Whether the slices follow each other and cover all rows exactly once."""
    edges = [0, *(each.stop for each in slices)]
    starts = [each.start for each in slices]
    return starts == edges[:-1] and edges[-1] == rows
