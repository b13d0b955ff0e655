"""From an adapter's delta to what is worn: found, checked, copied to its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from loraloom.adapters.delta import AbstractDelta, Law
from loraloom.adapters.fused import Fused
from loraloom.adapters.operation import Operation
from loraloom.adapters.piece import Piece
from loraloom.adapters.span import Place, Span
from loraloom.adapters.target import Target, find_target
from loraloom.errors import ModelError


@final
@dataclass(frozen=True, eq=False, kw_only=True)
class Fitted:
    """One delta as it is worn: a copy of it, and a piece for each of its sites.

    `given_shape` is the weight shape that the delta was made for, which the copy may spell with
    other dimensions of size 1.
    """

    place: Place
    delta: AbstractDelta
    pieces: tuple[Piece, ...]
    given_shape: tuple[int | None, ...]

    def copied(self) -> AbstractDelta:
        """Return a detached copy on the CPU, spelled as the delta was when it was put on."""
        parts = {name: part.detach().cpu().clone() for name, part in self.delta.parts().items()}
        copy = type(self.delta).from_parts(parts, self.delta.alpha, self.delta.settings)
        known = tuple(size for size in self.given_shape if size is not None)
        return copy.fitted(known) if len(known) == len(self.given_shape) else copy


def put_on(
    networks: Mapping[str, nn.Module],
    adapter: str,
    place: Place,
    delta: AbstractDelta,
    law: Law,
    *,
    trainable: bool,
) -> Fitted:
    """Find the layers of `place` and fit a copy of `delta` to them; nothing is hooked yet.

    Raises ModelError, naming the place, for a layer that is missing, has another shape or does
    not go with the others of its span.
    """
    targets = [find_target(networks, site, adapter) for site in place.sites]
    shape = _shape(place, targets, adapter)
    if not delta.fits(shape):
        raise ModelError(
            "attach.shape",
            adapter=adapter,
            site=str(place),
            expected=shape,
            found=delta.claimed_shape,
        )
    worn = _worn_copy(delta.fitted(shape), targets[0].weight, trainable)
    fused = Fused(worn, targets, law) if isinstance(place, Span) else None
    pieces = tuple(
        Piece(adapter=adapter, target=target, delta=worn, law=law, fused=fused, index=index)
        for index, target in enumerate(targets)
    )
    return Fitted(place=place, delta=worn, pieces=pieces, given_shape=delta.claimed_shape)


def _shape(place: Place, targets: Sequence[Target], adapter: str) -> tuple[int, ...]:
    """Return the shape of the weight at `place`: for a span, of its linear layers' stacked."""
    if not isinstance(place, Span):
        return targets[0].shape
    first = targets[0]
    rows = tuple(target.shape[0] for target in targets)
    stackable = (
        all(target.operation == Operation(kind="linear") for target in targets)
        and all(target.parameter == "weight" for target in targets)
        and all(target.shape[1:] == first.shape[1:] for target in targets)
        and all(known in (None, live) for known, live in zip(place.rows, rows, strict=True))
    )
    if not stackable:
        shapes = ", ".join(str(target.shape) for target in targets)
        raise ModelError("attach.span", adapter=adapter, site=str(place), shapes=shapes)
    return (sum(rows), *first.shape[1:])


def _worn_copy(delta: AbstractDelta, like: Tensor, trainable: bool) -> AbstractDelta:
    """Copy a delta to the weight's device; what is only worn takes the weight's precision too.

    A weight that is away (offloaded) or quantised has no say in what it is not or has not.
    """
    device = None if like.is_meta else like.device
    castable = like.is_floating_point() and not trainable
    parts: dict[str, Tensor] = {}
    for name, part in delta.parts().items():
        cast = castable and part.is_floating_point() and name not in delta.kept_exact
        dtype = like.dtype if cast else None
        parts[name] = part.detach().clone().to(device=device, dtype=dtype)
    copy = type(delta).from_parts(parts, delta.alpha, delta.settings)
    return copy.requires_grad_(trainable)
