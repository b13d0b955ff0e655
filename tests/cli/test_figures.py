"""The measured figures that the READMEs show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loraloom.cli.figures import KEPT, kept_figures, main, readme_path, with_figures
from loraloom.evaluation.agreement import Share
from loraloom.evaluation.figures import Figures, StyleFigures, figures_to_json
from loraloom.evaluation.report import (
    BaseMeasure,
    Gap,
    Isolation,
    Machine,
    WeightRow,
    ZeroWeight,
)
from loraloom.text import LANGUAGES

MARKS = "before\n<!-- measured: by a command -->\nstale\n<!-- /measured -->\nafter\n"


@pytest.fixture
def figures() -> Figures:
    def row(weight: float, right: int) -> WeightRow:
        share, most = Share(right, 64), Share(62, 64)
        return WeightRow(weight=weight, style=share, object=most, colour=most, background=most)

    def gap(difference: float) -> Gap:
        return Gap(difference=difference, tensor="a tensor", allowed=1.0)

    share = Share(250, 256)
    return Figures(
        created="2026-03-02T14:05:11+09:00",
        version="0.1.0",
        base="playground",
        machine=Machine(python="3.12.9", torch="2.13.0", cpu="A chip", cores=2, device="cpu"),
        seconds=252.0,
        base_measure=BaseMeasure(object=share, colour=share, background=share, all=share),
        styles=(
            StyleFigures(
                name="anime", images=24, steps=250, sweep=(row(0.0, 1), row(1.0, 60)), rises=True
            ),
        ),
        zero_weight=ZeroWeight(identical=True, pictures=48),
        isolation=Isolation(
            adapters=3,
            steps=20,
            batch_size=2,
            tensors=4,
            float64=gap(1.34e-14),
            float32=gap(3.2e-5),
        ),
    )


def test_the_figures_are_shown_between_the_marks(figures: Figures) -> None:
    text = with_figures(MARKS, figures, "en")
    assert text.startswith("before\n<!-- measured: by a command -->\n\nMeasured 2026-03-02")
    assert text.endswith("\n\n<!-- /measured -->\nafter\n")
    assert "stale" not in text
    # 250/256 = 97.66 %, 1/64 = 1.56 %, 60/64 = 93.75 %, 62/64 = 96.9 %; the intervals are Wilson's.
    assert "| 256 | 98% (95–99) | 98% (95–99) | 98% (95–99) | 98% (95–99) |" in text
    assert "| anime | 64 | 2% | 94% (85–98) | 97% (89–99) | 97% (89–99) |" in text
    assert "1.3 × 10⁻¹⁴" in text
    assert "The 48 pictures compared" in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_tables_are_whole_and_rendering_again_changes_nothing(
    figures: Figures, language: str
) -> None:
    text = with_figures(MARKS, figures, language)
    assert with_figures(text, figures, language) == text
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 2
    for table in tables:
        assert len({line.count("|") for line in table}) == 1
    bare = replace(figures, base_measure=None, zero_weight=ZeroWeight(identical=False, pictures=48))
    assert len(with_figures(MARKS, bare, language).split("\n|---")) == 2
    assert with_figures(MARKS, bare, language) != with_figures(MARKS, figures, language)


def test_a_readme_without_marks_is_refused(figures: Figures) -> None:
    with pytest.raises(ValueError, match="marks"):
        with_figures("no marks", figures, "en")


def test_every_readme_is_rendered_from_what_is_kept(
    figures: Figures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for language in LANGUAGES:
        readme_path(tmp_path, language).write_text(MARKS, encoding="utf-8")
    main([])
    assert "Nothing has been measured" in (tmp_path / "README.md").read_text(encoding="utf-8")
    (tmp_path / "docs").mkdir()
    (tmp_path / KEPT).write_text(figures_to_json(figures), encoding="utf-8")
    assert kept_figures(tmp_path) == figures
    main([])
    for language in LANGUAGES:
        text = readme_path(tmp_path, language).read_text(encoding="utf-8")
        assert text == with_figures(MARKS, figures, language)
