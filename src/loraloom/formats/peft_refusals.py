"""What PEFT trains that is no update of a layer's weight, or may not be."""

from __future__ import annotations

from collections.abc import Mapping

from loraloom.adapters.span import Place
from loraloom.errors import ModelError
from loraloom.formats.excerpt import excerpt
from loraloom.formats.outline import Layer


def require_updates(layers: Mapping[Place, Layer], where: str) -> None:
    """Raise ModelError for layers whose forward pass in PEFT no update of the weight can give.

    Grouped convolutions: `down` sees all inputs, so that an output depends on inputs that its
    weights do not have. Whole factors of a Conv1d in LoKr: PEFT aligns their sides wrongly and
    puts the numbers elsewhere.
    """
    grouped = [place for place, layer in layers.items() if _is_grouped(layer)]
    scrambled = [place for place, layer in layers.items() if is_scrambled(layer)]
    for code, places in (
        ("format.peft_grouped", grouped),
        ("format.peft_scrambled", scrambled),
    ):
        if places:
            raise ModelError(code, where=where, sites=excerpt(places))


def is_scrambled(layer: Layer) -> bool:
    """Whether PEFT would compute something else than the Kronecker product of these factors.

    Source: huggingface/peft, tuners/lokr/layer.py, `make_kron`, which adds sides to w1 only for a
    w2 of four dimensions.
    """
    return layer.kind == "lokr" and len(layer.shapes.get("w2", ())) == 3


def _is_grouped(layer: Layer) -> bool:
    if layer.kind not in ("lora", "dora"):
        return False
    return layer.shapes["up"][1] != layer.shapes["down"][0] and len(layer.shapes["up"]) > 2
