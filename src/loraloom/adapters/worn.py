"""A layer and what it wears: the forward hook that adds the adapters' changes to its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, final

import torch
from torch import Tensor, nn

from loraloom.adapters.operation import Operation
from loraloom.adapters.packed import Packed
from loraloom.adapters.piece import LowRank, Piece
from loraloom.adapters.rerun import rerun, run_again
from loraloom.adapters.strength import Route, Rows, input_of, part_of
from loraloom.adapters.target import Target
from loraloom.errors import UsageError

Routes: TypeAlias = Mapping[str, Mapping[str, Route | None]]
"""Adapter -> path prefix -> route."""


@final
class WornLayer:
    """The forward hook of one layer. It writes neither a weight nor an input.

    Where nothing is worn at the moment the layer's output passes through untouched.
    """

    def __init__(self, pieces: Sequence[Piece], routes: Routes) -> None:
        self._pieces = tuple(pieces)
        self._routes = routes
        self._operation = pieces[0].target.operation

    def __call__(
        self, layer: nn.Module, inputs: tuple[Any, ...], keywords: Mapping[str, Any], y: Any
    ) -> Any:
        """Return the output with all changes added; None, which leaves it, if there are none."""
        first: Tensor = y if isinstance(y, Tensor) else y[0]
        if first.is_meta:
            return None
        if self._operation is None:
            return self._run_again(layer, inputs, keywords, y)
        worn = self._worn(y, first.device)
        if not worn:
            return None
        x: Tensor = inputs[0] if inputs else next(iter(keywords.values()))
        return _add(layer, self._operation, worn, x, y)

    def _worn(self, y: Any, device: torch.device) -> list[tuple[Piece, Route]]:
        """Return what is worn at the moment, brought to the device of the output."""
        worn: list[tuple[Piece, Route]] = []
        for piece in self._pieces:
            prefix = piece.prefix
            way = None if prefix is None else self._routes[piece.adapter][prefix]
            if way is not None:
                _check_batch(piece.target, way, y)
                if piece.away:
                    piece.delta.to(device)
                worn.append((piece, way))
        return worn

    def _run_again(
        self, layer: nn.Module, inputs: tuple[Any, ...], keywords: Mapping[str, Any], y: Any
    ) -> Any:
        """Do as the call, for a layer that runs once with the changes of all attachments."""
        hooks = _hooks(layer)
        fellows = [hook for hook in hooks if isinstance(hook, WornLayer)]
        if fellows[-1] is not self:
            return None
        device = (y if isinstance(y, Tensor) else y[0]).device
        worn = [each for fellow in fellows for each in fellow._worn(y, device)]
        if not worn:
            return None
        output = run_again(layer, worn, inputs, keywords, y)
        if len(hooks) == len(fellows) or not isinstance(y, Tensor):
            return output
        return y + (output - rerun(layer, {}, inputs, keywords))


def _check_batch(target: Target, way: Route, y: Any) -> None:
    if way.batch is None or (way.uniform and not target.has_batch):
        return
    if not target.has_batch or not isinstance(y, Tensor) or y.ndim < 2:
        raise UsageError("attach.no_batch", site=str(target.site))
    if way.batch != y.shape[0]:
        raise UsageError("attach.rows", site=str(target.site), rows=y.shape[0], strengths=way.batch)


def _add(
    layer: nn.Module,
    operation: Operation,
    worn: Sequence[tuple[Piece, Route]],
    x: Tensor,
    y: Tensor,
) -> Tensor:
    """Return `y` plus what every piece changes.

    Updates of low rank that all rows wear are taken together. All changes are known before the
    sum is formed; without gradients that happens in `y` itself, which nobody else has seen yet.
    """
    packed = Packed.of(worn, y) if torch.is_grad_enabled() else None
    if packed is not None:
        return packed.added_to(y, x, operation)
    alone = len(_hooks(layer)) == 1
    readers = [piece for piece, _ in worn if piece.delta.needs_weight]
    for piece in readers:
        piece.target.readable(piece.delta.kind, y)
    bare = _without_bias(readers[0].target, operation, x, y, alone) if readers else y
    stack: list[LowRank] = []
    wholes: list[tuple[Tensor, float]] = []
    parts: list[tuple[Rows, Tensor]] = []
    for piece, way in worn:
        if piece.low_rank is not None:
            down, up, scale = piece.low_rank
            if down.dtype != y.dtype or up.dtype != y.dtype:
                down, up = down.to(y.dtype), up.to(y.dtype)
            strength = way.scale * scale
            if way.rows is None and not isinstance(strength, Tensor):
                stack.append((down, up, strength))
            else:
                change = operation.apply_factors(input_of(x, way.rows, y), down, up, strength)
                parts.append((way.rows, change))
            continue
        for rows, scale, change in piece.changes(x, bare, way, operation):
            if rows is None and not isinstance(scale, Tensor):
                wholes.append((change, scale))
            else:
                parts.append((rows, _scaled(change, scale)))
    in_place = alone and not torch.is_grad_enabled()
    if stack:
        y = operation.add_factors(y, x, *_side_by_side(stack), in_place=in_place)
    for change, scale in wholes:
        y = y.add_(change, alpha=scale) if in_place else torch.add(y, change, alpha=scale)
    return _write_rows(y, parts) if in_place else _add_rows(y, parts)


def _hooks(layer: nn.Module) -> list[object]:
    """Return the forward hooks that see the layer's output, in the order in which they run."""
    everywhere = vars(nn.modules.module)["_global_forward_hooks"]
    return [*everywhere.values(), *vars(layer)["_forward_hooks"].values()]


def _side_by_side(stack: Sequence[LowRank]) -> LowRank:
    """Return factors whose product is the sum of several, and the scale of that product."""
    if len(stack) == 1:
        return stack[0]
    ups = [up if scale == 1 else up * scale for _, up, scale in stack]
    return torch.cat([down for down, _, _ in stack]), torch.cat(ups, dim=1), 1.0


def _without_bias(
    target: Target, operation: Operation, x: Tensor, y: Tensor, alone: bool
) -> Tensor:
    """Return what the layer's own weight makes of `x`."""
    if not alone:  # y may hold what another hook has added
        return operation.apply(x, target.layer_weight).to(y.dtype)
    bias = dict(target.layer.named_parameters(recurse=False)).get("bias")
    return y if bias is None else operation.add_bias(y, bias, -1.0)


def _scaled(change: Tensor, scale: float | Tensor) -> Tensor:
    if isinstance(scale, Tensor):
        scale = scale.to(change).view(-1, *(1 for _ in change.shape[1:]))
        return change * scale
    return change if scale == 1 else change * scale


def _write_rows(output: Tensor, changes: Sequence[tuple[Rows, Tensor]]) -> Tensor:
    """Add each change to its rows of a layer's output, in the output itself."""
    for rows, change in changes:
        if isinstance(rows, Tensor):
            output.index_add_(0, rows.to(output.device), change)
        else:
            part_of(output, rows).add_(change)
    return output


def _add_rows(output: Tensor, changes: Sequence[tuple[Rows, Tensor]]) -> Tensor:
    """Return a layer's output with each change added to its rows."""
    slices = [rows for rows, _ in changes if isinstance(rows, slice)]
    if slices and len(slices) == len(changes) and _tile(slices, output.shape[0]):
        return output + torch.cat([change for _, change in changes])
    for rows, change in changes:
        if rows is None:
            output = output + change
        elif isinstance(rows, slice):
            span = torch.arange(rows.start, rows.stop, device=output.device)
            output = output.index_add(0, span, change)
        else:
            output = output.index_add(0, rows.to(output.device), change)
    return output


def _tile(slices: Sequence[slice], rows: int) -> bool:
    """Whether the slices follow each other and cover all rows exactly once."""
    edges = [0, *(each.stop for each in slices)]
    starts = [each.start for each in slices]
    return starts == edges[:-1] and edges[-1] == rows
