"""Deltas of every kind, with random numbers, for tests of formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.kinds import KINDS

Shapes = Mapping[str, tuple[int, ...]]

_LORA: Shapes = {"down": (2, 6), "up": (4, 2)}
_LOCON: Shapes = {"down": (2, 6, 3, 3), "up": (4, 2, 1, 1)}
_TUCKER: Shapes = {"down": (2, 6, 1, 1), "mid": (2, 2, 3, 3), "up": (4, 2, 1, 1)}
_LOHA: Shapes = {"w1_a": (4, 2), "w1_b": (2, 6), "w2_a": (4, 2), "w2_b": (2, 6)}
_LOHA_FLAT: Shapes = {"w1_a": (4, 2), "w1_b": (2, 54), "w2_a": (4, 2), "w2_b": (2, 54)}
_LOHA_TUCKER: Shapes = {
    "w1_a": (2, 4),
    "w1_b": (2, 6),
    "w2_a": (2, 4),
    "w2_b": (2, 6),
    "t1": (2, 2, 3, 3),
    "t2": (2, 2, 3, 3),
}
_LOKR: Shapes = {"w1": (2, 2), "w2": (2, 3)}
_LOKR_SECOND: Shapes = {"w1": (2, 2), "w2_a": (2, 1), "w2_b": (1, 3)}
_LOKR_BOTH: Shapes = {"w1_a": (2, 1), "w1_b": (1, 2), "w2_a": (2, 1), "w2_b": (1, 3)}
_LOKR_TUCKER: Shapes = {"w1": (2, 2), "t2": (1, 1, 3, 3), "w2_a": (1, 2), "w2_b": (1, 3)}
_LOKR_WHOLE_TUCKER: Shapes = {"w1": (2, 2), "w2": (2, 3, 3, 3)}
_OUTPUT: Shapes = {"magnitude": (4,)}
_INPUT: Shapes = {"magnitude": (6,)}

EXAMPLES: Mapping[str, tuple[tuple[Shapes, Mapping[str, Any]], ...]] = {
    "lora": ((_LORA, {}), (_LOCON, {}), (_TUCKER, {})),
    "loha": ((_LOHA, {}), (_LOHA_FLAT, {}), (_LOHA_TUCKER, {})),
    "lokr": tuple(
        (shapes, {})
        for shapes in (_LOKR, _LOKR_SECOND, _LOKR_BOTH, _LOKR_TUCKER, _LOKR_WHOLE_TUCKER)
    ),
    "dora": (
        ({**_LORA, **_OUTPUT}, {"axis": "output"}),
        ({**_LORA, **_INPUT}, {"axis": "input"}),
        ({**_LOCON, **_OUTPUT}, {"axis": "output"}),
        ({**_LOCON, **_INPUT}, {"axis": "input"}),
    ),
    "doha": (({**_LOHA, **_OUTPUT}, {"axis": "output"}), ({**_LOHA, **_INPUT}, {"axis": "input"})),
    "dokr": (({**_LOKR, **_OUTPUT}, {"axis": "output"}), ({**_LOKR, **_INPUT}, {"axis": "input"})),
    "full": (({"diff": (4, 6)}, {}), ({"diff": (4, 6, 3, 3)}, {}), ({"diff": (4,)}, {})),
    "ia3": (({"scale": (4,)}, {}), ({"scale": (6,)}, {"on_input": True})),
    "oft": (
        ({"blocks": (2, 2, 2)}, {}),
        ({"blocks": (2, 2, 2), "rescale": (4, 1)}, {"constraint": 0.5}),
        ({"blocks": (3, 2, 2)}, {"side": "input", "cayley": "neumann", "terms": 5}),
    ),
    "boft": (
        ({"blocks": (2, 2, 2, 2)}, {}),
        ({"blocks": (1, 3, 2, 2)}, {"side": "input", "cayley": "transposed", "skew": 0.5}),
    ),
    "glora": (({"a1": (6, 2), "a2": (2, 6), "b1": (4, 2), "b2": (2, 6)}, {}),),
}
"""Shapes and settings, all for weights of 4 rows and 6 columns."""


def deltas(
    kind: str, dtype: torch.dtype = torch.float32, alpha: float | None = 1.5
) -> Iterator[AbstractDelta]:
    """Yield a delta of each form of a kind, always the same."""
    generator = torch.Generator().manual_seed(7)
    for shapes, settings in EXAMPLES[kind]:
        parts = {
            name: (torch.randn(shape, generator=generator) / 3).to(dtype)
            for name, shape in shapes.items()
        }
        if kind == "oft" and settings.get("side") == "input":
            # PEFT has the upper triangle alone, which is half of what a rotation needs.
            parts["blocks"] = parts["blocks"].triu(1)
        yield KINDS[kind].from_parts(parts, alpha, settings)
