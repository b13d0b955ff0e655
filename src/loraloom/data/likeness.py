"""Which pictures of many are nearly the same, found without comparing all with all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8, UInt16

from loraloom.data.fingerprint import Fingerprint

# Measured on the playground's styles and on the photographs of scikit-image 0.26: recompressed,
# halved, brightened or blurred, a picture keeps all but 9 of its 128 bits at most, trimmed by 2 %
# mostly all but 12; other pictures differ in 20 or more. Its patches of colour, brought to one mean
# brightness, stay within this of 255, which tells a red ball from a blue one.
_BITS: Final = 12
_COLOURS: Final = 10.0

_WORDS: Final = 8
_PAIRS_AT_ONCE: Final = 1 << 18
_ONES: Final = np.array([number.bit_count() for number in range(256)], np.uint8)

Bits = UInt8[np.ndarray, "pictures 16"]
Colours = Float32[np.ndarray, "pictures 192"]
Pairs = Int64[np.ndarray, "pairs 2"]


def clusters(prints: Sequence[Fingerprint]) -> tuple[tuple[int, ...], ...]:
    """Return the groups of two or more pictures that are nearly the same, in order.

    Two belong together if they are near, or if others in between link them. 128 bits of which at
    most 12 differ have 16 in a row of which at most one does, so only pictures that share such a
    word are compared (multi-index hashing: Norouzi, Punjani and Fleet, "Fast Search in Hamming
    Space with Multi-Index Hashing", CVPR 2012). Memory is bounded.
    """
    if not prints:
        return ()
    bits, colours = _bits(prints), _colours(prints)
    # The cluster of each picture: its first picture.
    label = np.arange(len(prints))
    leaders = _join_equals(bits, colours, label)
    for pairs in _close(bits[leaders]):
        pairs = leaders[pairs]
        pairs = pairs[label[pairs[:, 0]] != label[pairs[:, 1]]]
        apart = np.abs(colours[pairs[:, 0]] - colours[pairs[:, 1]]).mean(axis=1)
        for first, second in pairs[apart <= _COLOURS].tolist():
            _join(label, first, second)
    groups: dict[int, list[int]] = {}
    for index, first in enumerate(label.tolist()):
        groups.setdefault(first, []).append(index)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def near(prints: Sequence[Fingerprint]) -> Bool[np.ndarray, " pictures"]:
    """Tell of each picture whether it is nearly the same as the first."""
    bits, colours = _bits(prints), _colours(prints)
    differing = _ONES[bits ^ bits[:1]].sum(axis=1)
    return (differing <= _BITS) & (np.abs(colours - colours[:1]).mean(axis=1) <= _COLOURS)


def _bits(prints: Sequence[Fingerprint]) -> Bits:
    return np.frombuffer(b"".join(each.bits for each in prints), np.uint8).reshape(-1, 16)


def _colours(prints: Sequence[Fingerprint]) -> Colours:
    """Return the patches of each picture brought to one mean, so that brightness is no matter."""
    joined = np.frombuffer(b"".join(each.colours for each in prints), np.uint8)
    patches = joined.reshape(-1, 192).astype(np.float32)
    return patches * (128 / np.maximum(patches.mean(axis=1, keepdims=True), 1))


def _join(label: Int64[np.ndarray, " pictures"], first: int, second: int) -> None:
    low, high = sorted((label[first], label[second]))
    label[label == high] = low


def _join_equals(
    bits: Bits, colours: Colours, label: Int64[np.ndarray, " pictures"]
) -> Int64[np.ndarray, " leaders"]:
    """Join pictures of equal bits and near colours; return the first picture of each group.

    Many copies of one picture then cost no comparisons with each other.
    """
    _, numbers = np.unique(bits, axis=0, return_inverse=True)
    leaders: dict[int, list[int]] = {}
    for index, number in enumerate(numbers.ravel().tolist()):
        own = leaders.setdefault(number, [])
        if own:
            apart = np.abs(colours[own] - colours[index]).mean(axis=1)
            nearest = int(apart.argmin())
            if apart[nearest] <= _COLOURS:
                label[index] = own[nearest]
                continue
        own.append(index)
    return np.array([index for own in leaders.values() for index in own])


def _close(bits: Bits) -> Iterator[Pairs]:
    """Yield the pairs of rows that differ in at most `_BITS` bits; one may come more than once."""
    words = np.ascontiguousarray(bits).view(np.uint16)
    for column in range(_WORDS):
        for flipped in (0, *(1 << bit for bit in range(16))):
            for pairs in _sharing(words[:, column], flipped):
                differing = _ONES[bits[pairs[:, 0]] ^ bits[pairs[:, 1]]].sum(axis=1)
                yield pairs[differing <= _BITS]


def _sharing(word: UInt16[np.ndarray, " rows"], flipped: int) -> Iterator[Pairs]:
    """Yield the pairs of rows whose words differ exactly in the bit `flipped`, block by block."""
    order = np.argsort(word, kind="stable")
    values, starts, counts = np.unique(word[order], return_index=True, return_counts=True)
    # Of two words that differ in a bit the first is the one that lacks it: each pair comes once.
    left = np.flatnonzero((values & flipped) == 0)
    wanted = values[left] | np.uint16(flipped)
    right = np.searchsorted(values, wanted).clip(max=len(values) - 1)
    left, right = left[values[right] == wanted], right[values[right] == wanted]
    if not len(left):
        return
    ends = np.cumsum(counts[left] * counts[right])
    for begin in range(0, int(ends[-1]), _PAIRS_AT_ONCE):
        numbers = np.arange(begin, min(begin + _PAIRS_AT_ONCE, int(ends[-1])))
        match = np.searchsorted(ends, numbers, side="right")
        one, other = left[match], right[match]
        inside = numbers - (ends[match] - counts[one] * counts[other])
        pairs = np.stack(
            [
                order[starts[one] + inside // counts[other]],
                order[starts[other] + inside % counts[other]],
            ],
            axis=1,
        )
        yield pairs if flipped else pairs[pairs[:, 0] < pairs[:, 1]]
