"""Samplers by the names that web UIs give them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, final

from loraloom.errors import UsageError

AUTOMATIC: Final = "Automatic"

SCHEDULES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        AUTOMATIC: MappingProxyType({}),
        "Uniform": MappingProxyType({"timestep_spacing": "linspace"}),
        "Karras": MappingProxyType({"use_karras_sigmas": True}),
        "Exponential": MappingProxyType({"use_exponential_sigmas": True}),
        "SGM Uniform": MappingProxyType({"timestep_spacing": "trailing"}),
    }
)
"""How the steps are spread over the noise levels -> the scheduler's settings for it.

`Automatic` leaves it to the scheduler. Source: diffusers, docs/source/en/api/schedulers/overview.
"""


@final
@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A sampler: its scheduler class in diffusers with fixed arguments, and its other names.

    `stochastic` ones draw new noise at every step, from one generator per picture.
    """

    label: str
    scheduler: str
    aliases: tuple[str, ...]
    stochastic: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


_TABLE: Final = (
    Sampler(label="DPM++ 2M", scheduler="DPMSolverMultistepScheduler", aliases=("k_dpmpp_2m",)),
    Sampler(
        label="DPM++ 2M SDE",
        scheduler="DPMSolverMultistepScheduler",
        aliases=("k_dpmpp_2m_sde",),
        stochastic=True,
        settings=MappingProxyType({"algorithm_type": "sde-dpmsolver++"}),
    ),
    Sampler(label="Euler", scheduler="EulerDiscreteScheduler", aliases=("k_euler",)),
    Sampler(
        label="Euler a",
        scheduler="EulerAncestralDiscreteScheduler",
        aliases=("k_euler_a", "k_euler_ancestral", "euler_ancestral"),
        stochastic=True,
    ),
    Sampler(label="Heun", scheduler="HeunDiscreteScheduler", aliases=("k_heun",)),
    Sampler(label="DDIM", scheduler="DDIMScheduler", aliases=()),
    Sampler(label="UniPC", scheduler="UniPCMultistepScheduler", aliases=("uni_pc",)),
    Sampler(label="PLMS", scheduler="PNDMScheduler", aliases=("PNDM",)),
    Sampler(label="LCM", scheduler="LCMScheduler", aliases=(), stochastic=True),
)

SAMPLERS: Final[Mapping[str, Sampler]] = MappingProxyType({row.label: row for row in _TABLE})
"""Label -> sampler, the usual one first."""


def find_sampler(name: str, schedule: str = AUTOMATIC) -> tuple[Sampler, str]:
    """Return a sampler and the label of its schedule.

    A schedule that ends the sampler's name ("DPM++ 2M Karras") wins over the other argument.
    Upper and lower case, class names of diffusers and k-diffusion's names are understood; an
    unknown name is a `UsageError` with the nearest ones.
    """
    schedules = {_plain(label): label for label in SCHEDULES}
    if _plain(schedule) not in schedules:
        raise UsageError("sampler.unknown_schedule", name=schedule, known=", ".join(SCHEDULES))
    chosen = schedules[_plain(schedule)]
    known = {
        _plain(spelling): row
        for row in reversed(_TABLE)
        for spelling in (row.label, row.scheduler, *row.aliases)
    }
    plain = _plain(name)
    if plain in known:
        return known[plain], chosen
    for ending, label in schedules.items():
        start = plain.removesuffix(ending)
        if start != plain and start in known:
            return known[start], label
    near = difflib.get_close_matches(name, SAMPLERS, n=3, cutoff=0.4)
    raise UsageError("sampler.unknown", name=name, near=", ".join(near or SAMPLERS))


def _plain(name: str) -> str:
    return "".join(name.lower().replace("_", " ").split())
