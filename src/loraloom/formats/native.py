"""This program's own names: the weight's canonical name and the part's, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final, final

from pydantic import BaseModel, ConfigDict, ValidationError

from loraloom.adapters.site import PARTS, Site
from loraloom.adapters.span import Place, Span
from loraloom.errors import ModelError
from loraloom.formats.codec import AbstractCodec, Claim, Naming, Spelling, Told
from loraloom.formats.contents import Config, Contents
from loraloom.formats.endings import NUMBERS, Ending
from loraloom.formats.group import place_of
from loraloom.formats.layout import LAYOUT_OF
from loraloom.formats.naming.meaning import Holder, Meaning
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.rearrangement import AS_IS
from loraloom.formats.strict_json import parse_object

_ENTRY: Final = "loraloom.deltas"
_AND: Final = " + "


@final
class _Record(BaseModel):
    """What the header tells of one delta."""

    model_config = ConfigDict(allow_inf_nan=False, extra="forbid", strict=True)

    kind: str
    alpha: float | None = None
    settings: dict[str, bool | int | float | str] = {}
    rows: list[int | None] = []


@final
class Native(AbstractCodec):
    """`unet.mid_block.….attn1.to_q.weight:down`; kind, alpha and settings are in the header.

    It has a name for everything that an adapter can hold: every kind, on weights that other
    programs know under no name, and on runs of weights.
    """

    name: ClassVar[str] = "native"
    description: ClassVar[str] = "loraloom's own names: every kind, exactly"
    is_folder: ClassVar[bool] = False
    is_hashed: ClassVar[bool] = False

    def claims(self, contents: Contents) -> Mapping[str, Claim]:
        records = _records(contents)
        claims: dict[str, Claim] = {}
        for key in contents.shapes:
            name, _, part = key.rpartition(":")
            record = records.get(name)
            if record is not None and record.kind in LAYOUT_OF:
                stem = LAYOUT_OF[record.kind].stems[0]
                ending = Ending(part, part, stem)
                claims[key] = Claim(Meaning(sites=_sites(name)), ending, tuple(record.rows))
        return claims

    def told(self, contents: Contents, layers: Mapping[Place, Layer]) -> Mapping[Place, Told]:
        told: dict[Place, Told] = {}
        for name, record in _records(contents).items():
            place = place_of(Meaning(sites=_sites(name)))
            for own in (place, *place.sites):
                told[own] = Told(record.alpha, record.settings)
        return {place: each for place, each in told.items() if place in layers}

    def naming(self, outline: Outline) -> Naming:
        return lambda place: Holder(str(place), Meaning(sites=place.sites))

    def spell(self, place: Place, layer: Layer, part: str) -> Spelling | None:
        return None if part in NUMBERS else Spelling(f":{part}", AS_IS)

    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        records: dict[str, dict[str, Any]] = {}
        for place, layer in outline.layers.items():
            record: dict[str, Any] = {"kind": layer.kind}
            record |= {} if layer.alpha is None else {"alpha": layer.alpha}
            record |= {"settings": dict(layer.settings)} if layer.settings else {}
            record |= {"rows": list(place.rows)} if isinstance(place, Span) else {}
            records[str(place)] = record
        return {_ENTRY: json.dumps(records, sort_keys=True)}, None


def _records(contents: Contents) -> dict[str, _Record]:
    """Return what the header tells by the names of weights; none if it has no such entry."""
    if _ENTRY not in contents.metadata:
        return {}
    where = f"{contents.where}: {_ENTRY}"
    try:
        content = parse_object(contents.metadata[_ENTRY].encode())
        records = {name: _Record.model_validate(each) for name, each in content.items()}
        for name, record in records.items():
            sites = _sites(name)
            known = all(site.part in PARTS and site.path for site in sites)
            if not known or len(set(sites)) < len(sites) or len(record.rows) not in (0, len(sites)):
                raise ValueError(name)
    except (ValueError, ValidationError) as error:
        raise ModelError("format.config", where=where) from error
    return records


def _sites(name: str) -> tuple[Site, ...]:
    return tuple(Site.parse(each) for each in name.split(_AND))
