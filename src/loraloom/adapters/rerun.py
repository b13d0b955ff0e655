"""A layer's output with other parameters, for layers whose formula is their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from loraloom.adapters.piece import Piece
from loraloom.adapters.strength import Route
from loraloom.errors import UsageError


def run_again(
    layer: nn.Module,
    worn: Sequence[tuple[Piece, Route]],
    inputs: tuple[Any, ...],
    keywords: Mapping[str, Any],
    y: Any,
) -> Any:
    """Return the layer's output with W + sum of s_i * delta_i(W) for the parameters W worn.

    Rows of a batch that wear all adapters alike run together; rows that wear none keep `y`. Rows
    can differ only where the layer takes one tensor and gives one.
    """
    like: Tensor = y if isinstance(y, Tensor) else y[0]
    if all(way.uniform for _, way in worn):
        values = _worn_values(worn, [float(way.scale) for _, way in worn], like)
        return rerun(layer, values, inputs, keywords)
    if len(inputs) != 1 or keywords or not isinstance(y, Tensor):
        raise UsageError("attach.no_batch", site=str(worn[0][0].target.site))
    output = y.clone()
    rows_of: dict[tuple[float, ...], list[int]] = {}
    by_row = zip(*(_by_row(way, len(y)) for _, way in worn), strict=True)
    for row, combination in enumerate(by_row):
        rows_of.setdefault(combination, []).append(row)
    for combination, numbers in rows_of.items():
        if any(combination):
            rows = torch.tensor(numbers, device=y.device)
            values = _worn_values(worn, combination, like)
            output = output.index_copy(0, rows, rerun(layer, values, (inputs[0][rows],), {}))
    return output


def _by_row(way: Route, batch: int) -> list[float]:
    strengths = torch.zeros(batch, dtype=torch.float64)
    strengths[slice(None) if way.rows is None else way.rows] = torch.as_tensor(way.scale).double()
    return [float(strength) for strength in strengths]


def _worn_values(
    worn: Sequence[tuple[Piece, Route]], strengths: Sequence[float], like: Tensor
) -> dict[str, Tensor]:
    values: dict[str, Tensor] = {}
    dtypes: dict[str, torch.dtype] = {}
    for (piece, _), strength in zip(worn, strengths, strict=True):
        name = piece.target.parameter
        if strength == 0:
            continue
        if name not in values:
            weight = piece.target.readable(piece.delta.kind, like)
            dtypes[name] = weight.dtype
            values[name] = weight.to(torch.promote_types(weight.dtype, torch.float32))
        values[name] = values[name] + piece.update(strength, like)
    return {name: value.to(dtypes[name]) for name, value in values.items()}


def rerun(
    layer: nn.Module,
    parameters: Mapping[str, Tensor],
    inputs: tuple[Any, ...],
    keywords: Mapping[str, Any],
) -> Any:
    """Return what `layer` would give if some of its parameters, by dotted path, had other values.

    A shallow copy without the layer's own hooks runs; the layer is neither written nor swapped,
    not for a moment. What a training pass writes into buffers (a batch norm's running statistics)
    goes to copies too.
    """
    twin = _twin(layer, parameters)
    return type(twin).forward(twin, *inputs, **keywords)


def _twin(layer: nn.Module, parameters: Mapping[str, Tensor]) -> nn.Module:
    """Return a module of the same class and state, but for these parameters."""
    state = dict(vars(layer))
    own: dict[str, Tensor | None] = dict(state["_parameters"])
    inner: dict[str, dict[str, Tensor]] = {}
    for path, value in parameters.items():
        child, _, rest = path.partition(".")
        if rest:
            inner.setdefault(child, {})[rest] = value
        else:
            own[child] = value
    children: dict[str, nn.Module | None] = dict(state["_modules"])
    for name, values in inner.items():
        children[name] = _twin(layer.get_submodule(name), values)
    buffers: dict[str, Tensor | None] = dict(state["_buffers"])
    if layer.training:
        buffers = {name: None if held is None else held.clone() for name, held in buffers.items()}
    twin = object.__new__(type(layer))
    vars(twin).update(state, _parameters=own, _modules=children, _buffers=buffers)
    return twin
