"""The paints: colours by name, companion colours by role, backgrounds by role."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from loraloom.playground.raster import Colour, mix, rgb

Stops = tuple[Colour, Colour]
"""Colours at the top and at the bottom of a layer."""


@dataclass(frozen=True, kw_only=True)
class Palette:
    """All paints of one family of styles."""

    colours: Mapping[str, Colour]
    companions: Mapping[str, Colour]
    backgrounds: Mapping[str, Mapping[str, Stops]]
    shadow: Colour
    """What shaded paint drifts to."""


NATURAL_COLOURS: Mapping[str, Colour] = MappingProxyType(
    {
        "red": rgb(214, 44, 46),
        "orange": rgb(244, 130, 26),
        "yellow": rgb(250, 208, 44),
        "green": rgb(42, 150, 66),
        "teal": rgb(20, 166, 160),
        "blue": rgb(44, 96, 214),
        "purple": rgb(128, 66, 186),
        "pink": rgb(246, 128, 176),
        "white": rgb(244, 245, 248),
    }
)
NATURAL_COMPANIONS: Mapping[str, Colour] = MappingProxyType(
    {
        "dark": rgb(44, 42, 52),
        "white": rgb(250, 248, 242),
        "roof": rgb(86, 70, 74),
        "wood": rgb(124, 82, 50),
        "leaf": rgb(70, 140, 62),
        "glass": rgb(196, 226, 240),
        "frame": rgb(246, 240, 228),
        "metal": rgb(200, 204, 210),
        "cream": rgb(244, 226, 196),
        "shade": rgb(170, 142, 116),
        "inner": rgb(238, 150, 150),
        "sunny": rgb(252, 214, 70),
        "earthy": rgb(120, 70, 40),
        "cool": rgb(190, 202, 220),
    }
)
_NATURAL_BACKGROUNDS: Mapping[str, Mapping[str, Stops]] = MappingProxyType(
    {
        "meadow": {
            "sky": (rgb(116, 182, 236), rgb(212, 236, 250)),
            "cloud": (rgb(255, 255, 255), rgb(240, 246, 252)),
            "far": (rgb(142, 190, 122), rgb(120, 176, 100)),
            "ground": (rgb(164, 208, 96), rgb(118, 176, 70)),
        },
        "beach": {
            "sky": (rgb(146, 210, 240), rgb(226, 244, 248)),
            "cloud": (rgb(255, 255, 255), rgb(244, 250, 252)),
            "far": (rgb(40, 134, 188), rgb(104, 196, 214)),
            "foam": (rgb(246, 252, 252), rgb(246, 252, 252)),
            "ground": (rgb(240, 220, 168), rgb(222, 192, 134)),
        },
        "snow": {
            "sky": (rgb(158, 180, 208), rgb(206, 218, 232)),
            "fir": (rgb(62, 98, 92), rgb(48, 84, 80)),
            "far": (rgb(198, 212, 232), rgb(214, 226, 240)),
            "ground": (rgb(234, 241, 250), rgb(204, 217, 238)),
        },
        "night": {
            "sky": (rgb(14, 18, 50), rgb(44, 52, 104)),
            "spark": (rgb(255, 248, 214), rgb(255, 248, 214)),
            "far": (rgb(30, 40, 76), rgb(26, 34, 64)),
            "ground": (rgb(28, 48, 62), rgb(16, 28, 42)),
        },
        "sunset": {
            "sky": (rgb(104, 76, 150), rgb(255, 170, 112)),
            "sun": (rgb(255, 240, 170), rgb(255, 204, 110)),
            "cloud": (rgb(214, 116, 140), rgb(214, 116, 140)),
            "far": (rgb(138, 74, 124), rgb(112, 58, 110)),
            "ground": (rgb(92, 54, 100), rgb(54, 34, 72)),
        },
        "room": {
            "sky": (rgb(226, 200, 172), rgb(236, 214, 188)),
            "frame": (rgb(250, 244, 234), rgb(250, 244, 234)),
            "pane": (rgb(150, 200, 232), rgb(206, 230, 242)),
            "far": (rgb(250, 242, 230), rgb(250, 242, 230)),
            "ground": (rgb(178, 124, 80), rgb(148, 98, 60)),
            "plank": (rgb(134, 88, 54), rgb(118, 76, 46)),
        },
    }
)

NATURAL = Palette(
    colours=NATURAL_COLOURS,
    companions=NATURAL_COMPANIONS,
    backgrounds=_NATURAL_BACKGROUNDS,
    shadow=rgb(44, 34, 84),
)

_WHITE: Colour = (1.0, 1.0, 1.0)
_WARM = frozenset(("yellow", "orange"))


def paint_of(palette: Palette, role: str, colour: str) -> Colour:
    """The base paint of a part of a thing in the named colour."""
    body = palette.colours[colour]
    if role == "body":
        return body
    if role == "light_body":
        return mix(body, _WHITE, 0.4) if colour != "white" else palette.companions["cool"]
    if role == "dark_body":
        return mix(body, palette.shadow, 0.24)
    if role == "trim":
        return palette.companions["cool" if colour == "white" else "white"]
    if role == "centre":
        return palette.companions["earthy" if colour in _WARM else "sunny"]
    return palette.companions[role]


def shaded(palette: Palette, paint: Colour, depth: float) -> Colour:
    """The paint in shadow: darker and drifted to the palette's shadow."""
    if min(paint) > 0.85:
        # White has no pigment to darken: its shadow is a cool grey.
        return mix(paint, mix(palette.shadow, (0.55, 0.62, 0.75), 0.6), depth)
    dimmed = mix((0.0, 0.0, 0.0), paint, 1.0 - 0.5 * depth)
    return mix(dimmed, palette.shadow, 0.5 * depth)


def lit(paint: Colour, share: float) -> Colour:
    """The paint in full light."""
    return mix(paint, _WHITE, share)


def vivid(paint: Colour, boost: float, floor: float) -> Colour:
    """The paint with its saturation multiplied by `boost` and its largest channel at least `floor`.

    Transparent media, thinned over paper, need purer paint than an opaque picture shows.
    """
    scale = max(1.0, floor / max(*paint, 0.01))
    grey = sum(paint) / 3
    red, green, blue = (
        min(1.0, max(0.0, scale * (grey + boost * (channel - grey)))) for channel in paint
    )
    return red, green, blue
