"""What every kind asks of the named tensors and settings that it is built from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from loraloom.adapters.delta import Setting, Settings
from loraloom.errors import ModelError


def check_names(
    kind: str,
    parts: Mapping[str, Tensor],
    needed: frozenset[str],
    optional: frozenset[str] = frozenset(),
) -> None:
    """Raise ModelError if a needed tensor is missing, or one is there that the kind has not."""
    if not needed <= set(parts) <= needed | optional:
        raise ModelError(
            "adapter.parts",
            kind=kind,
            found=", ".join(sorted(parts)) or "-",
            needed=", ".join(sorted(needed)),
        )


def unfit(kind: str, parts: Mapping[str, Tensor]) -> ModelError:
    """Return the error for tensors whose shapes do not belong together."""
    shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in parts.items())
    return ModelError("adapter.factors", kind=kind, shapes=shapes)


def check_settings(kind: str, settings: Settings, known: Mapping[str, tuple[Setting, ...]]) -> None:
    """Raise ModelError for a setting that the kind has not, or a value of the wrong sort.

    `known` maps each name to the values it may have: several words to choose from, or one example
    of a flag or a number.
    """
    for name, value in settings.items():
        choices = known.get(name, ())
        if isinstance(value, str):
            right = value in choices
        else:
            right = any(_same_sort(value, choice) for choice in choices)
        if not right:
            told = ", ".join(f"{each} ({_told(values)})" for each, values in known.items()) or "-"
            raise ModelError("adapter.setting", kind=kind, name=name, value=value, known=told)


def frozen(tensor: Tensor) -> nn.Parameter:
    """Return a tensor as a parameter that nobody trains unasked, sharing its memory."""
    return nn.Parameter(tensor, requires_grad=False)


def matrix(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a factor as a matrix: its first dimension by all others."""
    return tensor.to(dtype).flatten(1)


def flat(tensor: Tensor) -> Tensor | None:
    """Return the numbers of a vector that files store with dimensions of 1 around it, else None."""
    return tensor.flatten() if tensor.numel() == max(tensor.shape, default=1) > 0 else None


def _same_sort(value: Setting, example: Setting) -> bool:
    if isinstance(value, bool) or isinstance(example, bool):
        return isinstance(value, bool) and isinstance(example, bool)
    return isinstance(value, int | float if isinstance(example, float) else type(example))


def _told(values: tuple[Setting, ...]) -> str:
    if isinstance(values[0], str):
        return " | ".join(str(value) for value in values)
    return type(values[0]).__name__
