"""How figures are written."""

from __future__ import annotations

import pytest

from loraloom.evaluation import wording


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.917, 0, "92%"),
        (0.0, 0, "0%"),
        (1.0, 0, "100%"),
        (0.998, 0, "99.8%"),  # not all, so not 100%
        (0.0004, 0, "0.04%"),
        (0.988, 1, "98.8%"),
        (-1 / 3, 1, "−33.3%"),
    ],
)
def test_percent(share: float, digits: int, text: str) -> None:
    assert wording.percent(share, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.34e-15, "1.3 × 10⁻¹⁵"), (1e-10, "1 × 10⁻¹⁰"), (0.0, "0"), (-25_000.0, "−2.5 × 10⁴")],
)
def test_scientific(value: float, text: str) -> None:
    assert wording.scientific(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.0, "1"), (0.25, "0.25"), (5e-4, "0.0005"), (1e-5, "1 × 10⁻⁵"), (100, "100")],
)
def test_number(value: float, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("number_of_bytes", "text"),
    [
        (812, "812 B"),
        (1000, "1.0 kB"),
        (64_200, "64 kB"),
        (1_940_000, "1.9 MB"),
        (3 * 10**12, "3000 GB"),
    ],
)
def test_size(number_of_bytes: int, text: str) -> None:
    assert wording.size(number_of_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "english", "korean"),
    [
        (0.84, "0.8 s", "0.8초"),
        (42.4, "42 s", "42초"),
        (59.9, "1 min 0 s", "1분 0초"),
        (252.0, "4 min 12 s", "4분 12초"),
    ],
)
def test_duration(seconds: float, english: str, korean: str) -> None:
    assert wording.duration(seconds, "en") == english
    assert wording.duration(seconds, "ko") == korean
