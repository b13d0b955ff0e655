"""Hypothesis strategies of adapters: any kinds, forms, sizes, ranks, alphas and number types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from hypothesis import strategies as st

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.site import Site

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Size:
    """A weight's rows, columns and kernel (none of a linear layer), and the rank to use."""

    rows: int
    columns: int
    kernel: tuple[int, ...]
    rank: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's shape."""
        return (self.rows, self.columns, *self.kernel)


def _lora(size: Size) -> Shapes:
    ones = tuple(1 for _ in size.kernel)
    return {
        "down": (size.rank, size.columns, *size.kernel),
        "up": (size.rows, size.rank, *ones),
    }


def _tucker(size: Size) -> Shapes:
    rank, ones = size.rank, tuple(1 for _ in size.kernel)
    return {
        "down": (rank, size.columns, *ones),
        "mid": (rank, rank, *size.kernel),
        "up": (size.rows, rank, *ones),
    }


def _loha(size: Size) -> Shapes:
    rows, rank, flat = size.rows, size.rank, size.columns
    return {f"w{n}_{p}": (rows, rank) if p == "a" else (rank, flat) for n in "12" for p in "ab"}


def _loha_tucker(size: Size) -> Shapes:
    rank = size.rank
    return {
        **{f"w{n}_a": (rank, size.rows) for n in "12"},
        **{f"w{n}_b": (rank, size.columns) for n in "12"},
        **{f"t{n}": (rank, rank, *size.kernel) for n in "12"},
    }


def _lokr(size: Size) -> Shapes:
    return {"w1": (2, 2), "w2": (size.rows // 2, size.columns // 2, *size.kernel)}


def _lokr_divided(size: Size) -> Shapes:
    rank = 1
    return {
        "w1": (2, 2),
        "w2_a": (size.rows // 2, rank),
        "w2_b": (rank, size.columns // 2),
    }


def _lokr_both(size: Size) -> Shapes:
    divided = _lokr_divided(size)
    return {"w1_a": (2, 1), "w1_b": (1, 2), "w2_a": divided["w2_a"], "w2_b": divided["w2_b"]}


def _rows(size: Size) -> Shapes:
    return {"magnitude": (size.rows,)}


def _columns(size: Size) -> Shapes:
    return {"magnitude": (size.columns,)}


@dataclass(frozen=True, kw_only=True)
class Form:
    """One form of one kind: the shapes of its parts, its settings, and the weights it suits."""

    kind: str
    shapes: Callable[[Size], Shapes]
    settings: Mapping[str, Any]
    linear: bool = True
    kernels: bool = True

    def suits(self, size: Size) -> bool:
        """Whether the form exists for a weight."""
        return self.kernels if size.kernel else self.linear

    def delta(
        self, size: Size, alpha: float | None, dtype: torch.dtype, seed: int
    ) -> AbstractDelta:
        """Return one with random numbers, always the same for a seed."""
        generator = torch.Generator().manual_seed(seed)
        parts = {
            name: (torch.randn(shape, generator=generator) / 3 + (name == "magnitude")).to(dtype)
            for name, shape in self.shapes(size).items()
        }
        return KINDS[self.kind].from_parts(parts, alpha, self.settings)


def _form(kind: str, shapes: Callable[[Size], Shapes], **more: Any) -> Form:
    settings = {key: more.pop(key) for key in ("axis", "on_input") if key in more}
    return Form(kind=kind, shapes=shapes, settings=settings, **more)


def _with(one: Callable[[Size], Shapes], other: Callable[[Size], Shapes]) -> Any:
    return lambda size: {**one(size), **other(size)}


FORMS: Mapping[str, Form] = {
    "lora": _form("lora", _lora),
    "lora tucker": _form("lora", _tucker, linear=False),
    "loha": _form("loha", _loha, kernels=False),
    "loha tucker": _form("loha", _loha_tucker, linear=False),
    "lokr": _form("lokr", _lokr),
    "lokr divided": _form("lokr", _lokr_divided, kernels=False),
    "lokr both divided": _form("lokr", _lokr_both, kernels=False),
    "dora": _form("dora", _with(_lora, _rows), axis="output"),
    "dora of inputs": _form("dora", _with(_lora, _columns), axis="input"),
    "doha": _form("doha", _with(_loha, _rows), kernels=False, axis="output"),
    "dokr of inputs": _form("dokr", _with(_lokr, _columns), kernels=False, axis="input"),
    "full": _form("full", lambda size: {"diff": size.shape}),
    "ia3": _form("ia3", lambda size: {"scale": (size.rows,)}, kernels=False),
    "ia3 of inputs": _form(
        "ia3", lambda size: {"scale": (size.columns,)}, kernels=False, on_input=True
    ),
    "oft": _form("oft", lambda size: {"blocks": (size.rows // 2, 2, 2)}),
    "boft": _form("boft", lambda size: {"blocks": (2, size.rows // 2, 2, 2)}),
    "glora": _form(
        "glora",
        lambda size: {
            "a1": (size.columns, size.rank),
            "a2": (size.rank, size.columns),
            "b1": (size.rows, size.rank),
            "b2": (size.rank, size.columns),
        },
        kernels=False,
    ),
}
FLAT = frozenset(FORMS)
DOTTED = FLAT - {"ia3", "ia3 of inputs"}
EXPRESSIBLE: Mapping[str, tuple[frozenset[str], ...]] = {
    "kohya": (FLAT,),
    "lycoris": (FLAT,),
    "comfyui": (DOTTED,),
    "onetrainer": (DOTTED,),
    # A network has one kind in the formats with a configuration.
    "diffusers": (frozenset({"lora"}), frozenset({"dora"})),
    "peft": tuple(map(frozenset, (("lora",), ("dora",), ("lokr",), ("loha", "loha tucker")))),
    "native": (FLAT,),
}
"""Format -> the sets of forms of which it can hold any beside each other."""

_BLOCK = "attentions.0.transformer_blocks.0"
_CLIP = "text_model.encoder.layers"
PLACES: Mapping[str, tuple[tuple[Site, ...], tuple[Site, ...]]] = {
    family: (
        tuple(Site(part, f"{module}.weight") for part, module in linear),
        tuple(Site("unet", f"{module}.weight") for module in convolutions),
    )
    for family, linear, convolutions in (
        *(
            (
                family,
                (
                    ("unet", f"down_blocks.1.{_BLOCK}.attn1.to_q"),
                    ("unet", f"mid_block.{_BLOCK}.ff.net.0.proj"),
                    ("unet", f"up_blocks.1.{_BLOCK}.attn2.to_out.0"),
                    ("text_encoder", f"{_CLIP}.3.self_attn.out_proj"),
                    ("text_encoder", f"{_CLIP}.0.mlp.fc1"),
                ),
                ("conv_in", "down_blocks.0.resnets.1.conv1", "up_blocks.0.upsamplers.0.conv"),
            )
            for family in ("sd1", "sd2", "sdxl")
        ),
        (
            "flux",
            (
                ("transformer", "transformer_blocks.2.ff_context.net.2"),
                ("transformer", "single_transformer_blocks.30.proj_out"),
                ("transformer", "time_text_embed.guidance_embedder.linear_1"),
                ("text_encoder", f"{_CLIP}.3.self_attn.out_proj"),
                ("text_encoder_2", "encoder.block.1.layer.0.SelfAttention.q"),
            ),
            (),
        ),
        (
            "sd3",
            (
                ("transformer", "transformer_blocks.2.ff.net.2"),
                ("transformer", "transformer_blocks.2.attn.to_out.0"),
                ("text_encoder_2", f"{_CLIP}.0.mlp.fc1"),
                ("text_encoder_3", "encoder.block.1.layer.0.SelfAttention.q"),
            ),
            (),
        ),
    )
}
"""Family -> weights of linear layers and of convolutions, each a weight of its own in a file."""

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
ALPHAS = st.none() | st.floats(-8, 8, width=32, allow_subnormal=False).filter(bool)
ROWS, COLUMNS, RANKS = st.sampled_from((4, 8, 12)), st.sampled_from((6, 8, 10)), st.integers(1, 3)
KERNELS = ((3, 3), (1, 3), (1, 1))


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A delta that is still to be made."""

    form: Form
    size: Size
    alpha: float | None
    dtype: torch.dtype
    seed: int

    def resized(self, size: Size) -> Planned:
        """Return the same for the rows, columns and kernel of another weight."""
        return replace(self, size=replace(size, rank=self.size.rank))

    def made(self) -> AbstractDelta:
        """Return it."""
        return self.form.delta(self.size, self.alpha, self.dtype, self.seed)


@st.composite
def planned(
    draw: st.DrawFn, forms: frozenset[str], kernels: tuple[tuple[int, ...], ...] = ((), *KERNELS)
) -> Planned:
    """Draw one of the forms for a weight of a size that it suits."""
    size = Size(
        rows=draw(ROWS),
        columns=draw(COLUMNS),
        kernel=draw(st.sampled_from(kernels)),
        rank=draw(RANKS),
    )
    suiting = sorted(each for each in forms if FORMS[each].suits(size))
    return Planned(
        form=FORMS[draw(st.sampled_from(suiting))],
        size=size,
        alpha=draw(ALPHAS),
        dtype=draw(st.sampled_from(DTYPES)),
        seed=draw(st.integers(0, 99)),
    )


@st.composite
def _places(draw: st.DrawFn, forms: frozenset[str]) -> tuple[str, dict[Site, Planned]]:
    family = draw(st.sampled_from(sorted(PLACES)))
    linear, convolutions = PLACES[family]
    places = st.lists(st.sampled_from(linear + convolutions), min_size=1, max_size=5, unique=True)
    return family, {
        place: draw(planned(forms, ((),) if place in linear else KERNELS)) for place in draw(places)
    }


def any_adapter(data: st.DataObject, *formats: str) -> Adapter:
    """Draw an adapter of one family that all these formats can express.

    Each weight has a form, a size, an alpha and a number type of its own.
    """
    choices = product(*(EXPRESSIBLE[format] for format in formats))
    common = [forms for each in choices if (forms := frozenset.intersection(*each))]
    forms = data.draw(st.sampled_from(common))
    family, places = data.draw(_places(forms))
    triggers = data.draw(st.sampled_from(((), ("sks cat",), ("sks cat", "고양이"))))
    return Adapter(
        deltas={place: each.made() for place, each in places.items()},
        card=Card(family=family, name="cat", triggers=triggers),
    )
