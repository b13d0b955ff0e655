"""diffusers' dotted names, in the spelling of today and in that of its older training scripts."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Final, final

from loraloom.adapters.site import PARTS, Site, canonical_path
from loraloom.adapters.span import Place, Span
from loraloom.errors import ModelError
from loraloom.formats.codec import AbstractCodec, Claim, Naming, Spelling, Told
from loraloom.formats.contents import Config, Contents
from loraloom.formats.diffusers_header import configs_in, header_entry
from loraloom.formats.dotted_names import PEFT_START, is_authors
from loraloom.formats.endings import DOTTED
from loraloom.formats.families import part_alone
from loraloom.formats.naming.meaning import Holder, Meaning
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.peft_config import PEFT_TYPES, changed_base, is_lora_bias, read_told
from loraloom.formats.peft_spelling import spell_peft

_NETWORKS: Final = "|".join(part for part in PARTS if part != "model")
_START: Final = re.compile(rf"(?P<part>{_NETWORKS})\.(?=[^/]+$)")
_WRITTEN: Final = PEFT_TYPES["LORA"]


@final
class Diffusers(AbstractCodec):
    """The network, the module's path, and PEFT's name of the part; alpha is in the header.

    The header holds a `LoraConfig` per network. Without one the scale is 1, unless an alpha lies
    beside the factors, as ai-toolkit and OneTrainer write it. The network may be missing where
    there is only one. Source: diffusers, loaders/lora_base.py.
    """

    name: ClassVar[str] = "diffusers"
    description: ClassVar[str] = "diffusers' dotted names, for pipe.load_lora_weights"
    is_folder: ClassVar[bool] = False
    is_hashed: ClassVar[bool] = False

    def claims(self, contents: Contents) -> Mapping[str, Claim]:
        split = {key: found for key in contents.shapes if (found := DOTTED.split(key))}
        names = {name for name, _ in split.values()}

        def claims_as(alone: str) -> dict[str, Claim]:
            places = _places(names, alone)
            return {
                key: Claim(Meaning(sites=(Site(part, f"{module}.{ending.parameter}"),)), ending)
                for key, (name, ending) in split.items()
                if (place := places.get(name)) is not None
                for part, module in (place,)
            }

        if not names or any(map(_START.match, names)):
            return claims_as("model")
        return claims_as(part_alone(contents, names, claims_as))

    def told(self, contents: Contents, layers: Mapping[Place, Layer]) -> Mapping[Place, Told]:
        told: dict[Place, Told] = {}
        for part, fields in configs_in(contents).items():
            initialisation = changed_base(fields)
            if initialisation and not contents.on_changed_base:
                raise ModelError("format.changed_base", where=contents.where, way=initialisation)
            own = {place: layer for place, layer in layers.items() if place.part == part}
            told |= read_told(fields, own, contents.where)
        return told

    def naming(self, outline: Outline) -> Naming:
        def holder(place: Place) -> Holder | None:
            if isinstance(place, Span) or place.part == "model":
                return None
            return Holder(f"{place.part}.{place.module}", Meaning(sites=(place,)))

        return holder

    def spell(self, place: Place, layer: Layer, part: str) -> Spelling | None:
        is_bias = place.sites[0].parameter == "bias"
        if not is_bias and layer.kind not in _WRITTEN.kinds:
            return None
        # PEFT's magnitude of an embedding, which here would be read as one of the outputs.
        if layer.settings.get("axis") == "input":
            return None
        return spell_peft(place, layer, part)

    def misfits(self, outline: Outline) -> Collection[Place]:
        return [
            place
            for network in outline.networks
            for place, layer in outline.of(network).items()
            if not _WRITTEN.holds(place, layer, outline.of(network))
            and not is_lora_bias(place, layer, outline.of(network))
        ]

    def spell_word(self, word: str, part: str) -> Spelling | None:
        """diffusers refuses files with embeddings in them."""
        return None

    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        fields: dict[str, Any] = {
            f"{part}.{field}": value
            for part in outline.networks
            for field, value in _WRITTEN.fields(outline.of(part)).items()
        }
        return {"format": "pt"} | header_entry(fields), None


def _places(names: Collection[str], alone: str) -> dict[str, tuple[str, str]]:
    """Return network and canonical module by name, without names that are not diffusers'.

    `alone` is the network of names that do not tell it, "model" where there must be none such.
    """
    matches = {name: _START.match(name) for name in names}
    places: dict[str, tuple[str, str]] = {}
    for name, match in matches.items():
        part = alone if match is None else match["part"]
        module = (name if match is None else name[match.end() :]).removeprefix(PEFT_START)
        if part != "model" and not is_authors(part, module):
            places[name] = (part, canonical_path(part, f"{module}.").removesuffix("."))
    return places
