"""Weights by block as web UIs write them: 12, 17, 20 or 26 numbers in a fixed order.

Sources: hako-mikan/sd-webui-lora-block-weight and kohya's networks/svd_merge_lora.py, which agree
on the order, on what the numbers are for, and that what lies in no block keeps its weight. Their
named presets are left to the web UI: between its versions one name has stood for different numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from loraloom.errors import UsageError

_LAYERS: Final = 2


def _blocks(kind: str, numbers: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"{kind}{number:02}" for number in numbers)


_ORDERS: Final[Mapping[int, tuple[str, ...]]] = MappingProxyType(
    {
        12: (
            "BASE",
            *_blocks("IN", (4, 5, 7, 8)),
            "M00",
            *_blocks("OUT", range(6)),
        ),
        17: (
            "BASE",
            *_blocks("IN", (1, 2, 4, 5, 7, 8)),
            "M00",
            *_blocks("OUT", range(3, 12)),
        ),
        20: ("BASE", *_blocks("IN", range(9)), "M00", *_blocks("OUT", range(9))),
        26: ("BASE", *_blocks("IN", range(12)), "M00", *_blocks("OUT", range(12))),
    }
)
"""How many numbers -> what they are for. 17 and 26 are of Stable Diffusion 1 and 2, 12 and 20 of
XL; the shorter ones name the blocks with attention alone."""

_LEVELS: Final[Mapping[int, int]] = MappingProxyType({12: 3, 17: 4, 20: 3, 26: 4})


def is_vector(word: str) -> bool:
    """Whether a word is meant as numbers for all blocks."""
    return "," in word and "=" not in word


def factors_of(word: str, sites: Sequence[str]) -> dict[str, float]:
    """Return the factors by path prefix that a list of numbers means for an adapter's sites.

    BASE is for the text encoders. A block that the list does not name gets 0, as in the web UI's
    extension (kohya's program leaves it whole). What lies in no block keeps its weight, as in both:
    the time embedding, XL's added one (label_emb), and conv_out. A list of another length, and one
    for another network, are a `UsageError`.
    """
    try:
        numbers = [float(number) for number in word.split(",")]
    except ValueError as error:
        raise UsageError("lora.block", word=word) from error
    known = ", ".join(map(str, _ORDERS))
    if len(numbers) not in _ORDERS:
        raise UsageError("lora.block_count", count=len(numbers), known=known)
    levels = _LEVELS[len(numbers)]
    given = dict(zip(_ORDERS[len(numbers)], numbers, strict=True))
    factors: dict[str, float] = {}
    for block, prefix in _prefixes(levels):
        if any(site.startswith(f"{prefix}.") for site in sites):
            factors[prefix] = given.get(block, 0.0)
    if any(site.startswith(_beyond(levels)) for site in sites):
        raise UsageError("lora.block_count", count=len(numbers), known=known)
    return factors


def _prefixes(levels: int) -> Iterator[tuple[str, str]]:
    """Yield each block with the prefixes of its modules, in our names."""
    yield from (("BASE", part) for part in ("text_encoder", "text_encoder_2"))
    yield "IN00", "unet.conv_in"
    yield "M00", "unet.mid_block"
    for level in range(levels):
        down, up = f"unet.down_blocks.{level}", f"unet.up_blocks.{level}"
        first = level * (_LAYERS + 1)
        for layer in range(_LAYERS):
            for kind in ("resnets", "attentions"):
                yield f"IN{first + layer + 1:02}", f"{down}.{kind}.{layer}"
        yield f"IN{first + _LAYERS + 1:02}", f"{down}.downsamplers"
        for layer in range(_LAYERS + 1):
            for kind in ("resnets", "attentions"):
                yield f"OUT{first + layer:02}", f"{up}.{kind}.{layer}"
        yield f"OUT{first + _LAYERS:02}", f"{up}.upsamplers"


def _beyond(levels: int) -> tuple[str, ...]:
    """Return what only networks of other families have: a further level, or no blocks like these.

    Of the networks that have these blocks XL alone has a second text encoder.
    """
    deeper = (f"unet.down_blocks.{levels}.", f"unet.up_blocks.{levels}.", "transformer.", "model.")
    return (*deeper, "text_encoder_2.") if levels > 3 else deeper
