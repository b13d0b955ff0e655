"""Where an adapter acts: the canonical name of one parameter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

PARTS: Final = (
    "unet",
    "transformer",
    "text_encoder",
    "text_encoder_2",
    "text_encoder_3",
    "model",
)
"""The networks that adapters are for, by their names in a diffusers pipeline; `model` alone
otherwise."""


@dataclass(frozen=True, order=True)
class Site:
    """One parameter of one network: `unet.mid_block.attentions.0.proj_in.weight`.

    `part` is the network's name in a diffusers pipeline (`unet`, `text_encoder`, ...), `path` the
    parameter's dotted path inside it. CLIP paths always begin with `text_model.`, whichever
    version of transformers holds the live network. What acts at a site has the shape of that very
    parameter, but in GPT-2's `Conv1D` layers, which keep it (in, out): (out, in) as in all other
    linear ones, so that no file needs to know which layers a model is made of.
    """

    part: str
    path: str

    @classmethod
    def parse(cls, name: str) -> Site:
        """Split `part.path` at the first dot."""
        part, _, path = name.partition(".")
        return cls(part, path)

    def __str__(self) -> str:
        return f"{self.part}.{self.path}"

    @property
    def sites(self) -> tuple[Site, ...]:
        """The site itself: what a `Span` has several of."""
        return (self,)

    @property
    def module(self) -> str:
        """The dotted path of the module that owns the parameter."""
        return self.path.rpartition(".")[0]

    @property
    def parameter(self) -> str:
        """The parameter's own name: `weight` or `bias`, seldom another."""
        return self.path.rpartition(".")[2]

    def live_modules(self) -> Iterator[str]:
        """Yield the module's possible spellings in a live network, the canonical one first.

        transformers 5 dropped the `text_model.` level of `CLIPTextModel` but kept it in
        `CLIPTextModelWithProjection`; files of every trainer have it.
        """
        yield self.module
        if self.part.startswith("text_encoder") and self.module.startswith("text_model."):
            yield self.module.removeprefix("text_model.")


def canonical_path(part: str, live_path: str) -> str:
    """Return the canonical path of a parameter that a live network calls `live_path`.

    The inverse of `Site.live_modules` for CLIP text encoders, the identity elsewhere.
    """
    clip_roots = ("encoder.layers.", "embeddings.", "final_layer_norm.")
    if part.startswith("text_encoder") and live_path.startswith(clip_roots):
        return f"text_model.{live_path}"
    return live_path
