"""What is said about a scene: true sentences in several forms."""

import re
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from loraloom.playground.scenes import (
    COLOURS,
    OBJECTS,
    Scene,
    Thing,
    position_word,
    size_word,
)

PLACES = MappingProxyType(
    {
        "meadow": "in a meadow",
        "beach": "on the beach",
        "snow": "in the snow",
        "night": "at night",
        "sunset": "at sunset",
        "room": "in a room",
    }
)
_SIDES = MappingProxyType(
    {"left": "on the left", "center": "in the center", "right": "on the right"}
)
_THING = re.compile(rf"\b({'|'.join(COLOURS)}) ({'|'.join(OBJECTS)})\b")
_PLACE = re.compile("|".join(PLACES.values()))
_PLAIN_SHARE = 0.45
_SINGLE_FORMS: tuple[str, ...] = (
    "{thing} {place}",
    "{thing} {side}, {place}",
    "{place}, {thing}",
    "there is {thing} {place}",
    "a picture of {thing} {place}",
    "an image of {thing} {side} {place}",
    "{thing} {side}",
    "{thing}",
)
_PAIR_FORMS: tuple[str, ...] = (
    "{left} and {right} {place}",
    "{left} to the left of {right} {place}",
    "{right} to the right of {left} {place}",
    "{left} on the left and {right} on the right, {place}",
    "there is {left} and {right} {place}",
    "a picture of {left} and {right} {place}",
)


def plain_prompt(object: str, colour: str, background: str) -> str:
    """The simplest caption of one thing: "a red ball in a meadow"."""
    return f"{_named((colour, object))} {PLACES[background]}"


def plain_caption(scene: Scene) -> str:
    """The simplest true sentence on a scene, things from left to right."""
    things = sorted(scene.things, key=lambda thing: thing.x)
    named = " and ".join(_named((thing.colour, thing.kind)) for thing in things)
    return f"{named} {PLACES[scene.background]}"


def things_named(text: str) -> frozenset[tuple[str, str]]:
    """Every object that a sentence names with its colour before it: (colour, object)."""
    return frozenset((found[1], found[2]) for found in _THING.finditer(text))


def place_named(text: str) -> str | None:
    """The background that a sentence names, None if it names none or several."""
    found = {match[0] for match in _PLACE.finditer(text)}
    names = [name for name, words in PLACES.items() if words in found]
    return names[0] if len(names) == 1 else None


def caption(scene: Scene, generator: np.random.Generator) -> str:
    """A true sentence on the scene; at least four in ten have the simplest form."""
    plain = generator.random() < _PLAIN_SHARE
    if len(scene.things) == 1:
        thing = scene.things[0]
        if plain:
            return plain_prompt(thing.kind, thing.colour, scene.background)
        form = _SINGLE_FORMS[int(generator.integers(len(_SINGLE_FORMS)))]
        return form.format(
            thing=_described(thing, generator),
            side=_SIDES[position_word(thing)],
            place=PLACES[scene.background],
        )
    left, right = sorted(scene.things, key=lambda thing: thing.x)
    form = _PAIR_FORMS[0 if plain else int(generator.integers(len(_PAIR_FORMS)))]
    return form.format(
        left=_named((left.colour, left.kind)),
        right=_named((right.colour, right.kind)),
        place=PLACES[scene.background],
    )


def _described(thing: Thing, generator: np.random.Generator) -> str:
    """The thing with its size named half of the time; a medium size is not worth a word."""
    size = size_word(thing)
    if size == "medium" or generator.random() < 0.5:
        return _named((thing.colour, thing.kind))
    return _named((size, thing.colour, thing.kind))


def _named(words: Sequence[str]) -> str:
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join((article, *words))
