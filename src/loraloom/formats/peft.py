"""PEFT's folders: `adapter_model.safetensors` with an `adapter_config.json` beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, final

from loraloom.adapters.site import Site, canonical_path
from loraloom.errors import ModelError
from loraloom.formats.card import card_entry
from loraloom.formats.codec import AbstractCodec, Claim
from loraloom.formats.contents import Config, Contents
from loraloom.formats.lora_config import read_alphas, write_config
from loraloom.formats.naming.table import FAMILIES, part_of
from loraloom.formats.outline import Outline

_KEY: Final = re.compile(
    r"(?:(?P<folder>[^/]+)/)?base_model\.model\.(?P<module>[^/]+)\.lora_(?P<factor>[AB])\.weight"
)
_PARTS: Final[Mapping[str, str]] = MappingProxyType({"A": "down", "B": "up"})
_FACTORS: Final[Mapping[str, str]] = MappingProxyType({"down": "A", "up": "B"})


@final
class Peft(AbstractCodec):
    """One folder per network, named after it; a network alone is the folder itself.

    Paths are those of the live network, as PEFT looks them up letter by letter. Source:
    huggingface/peft, utils/save_and_load.py.
    """

    name: ClassVar[str] = "peft"
    description: ClassVar[str] = "PEFT folders, for PeftModel.from_pretrained"
    is_folder: ClassVar[bool] = True
    is_hashed: ClassVar[bool] = False

    def claims(self, contents: Contents) -> Mapping[str, Claim]:
        matches = {key: match for key in contents.shapes if (match := _KEY.fullmatch(key))}
        alone = part_of({match["module"] for match in matches.values() if not match["folder"]})
        claims: dict[str, Claim] = {}
        for key, match in matches.items():
            part = match["folder"] or alone
            path = canonical_path(part, f"{match['module']}.weight")
            claims[key] = Claim(Site(part, path), _PARTS[match["factor"]])
        return claims

    def alphas(self, contents: Contents, ranks: Mapping[Site, int]) -> Mapping[Site, float]:
        if contents.config is None:
            raise ModelError("format.peft_config_missing", where=contents.where)
        alphas: dict[Site, float] = {}
        for folder, fields in contents.config.items():
            own = {site: rank for site, rank in ranks.items() if folder in ("", site.part)}
            alphas |= read_alphas(fields, own, contents.where)
        return alphas

    def spell(self, outline: Outline, site: Site, part: str) -> str | None:
        if part not in _FACTORS:
            return None
        family = FAMILIES.get(outline.card.family)
        network = None if family is None else family.network(site.part)
        module = site.module if network is None else network.live(site.module)
        folder = _folder(outline, site.part)
        return f"{folder}base_model.model.{module}.lora_{_FACTORS[part]}.weight"

    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        metadata: dict[str, str] = {}
        config: dict[str, Any] = {}
        for part in outline.networks:
            folder = _folder(outline, part)
            entries = {"format": "pt"} | card_entry(outline.card)
            metadata |= {f"{folder}{key}": text for key, text in entries.items()}
            config[folder.removesuffix("/")] = {
                "peft_type": "LORA",
                "base_model_name_or_path": outline.card.base or None,
                "inference_mode": True,
            } | write_config(outline.of(part))
        return metadata, config


def _folder(outline: Outline, part: str) -> str:
    """Return what the names of a network's tensors begin with."""
    return f"{part}/" if len(outline.networks) > 1 else ""
