"""Line charts and interval bars as inline SVG; colours and type are the page's style sheet's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

from markupsafe import Markup

from loraloom.evaluation.agreement import Share
from loraloom.evaluation.wording import number

_WIDTH: Final = 560
_HEIGHT: Final = 306
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 24, 14, 52
_STEPS: Final = (1, 2, 2.5, 5, 10)


@final
@dataclass(frozen=True, kw_only=True)
class Caption:
    """What a chart is called and shows, for those who cannot see it; `id` is unique on the page."""

    id: str
    title: str
    description: str


@final
@dataclass(frozen=True, kw_only=True)
class _Plane:
    """From data to the coordinates of the drawing, whose y runs down."""

    first: float
    last: float
    top: float

    def x(self, value: float) -> float:
        span = self.last - self.first
        share = (value - self.first) / span if span else 0.5
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = min(value / self.top, 1.0)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def loss_chart(losses: Sequence[float], caption: Caption, axis: str) -> Markup:
    """Draw the loss of each step, faint, under its smoothed course. `axis` names the steps.

    The scale ends a little above what 98 % of the losses reach; the few above touch its top.
    """
    usual = sorted(losses)[math.ceil(0.98 * len(losses)) - 1] or 1.0
    step = _round_step(1.1 * usual, 4)
    top = step * math.ceil(1.1 * usual / step)
    plane = _Plane(first=0, last=len(losses), top=top)
    levels = [(index * step, number(index * step)) for index in range(round(top / step) + 1)]
    stride = max(1.0, _round_step(len(losses), 5))
    places = [
        (index * stride, number(index * stride))
        for index in range(math.floor(len(losses) / stride) + 1)
    ]
    raw = _line(plane, enumerate(losses, start=1), "raw")
    smooth = _line(plane, enumerate(smoothed(losses), start=1), "series")
    return _figure(caption, Markup("").join((_axes(plane, places, levels, axis), raw, smooth)))


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return the exponential moving average over about a twentieth of the steps, bias-corrected.

    Source: arXiv 1412.6980, section 3, on the initialisation bias.
    """
    decay = 1 - 1 / max(5.0, len(losses) / 20)
    average, course = 0.0, list[float]()
    for step, loss in enumerate(losses, start=1):
        average = decay * average + (1 - decay) * loss
        course.append(average / (1 - decay**step))
    return course


def share_chart(points: Sequence[tuple[float, Share]], caption: Caption, axis: str) -> Markup:
    """Draw shares in [0, 1] over weights with their 95 % intervals. `axis` names the weights."""
    weights = [weight for weight, _ in points]
    plane = _Plane(first=min(weights), last=max(weights), top=1)
    levels = [(level / 100, f"{level}%") for level in (0, 25, 50, 75, 100)]
    bars = [
        Markup(
            '<path class="interval" d="M{x:.1f} {low:.1f}V{high:.1f}'
            'M{left:.1f} {low:.1f}H{right:.1f}M{left:.1f} {high:.1f}H{right:.1f}"/>'
            '<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
        ).format(
            x=plane.x(weight),
            y=plane.y(share.value),
            low=plane.y(share.low),
            high=plane.y(share.high),
            left=plane.x(weight) - 5,
            right=plane.x(weight) + 5,
        )
        for weight, share in points
    ]
    line = _line(plane, ((weight, share.value) for weight, share in points), "series")
    places = [(weight, number(weight)) for weight in weights]
    return _figure(caption, Markup("").join((_axes(plane, places, levels, axis), line, *bars)))


def share_bar(share: Share, caption: Caption) -> Markup:
    """Draw one share as a dot on a track from 0 to 1, its 95 % interval as a band."""
    drawing = Markup(
        '<line class="track" x1="0" x2="200" y1="8" y2="8"/>'
        '<line class="band" x1="{low:.1f}" x2="{high:.1f}" y1="8" y2="8"/>'
        '<circle class="dot" cx="{value:.1f}" cy="8" r="4.5"/>'
    ).format(low=200 * share.low, high=200 * share.high, value=200 * share.value)
    return _figure(caption, drawing, box="-6 0 212 16", kind="bar")


def _figure(
    caption: Caption, drawing: Markup, box: str = f"0 0 {_WIDTH} {_HEIGHT}", kind: str = "chart"
) -> Markup:
    return Markup(
        '<svg class="{kind}" viewBox="{box}" role="img" '
        'aria-labelledby="{id}-title {id}-description">'
        '<title id="{id}-title">{title}</title>'
        '<desc id="{id}-description">{description}</desc>{drawing}</svg>'
    ).format(
        kind=kind,
        box=box,
        id=caption.id,
        title=caption.title,
        description=caption.description,
        drawing=drawing,
    )


def _axes(
    plane: _Plane,
    places: Iterable[tuple[float, str]],
    levels: Iterable[tuple[float, str]],
    axis: str,
) -> Markup:
    rules = [
        Markup(
            '<line class="{kind}" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            '<text class="tick" x="{at}" y="{y:.1f}" dy=".35em" text-anchor="end">{text}</text>'
        ).format(
            kind="rule" if level else "base",
            left=_LEFT,
            right=_WIDTH - _RIGHT,
            y=plane.y(level),
            at=_LEFT - 10,
            text=text,
        )
        for level, text in levels
    ]
    marks = [
        Markup('<text class="tick" x="{x:.1f}" y="{y}" text-anchor="middle">{text}</text>').format(
            x=plane.x(place), y=_HEIGHT - _BOTTOM + 24, text=text
        )
        for place, text in places
    ]
    name = Markup('<text class="axis" x="{x}" y="{y}" text-anchor="end">{text}</text>').format(
        x=_WIDTH - _RIGHT, y=_HEIGHT - 6, text=axis
    )
    return Markup("").join((*rules, *marks, name))


def _line(plane: _Plane, points: Iterable[tuple[float, float]], kind: str) -> Markup:
    course = " ".join(f"{plane.x(x):.1f},{plane.y(y):.1f}" for x, y in points)
    return Markup('<polyline class="{}" points="{}"/>').format(kind, course)


def _round_step(span: float, steps: int) -> float:
    """Return 1, 2, 2.5 or 5 times a power of ten, of which at most `steps` cover a span."""
    least = span / steps
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in _STEPS if step * power >= least * (1 - 1e-9))
