"""Whether a LoRA file goes with a base, as far as its header and the base's files tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from loraloom.adapters.shape import fits
from loraloom.adapters.site import Site
from loraloom.adapters.span import Place
from loraloom.errors import ModelError
from loraloom.formats.source import locate
from loraloom.formats.summary import outline
from loraloom.jobs.base_check import CheckedBase


def check_lora(name: str, path: Path, base: CheckedBase) -> None:
    """Raise ModelError for a file that is no adapter, or one that does not fit the base.

    Of a pickle, which has no header, only the presence can be told; neither torch nor a tensor
    is loaded.
    """
    if any(volume.is_pickle for volume in locate(path)):
        return
    found = outline(path)
    require_family(name, path, found.card.family, base.found.title, base.found.family)
    if base.shapes:
        for place, layer in found.layers.items():
            _check_place(name, place, layer.weight, base.shapes)


def _check_place(
    name: str, place: Place, claimed: Sequence[int | None], shapes: Mapping[Site, Sequence[int]]
) -> None:
    for site in place.sites:
        if site not in shapes:
            parts = ", ".join(dict.fromkeys(each.part for each in shapes))
            raise ModelError("attach.no_site", adapter=name, site=site, parts=parts)
    rows = sum(shapes[site][0] for site in place.sites)
    expected = (rows, *shapes[place.sites[0]][1:])
    if not fits(claimed, expected):
        raise ModelError("attach.shape", adapter=name, site=place, expected=expected, found=claimed)


def require_family(name: str, path: Path, family: str, model: str, expected: str) -> None:
    """Raise ModelError if a LoRA's family is known and another than the model's."""
    if family and expected and family != expected:
        raise ModelError(
            "wardrobe.family", name=name, path=path, family=family, model=model, expected=expected
        )
