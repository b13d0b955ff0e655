"""What a base model asks of pictures and prompts, known before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from loraloom.adapters.site import Site
from loraloom.data.bucket import Bucketing
from loraloom.data.goals import Goal
from loraloom.data.options import DataOptions
from loraloom.data.survey import Aim
from loraloom.data.tokens import LIMIT, TokenCounter, estimated_spans, token_counter
from loraloom.errors import UsageError
from loraloom.jobs.base_check import check_base
from loraloom.jobs.seeing import masking_of, rules_of, with_settings
from loraloom.models.geometry import Geometry
from loraloom.models.prompt_window import PromptWindow, read_prompt_window

RESOLUTION: Final = 512
"""The side of Stable Diffusion 1.x's pictures, for where no model says its own."""

STEP: Final = 64
"""What the sides of its pictures are multiples of."""


@final
@dataclass(frozen=True, kw_only=True)
class AimedBase:
    """A base by the name that it was given; one that tells nothing yet is taken for SD 1.x.

    That is no base, a checkpoint file, or a repository of the hub that is not on this machine.
    `shapes` are those of its networks' weights, {} where only loading tells.
    """

    name: str | None = None
    geometry: Geometry | None = None
    window: PromptWindow | None = None
    shapes: Mapping[Site, Sequence[int]] = field(default_factory=dict[Site, Sequence[int]])

    @property
    def resolution(self) -> int:
        """The side of the pictures that it is made for."""
        return self.geometry.resolution if self.geometry else RESOLUTION

    @property
    def step(self) -> int:
        """What the sides of its pictures are multiples of."""
        return self.geometry.resolution_step if self.geometry else STEP

    def tokens(self, *, weighted: bool = False) -> TokenCounter:
        """Return what counts the tokens of a prompt; without a window it estimates them."""
        spell = self.window.spans if self.window else estimated_spans
        return token_counter(spell, self.token_limit, weighted=weighted)

    @property
    def token_limit(self) -> int:
        """How many tokens of a prompt it sees."""
        return self.window.limit if self.window else LIMIT


def aimed_base(name: str | None) -> AimedBase:
    """Return what is known of a base without loading it; one that is not there is a ModelError."""
    if name is None:
        return AimedBase()
    checked = check_base(name)
    base = checked.found
    if base.path is None or base.geometry is None:
        return AimedBase(name=name)
    return AimedBase(
        name=name,
        geometry=base.geometry,
        window=read_prompt_window(base.path),
        shapes=checked.shapes,
    )


def aim_of(
    data: DataOptions, base: AimedBase | None, *, goal: Goal | None = None, weighted: bool = False
) -> Aim:
    """Return what pictures are to be trained for; without a base, sizes may not be known.

    `weighted` takes "(a:1.2)" in captions for a weight.
    """
    side = base.resolution if base else None
    known = base or AimedBase()
    return Aim(
        trigger=(data.trigger or "").strip(),
        resolution=data.resolution or ((side, side) if side else None),
        goal=goal,
        most_enlarged=data.max_enlargement,
        rules=lambda source: rules_of(with_settings(data, source.settings)),
        masking=lambda source: masking_of(with_settings(data, source.settings)),
        tokens=known.tokens(weighted=weighted),
        weighted=weighted,
        token_limit=known.token_limit,
        bucketing=bucketing_of(data, base) if base else None,
    )


def bucketing_of(data: DataOptions, base: AimedBase) -> Bucketing:
    """Return at which sizes pictures are trained on a base.

    Without bounds of their own the sides go from half of the resolution's to twice, which are
    kohya's defaults at the 512 pixels that they were made for. A step that the base cannot take, or
    bounds that leave the resolution out, are a UsageError.
    """
    resolution = data.resolution or (base.resolution, base.resolution)
    step = data.bucket_reso_steps or base.step
    if step % base.step and data.enable_bucket:
        raise UsageError("bucket.step", step=step, needed=base.step)
    return Bucketing(
        resolution=resolution,
        step=step,
        smallest=data.min_bucket_reso or min(resolution) // 2,
        largest=data.max_bucket_reso or max(resolution) * 2,
        by_shape=data.enable_bucket,
        no_upscale=data.bucket_no_upscale,
    )
