"""The first LoRA trainer's files, in which layers have numbers instead of names."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import ClassVar, Final, final

from loraloom.adapters.span import Place, Span
from loraloom.formats.cloneofsimo_order import TEXT_ENCODERS, UNETS, Order
from loraloom.formats.codec import AbstractCodec, Claim, Naming, Spelling
from loraloom.formats.contents import Config, Contents
from loraloom.formats.endings import Ending
from loraloom.formats.naming.meaning import Holder, Meaning
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.rearrangement import AS_IS, ROW
from loraloom.formats.words import Word

_KEY: Final = re.compile(
    r"(?P<part>unet|text_encoder):(?P<index>0|[1-9][0-9]{0,3}):(?P<end>up|down)"
)
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,3}")
_PARTS: Final = ("up", "down")
_ENDINGS: Final[Mapping[str, Ending]] = {part: Ending(part, part, "lora") for part in _PARTS}
_EMBEDDING: Final = "<embed>"
_ORDERS: Final[Mapping[str, tuple[Order, ...]]] = {"unet": UNETS, "text_encoder": TEXT_ENCODERS}
_ANCESTORS: Final[Mapping[str, str]] = {
    "unet": json.dumps(["Attention", "CrossAttention", "GEGLU"]),
    "text_encoder": json.dumps(["CLIPAttention"]),
}
"""The classes whose linear layers are adapted, which the header names."""


@final
class Cloneofsimo(AbstractCodec):
    """`unet:17:up`, or a pickled list of up and down in turn; attention layers at scale 1.

    The numbers count the layers in the order in which the trainer came across them, so files hold
    all of them or none. Which order, and of which model, is told by the shapes of all together.
    Source: cloneofsimo/lora, lora_diffusion/lora.py.
    """

    name: ClassVar[str] = "cloneofsimo"
    description: ClassVar[str] = "the first trainer's numbered layers, all attention at scale 1"
    is_folder: ClassVar[bool] = False
    is_hashed: ClassVar[bool] = False

    def claims(self, contents: Contents) -> Mapping[str, Claim]:
        keys: dict[str, dict[int, dict[str, str]]] = {}
        for key in contents.shapes:
            place = _place(key, contents)
            if place is not None:
                part, index, end = place
                keys.setdefault(part, {}).setdefault(index, {})[end] = key
        claims: dict[str, Claim] = {}
        for part, layers in keys.items():
            order = _order(part, layers, contents)
            for index, own in layers.items() if order is not None else ():
                meaning = Meaning(sites=(order.sites[index],)) if order is not None else None
                claims |= {k: Claim(meaning, _ENDINGS[end]) for end, k in own.items() if meaning}
        return claims

    def words(self, contents: Contents) -> Mapping[str, Word]:
        return {
            key: Word(key, "emb_params", ROW if len(shape) == 1 else AS_IS)
            for key, shape in contents.shapes.items()
            if contents.metadata.get(key) == _EMBEDDING
        }

    def spell_word(self, word: str, part: str) -> Spelling | None:
        return Spelling(word, AS_IS) if part == "emb_params" else None

    def naming(self, outline: Outline) -> Naming:
        order = {part: _order_of(part, outline) for part in _ORDERS}
        return lambda place: _holder(place, order.get(place.part))

    def misfits(self, outline: Outline) -> Collection[Place]:
        whole = {part: _order_of(part, outline) for part in _ORDERS}
        return [place for place in outline.layers if whole.get(place.part) is None]

    def spell(self, place: Place, layer: Layer, part: str) -> Spelling | None:
        fits = layer.kind == "lora" and layer.scale == 1 and part in _PARTS
        return Spelling(f":{part}", AS_IS) if fits else None

    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        entries: dict[str, str] = {}
        for part in outline.networks:
            order = _order_of(part, outline)
            entries |= {part: _ANCESTORS[part]} if order is not None else {}
            for index, site in enumerate(() if order is None else order.sites):
                entries[f"{part}:{index}:rank"] = str(outline.layers[site].rank)
        return entries, None


def _place(key: str, contents: Contents) -> tuple[str, int, str] | None:
    """Return a tensor's network, the number of its layer, and the factor that it is."""
    if match := _KEY.fullmatch(key):
        return match["part"], int(match["index"]), match["end"]
    if not _NUMBER.fullmatch(key):
        return None
    # A list holds one network: the one that has half as many layers.
    count = len(contents.shapes) // 2
    for part, orders in _ORDERS.items():
        if any(len(order.sites) == count for order in orders):
            return part, int(key) // 2, _PARTS[int(key) % 2]
    return None


def _order(part: str, layers: Mapping[int, Mapping[str, str]], contents: Contents) -> Order | None:
    """Return the order in which all layers have shapes that they can have; None if none is so."""
    shapes = {
        index: (contents.shapes[own["up"]], contents.shapes[own["down"]])
        for index, own in layers.items()
        if len(own) == len(_PARTS)
    }
    if any(len(shape) != 2 for pair in shapes.values() for shape in pair):
        return None
    weights = {index: (up[0], down[1]) for index, (up, down) in shapes.items()}
    return next((order for order in _ORDERS[part] if order.fits(weights)), None)


def _order_of(part: str, outline: Outline) -> Order | None:
    """Return the order of an adapter's layers, the first if shapes fit several."""
    layers = outline.of(part)
    for order in _ORDERS[part]:
        if set(order.sites) == set(layers):
            weights = {i: layers[site].weight for i, site in enumerate(order.sites)}
            if order.fits(weights):
                return order
    return None


def _holder(place: Place, order: Order | None) -> Holder | None:
    if order is None or isinstance(place, Span) or place not in order.sites:
        return None
    return Holder(f"{place.part}:{order.sites.index(place)}", Meaning(sites=(place,)))
