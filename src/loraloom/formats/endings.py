"""How names of tensors end, and which parts of which kinds they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, final

from loraloom.formats.rearrangement import (
    AS_IS,
    INPUT_MAGNITUDE,
    MAGNITUDE,
    OFFSET,
    OUTPUT_MAGNITUDE,
    TRANSPOSED,
    TRIANGLE,
)

ALPHA: Final = "alpha"
"""The part that is no factor: the scale's numerator, a tensor of one number."""
ON_INPUT: Final = "on_input"
"""Another one: whether a scaling concerns the layer's inputs."""
NUMBERS: Final = frozenset({ALPHA, ON_INPUT})
"""The parts that are tensors of one number, whose value says how to understand the others."""


@final
@dataclass(frozen=True)
class Ending:
    """The end of a tensor's name, and the part of a delta that it is.

    `stem` tells kinds apart that have parts of the same name; "" goes with every kind.
    `parameter` is the parameter of the module that the delta is for. A `scaled` tensor takes part
    in the scale of the module's weight.
    """

    text: str
    part: str
    stem: str = ""
    parameter: str = "weight"
    rearrangement: str = AS_IS
    scaled: bool = False


@final
class Endings:
    """A table of endings. Of several for one part all are read, and the first is written."""

    def __init__(self, endings: Iterable[Ending]) -> None:
        self._endings = tuple(endings)
        self._by_text = {ending.text: ending for ending in self._endings}
        self._most_levels = max(text.count(".") + 1 for text in self._by_text)

    def __add__(self, other: Endings) -> Endings:
        return Endings((*self._endings, *other._endings))

    def split(self, key: str) -> tuple[str, Ending] | None:
        """Part a dotted name into a module's and the longest ending; None if it has none."""
        levels = key.split(".")
        for count in range(min(self._most_levels, len(levels) - 1), 0, -1):
            ending = self._by_text.get(".".join(levels[-count:]))
            if ending is not None:
                return ".".join(levels[:-count]), ending
        return None

    def named(self, text: str) -> Ending | None:
        """Return an ending by its text."""
        return self._by_text.get(text)

    def of(self, part: str, stems: tuple[str, ...], parameter: str = "weight") -> Ending | None:
        """Return the ending that is written for a part; None if there is none."""
        fitting = [
            ending
            for ending in self._endings
            if ending.part == part and ending.parameter == parameter
        ]
        return next(
            (ending for stem in (*stems, "") for ending in fitting if ending.stem == stem), None
        )


def _named(stem: str, start: str, names: str, end: str = "") -> tuple[Ending, ...]:
    return tuple(Ending(f"{start}{name}{end}", name, stem) for name in names.split())


_HADAMARD: Final = _named("loha", "hada_", "w1_a w1_b w2_a w2_b t1 t2")
_KRONECKER: Final = _named("lokr", "lokr_", "w1 w1_a w1_b w2 w2_a w2_b t2")
_PAIR: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "kohya": ("lora_down.weight", "lora_up.weight"),
        "peft": ("lora_A.weight", "lora_B.weight"),
        "peft in memory": ("lora_A.default.weight", "lora_B.default.weight"),
        "diffusers": ("lora.down.weight", "lora.up.weight"),
        "transformers": ("lora_linear_layer.down.weight", "lora_linear_layer.up.weight"),
        "mochi": ("lora_A", "lora_B"),
    }
)
"""What the two factors of a LoRA are called, and after whom."""


def _pair(whose: str) -> tuple[Ending, Ending]:
    down, up = _PAIR[whose]
    return Ending(down, "down", "lora"), Ending(up, "up", "lora")


_LYCORIS: Final = (
    Ending("lora_mid.weight", "mid", "lora"),
    Ending("alpha", ALPHA),
    Ending("dora_scale", "magnitude", rearrangement=MAGNITUDE),
    *_HADAMARD,
    *_KRONECKER,
    Ending("oft_blocks", "blocks", "oft"),
    Ending("rescale", "rescale", "oft"),
    *_named("glora", "", "a1 a2 b1 b2", ".weight"),
    Ending("diff", "diff", "full"),
    Ending("diff_b", "diff", "full", parameter="bias"),
)

FLAT: Final = Endings(
    (
        *_pair("kohya"),
        *_LYCORIS,
        Ending("w_norm", "diff", "full"),
        Ending("b_norm", "diff", "full", parameter="bias"),
        Ending("weight", "scale", "ia3"),
        Ending("on_input", ON_INPUT, "ia3"),
    )
)
"""kohya's and LyCORIS's. Source: KohakuBlueleaf/LyCORIS, lycoris/modules."""

COMFY: Final = Endings(
    (
        *_pair("kohya"),
        *_LYCORIS,
        Ending("w_norm", "diff", "full"),
        Ending("b_norm", "diff", "full", parameter="bias"),
        *_pair("peft"),
        *_pair("peft in memory"),
        *_pair("diffusers"),
        *_pair("transformers"),
        *_pair("mochi"),
        Ending("magnitude", "magnitude", rearrangement=OUTPUT_MAGNITUDE),
    )
)
"""ComfyUI's for dotted names. Source: comfyanonymous/ComfyUI, comfy/weight_adapter."""

_MAGNITUDES: Final = (
    Ending("lora_magnitude_vector", "magnitude", rearrangement=OUTPUT_MAGNITUDE),
    Ending("lora_magnitude_vector.weight", "magnitude", rearrangement=OUTPUT_MAGNITUDE),
)
_EMBEDDING: Final = (
    Ending("lora_embedding_A", "up", "lora", rearrangement=TRANSPOSED),
    Ending("lora_embedding_B", "down", "lora", rearrangement=TRANSPOSED),
)
_SCALED_BIAS: Final = Ending("lora_B.bias", "diff", "full", parameter="bias", scaled=True)

DOTTED: Final = Endings(
    (
        *_pair("peft"),
        *_MAGNITUDES,
        *_pair("peft in memory"),
        *_pair("diffusers"),
        *_pair("transformers"),
        *_pair("kohya"),
        *_pair("mochi"),
        _SCALED_BIAS,
        *_EMBEDDING,
        Ending("magnitude", "magnitude", rearrangement=OUTPUT_MAGNITUDE),
        *_LYCORIS,
    )
)
"""Those of files with dotted names, of diffusers and of all who make such files."""

PEFT: Final = Endings(
    (
        *_pair("peft"),
        _MAGNITUDES[0],
        *_pair("peft in memory"),
        Ending("lora_magnitude_vector.default.weight", "magnitude", rearrangement=OUTPUT_MAGNITUDE),
        _SCALED_BIAS,
        *_EMBEDDING,
        *_HADAMARD,
        *_KRONECKER,
        Ending("ia3_l", "scale", "ia3", rearrangement=OFFSET),
        Ending("oft_R.weight", "blocks", "oft", rearrangement=TRIANGLE),
        Ending("boft_R", "blocks", "boft"),
        Ending("boft_s", "rescale", "boft"),
    )
)
"""PEFT's. Source: huggingface/peft, utils/save_and_load.py and tuners/*/layer.py."""

PEFT_TABLE: Final = Endings(
    (
        Ending("lora_magnitude_vector", "magnitude", rearrangement=INPUT_MAGNITUDE),
        *_EMBEDDING,
    )
)
"""PEFT's for a layer that looks rows up, whose weight it sees the other way round."""
