"""PEFT's folders: `adapter_model.safetensors` with an `adapter_config.json` beside it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Final, final

from loraloom.adapters.site import PARTS, Site, canonical_path
from loraloom.adapters.span import Place, Span
from loraloom.errors import ModelError
from loraloom.events import Warned
from loraloom.formats.codec import AbstractCodec, Claim, Naming, Spelling, Told
from loraloom.formats.contents import Config, Contents
from loraloom.formats.dotted_names import is_authors
from loraloom.formats.endings import PEFT, PEFT_TABLE
from loraloom.formats.excerpt import excerpt
from loraloom.formats.families import part_alone
from loraloom.formats.naming.checkpoints.turned import TURNED_FAMILY, perhaps_turned
from loraloom.formats.naming.meaning import Holder, Meaning
from loraloom.formats.naming.table import FAMILIES, part_of
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.peft_config import (
    changed_base,
    is_lora_bias,
    peft_type,
    read_told,
    type_of,
    write_fields,
)
from loraloom.formats.peft_refusals import require_updates
from loraloom.formats.peft_spelling import spell_peft

_START: Final = re.compile(rf"(?:(?P<folder>{'|'.join(PARTS)})/)?base_model\.model\.")
_COPY: Final = re.compile(r"(?P<layer>.+)\.base_layer\.(weight|bias)")
_FACTOR: Final = re.compile(r"\.(lora|hada|lokr|oft|boft|ia3)_[^.]*(\.[^.]+){0,2}$")
_TABLE: Final = ".lora_embedding_"
"""What the factors of an embedding are called, which are those of its transposed weight."""


@final
class Peft(AbstractCodec):
    """One folder per network, named after it; a network alone is the folder itself.

    Paths are those of the live network, as PEFT looks them up letter by letter. Factors are those
    of a linear layer's (out, in) whatever the layer is: `fan_in_fan_out` concerns the base alone,
    and PEFT sets it by each layer's class, whichever the file says. Source: huggingface/peft,
    utils/save_and_load.py and tuners/lora/layer.py.
    """

    name: ClassVar[str] = "peft"
    description: ClassVar[str] = "PEFT folders, for PeftModel.from_pretrained"
    is_folder: ClassVar[bool] = True
    is_hashed: ClassVar[bool] = False

    def claims(self, contents: Contents) -> Mapping[str, Claim]:
        config = contents.config or {}
        tables = {key.partition(_TABLE)[0] for key in contents.shapes if _TABLE in key}
        found: dict[str, tuple[str, str, Any]] = {}
        for key in contents.shapes:
            match = _START.match(key)
            if match is not None:
                folder = match["folder"] or ""
                endings = PEFT_TABLE if key.rpartition(".")[0] in tables else PEFT
                split = endings.split(key[match.end() :])
                authors = contents.config is None and split is not None and _is_authors(split[0])
                if split is not None and not authors:
                    found[key] = (folder, *split)
        turns = any(own.get("fan_in_fan_out") for own in config.values())
        weights = {f"{module}.weight" for _, module, _ in found.values()}
        family = TURNED_FAMILY if turns and perhaps_turned(weights) else ""

        def claims_as(alone: str) -> dict[str, Claim]:
            claims: dict[str, Claim] = {}
            for key, (folder, module, ending) in found.items():
                part = folder or alone
                path = canonical_path(part, f"{module}.{ending.parameter}")
                claims[key] = Claim(Meaning(sites=(Site(part, path),)), ending, family=family)
            return claims

        modules = {module for folder, module, _ in found.values() if not folder}
        return claims_as(part_alone(contents, modules, claims_as) if modules else "")

    def copies(self, contents: Contents, claims: Mapping[str, Claim]) -> frozenset[str]:
        """Return the weights of layers that PEFT has wrapped: `save_embedding_layers`."""
        wrapped = {key[: -len(claim.ending.text) - 1] for key, claim in claims.items()}
        named = ((key, _COPY.fullmatch(key)) for key in contents.shapes)
        return frozenset(key for key, match in named if match and match["layer"] in wrapped)

    def explain(self, contents: Contents, rest: Collection[str]) -> None:
        for fields in (contents.config or {}).values():
            peft_type(fields, contents.where)
        whole = [key for key in rest if _START.match(key) and not _FACTOR.search(key)]
        if contents.config is not None and len(whole) == len(rest):
            raise ModelError("format.peft_whole", where=contents.where, keys=excerpt(whole))

    def told(self, contents: Contents, layers: Mapping[Place, Layer]) -> Mapping[Place, Told]:
        if contents.config is None:
            raise ModelError("format.peft_config_missing", where=contents.where)
        told: dict[Place, Told] = {}
        for folder, fields in contents.config.items():
            initialisation = changed_base(fields)
            if initialisation and not contents.on_changed_base:
                raise ModelError("format.changed_base", where=contents.where, way=initialisation)
            own = {p: each for p, each in layers.items() if folder in ("", p.part)}
            told |= read_told(fields, own, contents.where)
            require_updates(own, contents.where)
        return told

    def warnings(self, contents: Contents, layers: Mapping[Place, Layer]) -> tuple[Warned, ...]:
        ways = {changed_base(fields) for fields in (contents.config or {}).values()} - {""}
        details = {"where": contents.where, "way": ", ".join(sorted(ways))}
        changed = [Warned(code="format.on_changed_base", details=details)] if ways else []
        scaled = [p for p, each in layers.items() if each.kind == "ia3" and _is_after(each)]
        copied = [key for key in contents.shapes if _COPY.fullmatch(key)]
        details = {"where": contents.where, "keys": excerpt(copied)}
        copies = [Warned(code="format.base_copy", details=details)] if copied else []
        biases = [_bias_warning(contents.where, scaled)] if scaled else []
        return (*changed, *copies, *biases)

    def naming(self, outline: Outline) -> Naming:
        family = FAMILIES.get(outline.card.family)
        folders = dict(zip(outline.networks, self.folders(outline), strict=False))

        def holder(place: Place) -> Holder | None:
            if isinstance(place, Span):
                return None
            network = None if family is None else family.network(place.part)
            module = place.module if network is None else network.live(place.module)
            folder = folders.get(place.part, "")
            return Holder(f"{folder}base_model.model.{module}", Meaning(sites=(place,)))

        return holder

    def folders(self, outline: Outline) -> tuple[str, ...]:
        """Return a folder per network; none where there is one alone, and its names tell which."""
        networks = outline.networks
        if len(networks) > 1 or not all(
            part_of({place.sites[0].module for place in outline.of(part)}) == part
            for part in networks
        ):
            return tuple(f"{part}/" for part in networks)
        return ("",)

    def spell(self, place: Place, layer: Layer, part: str) -> Spelling | None:
        return spell_peft(place, layer, part)

    def spell_word(self, word: str, part: str) -> Spelling | None:
        return None

    def misfits(self, outline: Outline) -> Collection[Place]:
        """A configuration is of one type; what most deltas of the network are, all must be."""
        misfits: list[Place] = []
        for network in outline.networks:
            layers = outline.of(network)
            own = type_of(layers)
            misfits += [
                place
                for place, layer in layers.items()
                if own is None
                or not (own.holds(place, layer, layers) or is_lora_bias(place, layer, layers))
            ]
        return misfits

    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        metadata: dict[str, str] = {}
        config: dict[str, Any] = {}
        for part, folder in zip(outline.networks, self.folders(outline), strict=False):
            metadata[f"{folder}format"] = "pt"
            config[folder.removesuffix("/")] = {
                "base_model_name_or_path": outline.card.base or None,
                "inference_mode": True,
            } | write_fields(outline.of(part))
            if outline.card.family == TURNED_FAMILY:
                config[folder.removesuffix("/")]["fan_in_fan_out"] = True
        return metadata, config


def _is_authors(module: str) -> bool:
    """Whether a name is one that a diffusion model's authors gave, of whom no config is needed."""
    return any(is_authors(part, module) for part in ("transformer", "unet"))


def _is_after(layer: Layer) -> bool:
    return not layer.settings.get("on_input")


def _bias_warning(where: str, places: Collection[Place]) -> Warned:
    return Warned(code="format.ia3_bias", details={"where": where, "count": len(places)})
