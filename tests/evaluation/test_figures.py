"""The figures of a demonstration that are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from loraloom.cli.figures import KEPT, kept_figures, main, readme_path
from loraloom.evaluation.figures import Figures, figures_from_json, figures_to_json
from loraloom.evaluation.report import DemoReport, to_json
from loraloom.text import LANGUAGES


def test_figures_are_what_the_report_measured(report: DemoReport) -> None:
    figures = Figures.of(report)
    assert [style.name for style in figures.styles] == ["anime", "cartoon"]
    assert [style.sweep for style in figures.styles] == [style.sweep for style in report.styles]
    assert [(style.images, style.steps) for style in figures.styles] == [(60, 4)] * 2
    assert figures.base_measure == report.base_measure
    assert figures.isolation == report.checks.isolation


def test_what_is_kept_is_read_back_equal(report: DemoReport) -> None:
    for each in (report, replace(report, base_measure=None)):
        figures = Figures.of(each)
        assert figures_from_json(figures_to_json(figures)) == figures


def test_kept_figures_name_no_file(report: DemoReport) -> None:
    kept = json.loads(figures_to_json(Figures.of(report)))
    assert "path" not in json.dumps(kept)
    assert kept["styles"][0]["sweep"][2]["style"]["value"] == 23 / 24


def test_a_report_s_figures_are_kept_and_shown(
    report: DemoReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    KEPT.parent.mkdir()
    for language in LANGUAGES:
        marks = "<!-- measured: by a command -->\n<!-- /measured -->\n"
        readme_path(tmp_path, language).write_text(marks, encoding="utf-8")
    (tmp_path / "report.json").write_text(to_json(report), encoding="utf-8")
    main(["report.json"])
    assert kept_figures(tmp_path) == Figures.of(report)
    assert "| cartoon | 24 |" in (tmp_path / "README.ko.md").read_text(encoding="utf-8")
