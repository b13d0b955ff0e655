"""PEFT's configurations: what each type of adapter keeps outside of its tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, final

from pydantic import ValidationError

from loraloom.adapters.site import Site
from loraloom.adapters.span import Place
from loraloom.errors import ModelError
from loraloom.formats.codec import Told
from loraloom.formats.outline import Layer
from loraloom.formats.peft_ia3 import ia3_fields, ia3_told
from loraloom.formats.peft_kronecker import lokr_fields, lokr_is_made_so
from loraloom.formats.peft_refusals import is_scrambled
from loraloom.formats.peft_rotations import (
    butterfly_fields,
    butterfly_told,
    rotation_fields,
    rotation_told,
    turns_as_peft,
)
from loraloom.formats.peft_scales import (
    loha_fields,
    loha_told,
    lokr_told,
    lora_fields,
    lora_told,
)
from loraloom.formats.peft_spelling import has_peft_axis

Layers = Mapping[Place, Layer]

CHANGED_BASES: Final = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""How initialisations begin that change the base as well: the factors are relative to that one."""

_SHARED: Final[Mapping[str, tuple[Any, ...]]] = MappingProxyType(
    {
        "bias": ("none",),
        "modules_to_save": (None, [], ()),
        "trainable_token_indices": (None,),
        "target_parameters": (None, []),
    }
)
"""Options of all types under which a file holds more than the update of weights, and the values
that leave it at that."""


@final
@dataclass(frozen=True, kw_only=True)
class PeftType:
    """One of PEFT's types of adapter, and which of our kinds it makes.

    `plain` are options that may change the formula, and the values under which it is ours.
    `fields` and `scales` make a configuration of deltas; `told` is the inverse. `fits` is whether
    one delta is as this type makes it, `alike` whether several can be told in one
    configuration.
    """

    name: str
    kinds: frozenset[str]
    plain: Mapping[str, tuple[Any, ...]]
    told: Callable[[Mapping[str, Any], Layers, str], dict[Place, Told]]
    fields: Callable[[Layers], dict[str, Any]]
    fits: Callable[[Place, Layer], bool] = lambda place, layer: True
    alike: Callable[[Layer, Layers], bool] = lambda layer, layers: True

    def holds(self, place: Place, layer: Layer, layers: Layers) -> bool:
        """Whether one configuration can tell a delta beside the others of its network."""
        if layer.kind not in self.kinds or not self.fits(place, layer):
            return False
        own = {at: each for at, each in layers.items() if each.kind in self.kinds}
        return self.alike(layer, own)


def peft_type(config: Mapping[str, Any], where: str) -> PeftType:
    """Return the type of a configuration; a `ModelError` if it is not one of those read here."""
    name = config.get("peft_type") or "LORA"
    if not isinstance(name, str) or name not in PEFT_TYPES:
        raise ModelError("format.peft_type", where=where, name=name, known=", ".join(PEFT_TYPES))
    return PEFT_TYPES[name]


def read_told(config: Mapping[str, Any], layers: Layers, where: str) -> dict[Place, Told]:
    """Return what a configuration tells of one network's deltas; `where` is for messages.

    Options that mean something else than the deltas' formula are a `ModelError`.
    """
    own = peft_type(config, where)
    for option, allowed in (_SHARED | own.plain).items():
        if option in config and config[option] not in allowed:
            value = config[option]
            raise ModelError("format.peft_option", where=where, option=option, value=value)
    for place, layer in layers.items():
        if layer.kind not in own.kinds and layer.kind != "full":
            details = {"site": place, "told": own.name, "found": layer.kind}
            raise ModelError("format.peft_kind", where=where, **details)
    try:
        return own.told(config, layers, where)
    except ValidationError as error:
        raise ModelError("format.config", where=where) from error


def is_lora_bias(place: Place, layer: Layer, layers: Layers) -> bool:
    """Whether a change of a bias can be told as that of a LoRA's second factor.

    PEFT has none such beside a magnitude, and none of embeddings.
    """
    site = place.sites[0]
    if layer.kind != "full" or site.parameter != "bias":
        return False
    owner = layers.get(Site(site.part, f"{site.module}.weight"))
    return owner is not None and owner.kind == "lora" and owner.scale != 0


def changed_base(config: Mapping[str, Any]) -> str:
    """Return the initialisation that changed the base under an adapter; "" if none did."""
    initialisation = config.get("init_lora_weights")
    if isinstance(initialisation, str) and initialisation.lower().startswith(CHANGED_BASES):
        return initialisation
    return ""


def write_fields(layers: Layers) -> dict[str, Any]:
    """Return the fields of a configuration for the deltas of one network, all of one type."""
    own = type_of(layers)
    assert own is not None
    return {"peft_type": own.name} | own.fields(layers)


def type_of(layers: Layers) -> PeftType | None:
    """Return the type that has most of the deltas, None if no type has any."""
    counts = {
        name: sum(
            layer.kind in own.kinds and own.fits(place, layer) for place, layer in layers.items()
        )
        for name, own in PEFT_TYPES.items()
    }
    best = max(counts, key=lambda name: counts[name])
    return PEFT_TYPES[best] if counts[best] else None


def _usual(layers: Layers, trait: Callable[[Layer], object]) -> object:
    """Return what most deltas are like in one respect."""
    return Counter(trait(layer) for layer in layers.values()).most_common(1)[0][0]


def _turn(layer: Layer) -> tuple[object, ...]:
    """Return what PEFT tells of all rotations at once."""
    stages = layer.shapes["blocks"][:-3]
    return (*stages, layer.shapes["blocks"][-1], *sorted(layer.settings.items()))


def _turns_alike(layer: Layer, layers: Layers) -> bool:
    return _turn(layer) == _usual(layers, _turn)


PEFT_TYPES: Final[Mapping[str, PeftType]] = MappingProxyType(
    {
        own.name: own
        for own in (
            PeftType(
                name="LORA",
                kinds=frozenset({"lora", "dora"}),
                plain={
                    "fan_in_fan_out": (False, True),
                    "use_qalora": (False,),
                    "use_bdlora": (None,),
                    "alora_invocation_tokens": (None,),
                    "arrow_config": (None,),
                    "kasa_config": (None,),
                    "layer_replication": (None,),
                    "monteclora_config": (None,),
                    "velora_config": (None,),
                },
                told=lora_told,
                fields=lora_fields,
                fits=has_peft_axis,
                alike=lambda layer, layers: layer.kind == _usual(layers, lambda each: each.kind),
            ),
            PeftType(
                name="LOHA",
                kinds=frozenset({"loha"}),
                plain={},
                told=loha_told,
                fields=loha_fields,
            ),
            PeftType(
                name="LOKR",
                kinds=frozenset({"lokr"}),
                plain={},
                told=lokr_told,
                fields=lokr_fields,
                fits=lambda place, layer: not is_scrambled(layer),
                alike=lokr_is_made_so,
            ),
            PeftType(
                name="IA3",
                kinds=frozenset({"ia3"}),
                plain={"fan_in_fan_out": (False, True)},
                told=ia3_told,
                fields=ia3_fields,
            ),
            PeftType(
                name="OFT",
                kinds=frozenset({"oft"}),
                plain={"fan_in_fan_out": (False,)},
                told=rotation_told,
                fields=rotation_fields,
                fits=lambda place, layer: (
                    turns_as_peft(layer, skew=1.0) and "rescale" not in layer.shapes
                ),
                alike=_turns_alike,
            ),
            PeftType(
                name="BOFT",
                kinds=frozenset({"boft"}),
                plain={"fan_in_fan_out": (False,)},
                told=butterfly_told,
                fields=butterfly_fields,
                fits=lambda place, layer: turns_as_peft(layer, skew=0.5, cayley="transposed"),
                alike=_turns_alike,
            ),
        )
    }
)
"""Source: huggingface/peft, tuners/*/config.py and layer.py."""
