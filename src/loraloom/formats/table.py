"""The table of codecs, and which of them a file is written in."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from loraloom.errors import ModelError, UsageError
from loraloom.formats.attention_processors import AttentionProcessors
from loraloom.formats.codec import AbstractCodec
from loraloom.formats.contents import Contents
from loraloom.formats.diffusers import Diffusers
from loraloom.formats.excerpt import excerpt
from loraloom.formats.kohya import Kohya
from loraloom.formats.peft import Peft

CODECS: Final[Mapping[str, AbstractCodec]] = MappingProxyType(
    {codec.name: codec for codec in (Kohya(), Diffusers(), AttentionProcessors(), Peft())}
)


def detect(contents: Contents) -> AbstractCodec:
    """Return the one codec that knows every tensor name of a file.

    None, or more than one, is a `ModelError` that names the nearest and what it does not know.
    """
    where, keys = contents.where, contents.shapes
    matching = [codec for codec in CODECS.values() if codec.matches(contents)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        names = ", ".join(codec.name for codec in matching)
        raise ModelError("format.ambiguous", where=where, formats=names, keys=excerpt(keys))
    known = {codec: codec.claims(contents) for codec in CODECS.values()}
    nearest = max(known, key=lambda codec: len(known[codec]))
    if not known[nearest]:
        raise ModelError("format.unknown", where=where, keys=excerpt(keys), known=", ".join(CODECS))
    rest = [key for key in keys if key not in known[nearest]]
    raise ModelError("format.nearly", where=where, nearest=nearest.name, keys=excerpt(rest))


def codec_named(name: str) -> AbstractCodec:
    """Return a codec by name; an unknown one is a `UsageError`."""
    if name not in CODECS:
        raise UsageError("format.no_such", name=name, known=", ".join(CODECS))
    return CODECS[name]
