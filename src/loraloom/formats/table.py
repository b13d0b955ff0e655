"""The table of codecs, and which of them a file is written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, final

from loraloom.errors import ModelError, UsageError
from loraloom.formats.attention_processors import AttentionProcessors
from loraloom.formats.cloneofsimo import Cloneofsimo
from loraloom.formats.codec import AbstractCodec, Claim
from loraloom.formats.comfyui import ComfyUI
from loraloom.formats.contents import Contents
from loraloom.formats.diffusers import Diffusers
from loraloom.formats.excerpt import excerpt
from loraloom.formats.kohya import Kohya
from loraloom.formats.native import Native
from loraloom.formats.onetrainer import OneTrainer
from loraloom.formats.peft import Peft
from loraloom.formats.strangers import sort_of_tensors, unread_dialect

CODECS: Final[Mapping[str, AbstractCodec]] = MappingProxyType(
    {
        codec.name: codec
        for codec in (
            Kohya(),
            Diffusers(),
            AttentionProcessors(),
            Peft(),
            ComfyUI(),
            OneTrainer(),
            Cloneofsimo(),
            Native(),
        )
    }
)
FORMATS: Final[Mapping[str, AbstractCodec]] = MappingProxyType(
    {**CODECS, "lycoris": Kohya(network_module="lycoris.kohya")}
)
"""What can be written, by name: the codecs, and profiles of theirs."""
WRITTEN: Final = ("kohya", "lycoris", "peft", "diffusers", "native")
"""Those that are in use, and offered."""


@final
@dataclass(frozen=True)
class Recognised:
    """The codec of a file, and what it says of the tensors."""

    codec: AbstractCodec
    claims: Mapping[str, Claim]


def detect(contents: Contents) -> AbstractCodec:
    """Return the one codec that knows every tensor name of a file; see `recognise`."""
    return recognise(contents).codec


def recognise(contents: Contents) -> Recognised:
    """Return the one codec that knows every tensor name of a file, and what it knows.

    None, or more than one, is a `ModelError` that names the nearest and what it does not know; a
    file of another sort, as a whole model, is one that says so.
    """
    where, keys = contents.where, contents.shapes
    claims = {name: codec.claims(contents) for name, codec in CODECS.items()}
    known = {name: CODECS[name].known(contents, own) for name, own in claims.items()}
    matching = [name for name, own in known.items() if own and len(own) == len(keys)]
    if len(matching) == 1:
        return Recognised(CODECS[matching[0]], claims[matching[0]])
    if matching:
        formats = ", ".join(matching)
        raise ModelError("format.ambiguous", where=where, formats=formats, keys=excerpt(keys))
    nearest = max(known, key=lambda name: len(known[name]))
    rest = [key for key in keys if key not in known[nearest]]
    # What a configuration says counts before what names look like.
    for codec in CODECS.values():
        codec.explain(contents, rest)
    unread = unread_dialect(keys)
    if unread is not None:
        raise ModelError(unread[0], where=where, keys=excerpt(unread[1]))
    sort = sort_of_tensors(keys)
    if sort is not None:
        raise ModelError(sort, where=where, keys=excerpt(keys))
    if not known[nearest]:
        raise ModelError("format.unknown", where=where, keys=excerpt(keys), known=", ".join(CODECS))
    raise ModelError(
        "format.nearly",
        where=where,
        nearest=nearest,
        keys=excerpt(rest),
        scores=", ".join(f"{name} {len(own)}" for name, own in known.items() if own),
        total=len(keys),
    )


def codec_named(name: str) -> AbstractCodec:
    """Return a codec by name; an unknown one is a `UsageError`."""
    if name not in FORMATS:
        raise UsageError("format.no_such", name=name, known=", ".join(FORMATS))
    return FORMATS[name]
