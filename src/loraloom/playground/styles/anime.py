"""Cel shading: two hard tones, vivid skies, violet shadows, rim light, rays and sparkles."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from loraloom.playground.backdrops import backdrop
from loraloom.playground.figures import Figure, figure, ground_shadow, light, paint_figure
from loraloom.playground.palettes import NATURAL_COMPANIONS, Palette, Stops, paint_of
from loraloom.playground.raster import Colour, Plane, axis, blank, coverage, lay, mix, ramp, rgb
from loraloom.playground.scenes import Scene
from loraloom.playground.styles.plain import gradient

_WHITE: Colour = (1.0, 1.0, 1.0)
_BACKGROUNDS: Mapping[str, Mapping[str, Stops]] = MappingProxyType(
    {
        "meadow": {
            "sky": (rgb(0, 140, 255), rgb(206, 250, 255)),
            "cloud": (rgb(255, 255, 255), rgb(186, 218, 255)),
            "far": (rgb(76, 212, 164), rgb(46, 190, 140)),
            "ground": (rgb(176, 240, 72), rgb(96, 206, 60)),
        },
        "beach": {
            "sky": (rgb(0, 170, 255), rgb(214, 252, 255)),
            "cloud": (rgb(255, 255, 255), rgb(190, 226, 255)),
            "far": (rgb(0, 104, 214), rgb(24, 214, 226)),
            "foam": (_WHITE, _WHITE),
            "ground": (rgb(255, 236, 172), rgb(255, 206, 128)),
        },
        "snow": {
            "sky": (rgb(88, 150, 240), rgb(216, 234, 255)),
            "fir": (rgb(40, 112, 142), rgb(30, 84, 128)),
            "far": (rgb(172, 200, 250), rgb(190, 214, 255)),
            "ground": (rgb(240, 248, 255), rgb(188, 206, 252)),
        },
        "night": {
            "sky": (rgb(20, 8, 84), rgb(88, 52, 190)),
            "spark": (rgb(255, 250, 200), rgb(255, 250, 200)),
            "far": (rgb(52, 30, 132), rgb(40, 24, 110)),
            "ground": (rgb(20, 66, 110), rgb(10, 24, 70)),
        },
        "sunset": {
            "sky": (rgb(124, 40, 190), rgb(255, 150, 90)),
            "sun": (rgb(255, 250, 190), rgb(255, 226, 120)),
            "cloud": (rgb(255, 108, 160), rgb(255, 108, 160)),
            "far": (rgb(170, 44, 140), rgb(130, 30, 130)),
            "ground": (rgb(96, 28, 122), rgb(50, 14, 84)),
        },
        "room": {
            "sky": (rgb(255, 206, 178), rgb(255, 232, 206)),
            "frame": (_WHITE, _WHITE),
            "pane": (rgb(60, 180, 255), rgb(200, 246, 255)),
            "far": (rgb(255, 250, 240), rgb(255, 250, 240)),
            "ground": (rgb(232, 140, 84), rgb(196, 96, 70)),
            "plank": (rgb(170, 74, 70), rgb(150, 60, 66)),
        },
    }
)
_PALETTE = Palette(
    colours=MappingProxyType(
        {
            "red": rgb(240, 36, 56),
            "orange": rgb(255, 130, 10),
            "yellow": rgb(255, 220, 30),
            "green": rgb(24, 172, 76),
            "teal": rgb(0, 190, 180),
            "blue": rgb(36, 100, 255),
            "purple": rgb(146, 62, 226),
            "pink": rgb(255, 120, 186),
            "white": rgb(255, 255, 255),
        }
    ),
    companions=NATURAL_COMPANIONS,
    backgrounds=_BACKGROUNDS,
    shadow=rgb(84, 20, 140),
)
_LIGHT_SHADOW: Colour = rgb(170, 164, 232)


def _cel(paint: Colour) -> tuple[Colour, Colour]:
    """The shade tone and the outline of a paint."""
    if min(paint) > 0.7:
        return mix(paint, _LIGHT_SHADOW, 0.8), rgb(70, 60, 130)
    red, green, blue = paint
    shade = mix((0.72 * red, 0.64 * green, 0.74 * blue), _PALETTE.shadow, 0.14)
    return shade, mix((0.3 * red, 0.25 * green, 0.3 * blue), rgb(40, 10, 70), 0.5)


def _paint(window: Plane, placed: Figure) -> None:
    soft = placed.pixel * 2
    body = _cel(_PALETTE.colours[placed.thing.colour])
    lay(window, body[1], coverage(placed.silhouette - np.float32(placed.width(1.5)), placed.pixel))
    for piece in placed.pieces:
        part, distance, area = piece.part, piece.distance, window[piece.area]
        paint = paint_of(_PALETTE, part.role, placed.thing.colour)
        share = coverage(distance, placed.pixel)
        if not part.puff:
            lay(area, paint, share)
            continue
        shade, line = _cel(paint)
        rim = coverage(distance - np.float32(placed.width(1.0)), placed.pixel)
        lay(area, line, rim)
        lay(area, paint, share)
        glow = light(placed, piece, max(part.puff, 0.3))
        dark = ramp(glow, 0.42 + soft, 0.42 - soft)
        dark *= share
        lay(area, shade, dark)
        edge = ramp(distance, -placed.width(1.0), -placed.width(1.6))
        edge -= ramp(distance, -placed.width(2.8), -placed.width(3.4))
        edge *= ramp(glow, 0.05, -0.05)
        edge *= np.float32(0.75)
        lay(area, mix(paint, _WHITE, 0.75), edge)
        if part.role == "body":
            lay(area, _WHITE, ramp(glow, 0.985, 1.0 + soft) * share)


def _sparkles(scene: Scene, size: int) -> Plane:
    """Coverage of a few four-pointed glints: [size, size]."""
    generator = np.random.default_rng((scene.seed, 1))
    spots = generator.uniform(-0.05, 0.05, (4, 2))
    x, y = axis(size)[None, :], axis(size)[:, None]
    glint = np.zeros((size, size), np.float32)
    for (cx, cy), (dx, dy) in zip(
        ((0.1, 0.5), (0.9, 0.42), (0.84, 0.84), (0.12, 0.86)), spots, strict=True
    ):
        u, v = np.abs(x - np.float32(cx + dx)), np.abs(y - np.float32(cy + dy))
        glint = np.maximum(glint, ramp(np.sqrt(u) + np.sqrt(v), 0.25, 0.18))
    return glint


def _rays(size: int, place: float) -> Plane:
    """Strength of broad beams that fan out from above the frame: [size, size]."""
    x, y = axis(size)[None, :], axis(size)[:, None]
    angle = (x - np.float32(place)) / (y + np.float32(0.25))
    beam = ramp(np.sin(angle * np.float32(9.0)), -0.1, 0.4)
    return beam * np.clip(np.float32(1.0) - y * np.float32(1.35), 0, 1)


def _paint_backdrop(image: Plane, scene: Scene) -> None:
    size = image.shape[-1]
    rays = _rays(size, 0.15 + 0.7 * ((scene.seed % 97) / 96))
    for layer in backdrop(scene.background, scene.seed, size):
        top, bottom = _BACKGROUNDS[scene.background][layer.role]
        share = coverage(layer.distance, 1.0 / size)
        if layer.role == "cloud" and scene.background != "sunset":
            # A flat cloud: a white upper part over its shade.
            lay(image, bottom, share)
            lift = coverage(np.roll(layer.distance, -max(1, size // 48), axis=0), 1.0 / size)
            lay(image, top, lift * share)
            continue
        lay(image, gradient(layer, top, bottom, size), share)
        if layer.role == "sky":
            lay(image, _WHITE, rays * np.float32(0.1 if scene.background == "night" else 0.26))
        if layer.role == "ground":
            band = coverage(layer.distance + np.float32(0.05), 1.0 / size)
            lay(image, mix(bottom, _PALETTE.shadow, 0.16), band * np.float32(0.45))


def render(scene: Scene, size: int, supersample: int) -> Plane:
    """The scene as an image [3, size, size] in [0, 1]."""
    image = blank(size, _WHITE)
    _paint_backdrop(image, scene)
    for thing in scene.things:
        shadow = coverage(ground_shadow(thing, size), 1.0 / size)
        lay(image, _PALETTE.shadow, shadow * np.float32(0.55))
    for thing in scene.things:
        paint_figure(image, figure(thing, size, supersample), _paint)
    lay(image, (1.0, 0.99, 0.9), _sparkles(scene, size))
    return image
