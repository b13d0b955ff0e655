"""diffusers' dotted names, in the spelling of today and in that of its older training scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, final

from pydantic import TypeAdapter, ValidationError

from loraloom.adapters.site import PARTS, Site, canonical_path
from loraloom.errors import ModelError
from loraloom.formats.card import card_entry
from loraloom.formats.codec import AbstractCodec, Claim
from loraloom.formats.contents import Config, Contents
from loraloom.formats.lora_config import read_alphas, write_config
from loraloom.formats.outline import Outline

_NETWORKS: Final = "|".join(part for part in PARTS if part != "model")
_KEY: Final = re.compile(
    rf"(?P<part>{_NETWORKS})\.(?P<module>[^/]+)"
    r"\.(?P<ending>lora_[AB]|(?:lora|lora_linear_layer)\.(?:down|up))\.weight"
)
_BY_ENDING: Final[Mapping[str, str]] = MappingProxyType(
    {
        "lora_A": "down",
        "lora_B": "up",
        "lora.down": "down",
        "lora.up": "up",
        "lora_linear_layer.down": "down",
        "lora_linear_layer.up": "up",
    }
)
_ENDINGS: Final[Mapping[str, str]] = MappingProxyType({"down": "lora_A", "up": "lora_B"})
_CONFIG: Final = "lora_adapter_metadata"
_FIELDS: Final = TypeAdapter(dict[str, Any])


@final
class Diffusers(AbstractCodec):
    """The network, the module's path, and PEFT's name of the part; alpha is in the header.

    The header holds a `LoraConfig` per network; without one the scale is 1. Source: diffusers,
    loaders/lora_base.py.
    """

    name: ClassVar[str] = "diffusers"
    description: ClassVar[str] = "diffusers' dotted names, for pipe.load_lora_weights"
    is_folder: ClassVar[bool] = False
    is_hashed: ClassVar[bool] = False

    def claims(self, contents: Contents) -> Mapping[str, Claim]:
        matches = {key: match for key in contents.shapes if (match := _KEY.fullmatch(key))}
        return {
            key: Claim(
                Site(match["part"], canonical_path(match["part"], f"{match['module']}.weight")),
                _BY_ENDING[match["ending"]],
            )
            for key, match in matches.items()
        }

    def alphas(self, contents: Contents, ranks: Mapping[Site, int]) -> Mapping[Site, float]:
        configs = _configs(contents)
        alphas: dict[Site, float] = {}
        for part, fields in configs.items():
            own = {site: rank for site, rank in ranks.items() if site.part == part}
            alphas |= read_alphas(fields, own, contents.where)
        return alphas

    def spell(self, outline: Outline, site: Site, part: str) -> str | None:
        return f"{site.part}.{site.module}.{_ENDINGS[part]}.weight" if part in _ENDINGS else None

    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        fields = {
            f"{part}.{field}": value
            for part in outline.networks
            for field, value in write_config(outline.of(part)).items()
        }
        entries = {"format": "pt", _CONFIG: json.dumps(fields, indent=2, sort_keys=True)}
        return entries | card_entry(outline.card), None


def _configs(contents: Contents) -> dict[str, dict[str, Any]]:
    """Return the configurations in the header by network; none if there is no such entry."""
    try:
        fields = _FIELDS.validate_json(contents.metadata.get(_CONFIG, "{}"))
    except ValidationError as error:
        raise ModelError("format.config", where=f"{contents.where}: {_CONFIG}") from error
    configs: dict[str, dict[str, Any]] = {}
    for name, value in fields.items():
        part, _, field = name.partition(".")
        configs.setdefault(part, {})[field] = value
    return configs
