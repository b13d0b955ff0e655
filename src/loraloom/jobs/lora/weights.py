"""What is written about weights, blocks and ranks on a command line, as numbers."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from loraloom.composing.truncation import RULES, Truncation
from loraloom.composing.weights import Weight
from loraloom.errors import UsageError
from loraloom.jobs.lora.block_vectors import factors_of, is_vector

_AUTO: Final = "auto"
_SVD: Final = "svd"


def weighted(words: Sequence[str]) -> dict[str, tuple[Path, float]]:
    """Return adapters by name, each with its path and its weight, from words like FILE:0.7.

    The name is the file's; of several equal ones the later are numbered.
    """
    found: dict[str, tuple[Path, float]] = {}
    for word in words:
        path, weight = _parted(word)
        found[free_name(path, found)] = (path, weight)
    return found


def free_name(path: Path, taken: Mapping[str, object]) -> str:
    """Return the name of a file or folder, with a number if another has that name already."""
    stem = os.path.basename(os.path.realpath(path)).removesuffix(".safetensors")
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def with_blocks(
    adapters: Mapping[str, tuple[Path, float]],
    blocks: Sequence[str],
    has: Mapping[str, Sequence[str]],
) -> dict[str, Weight]:
    """Return the weights of adapters by block, from words like NAME:unet.down_blocks=0.5.

    A list of numbers (NAME:1,0,0.5,...) is for all blocks in the order that web UIs have.

    A block named for all goes to those that have it, by the names of the sites in `has`; one that
    none has goes to all, who will refuse it. A word that cannot be read is a `UsageError`.
    """
    factors: dict[str, dict[str, float]] = {name: {} for name in adapters}
    for word in blocks:
        if is_vector(word):
            owner, numbers = _vector(word, adapters)
            for name in (owner,) if owner else tuple(adapters):
                factors[name] |= factors_of(numbers, has[name])
            continue
        owner, prefix, factor = _block(word, adapters)
        having = [name for name in adapters if any(_below(site, prefix) for site in has[name])]
        for name in (owner,) if owner else having or tuple(adapters):
            factors[name][prefix] = factor
    return {
        name: {"": weight, **{prefix: weight * each for prefix, each in factors[name].items()}}
        if factors[name]
        else weight
        for name, (_, weight) in adapters.items()
    }


def truncation(word: str, most: int | None = None) -> Truncation:
    """Return a rule for ranks from a word: 16, auto:0.99 (a share of the energy), sv_ratio:8."""
    rule, _, number = word.rpartition(":")
    known = {"": "rank", _AUTO: "energy", **{name: name for name in RULES}}
    if rule not in known:
        raise UsageError("lora.rank", word=word)
    try:
        return Truncation(rule=known[rule], number=float(number), most=most)
    except ValueError as error:
        raise UsageError("lora.rank", word=word) from error


def lossy_truncation(word: str) -> Truncation:
    """Return the rule in a word like svd:16."""
    way, _, rank = word.partition(":")
    if way != _SVD or not rank:
        raise UsageError("lora.lossy", word=word)
    return truncation(rank)


def _parted(word: str) -> tuple[Path, float]:
    path, colon, number = word.rpartition(":")
    weight = _number(number)
    return (Path(path), weight) if colon and path and weight is not None else (Path(word), 1.0)


def _vector(word: str, adapters: Mapping[str, object]) -> tuple[str, str]:
    owner, _, numbers = word.rpartition(":")
    return _owner(owner, adapters), numbers


def _block(word: str, adapters: Mapping[str, object]) -> tuple[str, str, float]:
    block, _, number = word.rpartition("=")
    owner, _, prefix = block.rpartition(":")
    factor = _number(number)
    if not prefix or factor is None or not math.isfinite(factor):
        raise UsageError("lora.block", word=word)
    return _owner(owner, adapters), prefix, factor


def _owner(word: str, adapters: Mapping[str, object]) -> str:
    name = word.removesuffix(".safetensors")
    if name and name not in adapters:
        raise UsageError("lora.block_owner", name=name, known=", ".join(adapters))
    return name


def _below(site: str, prefix: str) -> bool:
    return site == prefix or site.startswith(f"{prefix}.")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
