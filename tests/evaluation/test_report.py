"""The report as data."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import pytest

from loraloom.evaluation.agreement import Share
from loraloom.evaluation.report import (
    CommandKind,
    DemoReport,
    FileKind,
    Gap,
    PhaseName,
    from_json,
    to_json,
)
from loraloom.text import LANGUAGES, catalogue


def test_what_is_written_as_json_is_read_back_equal(report: DemoReport) -> None:
    assert from_json(to_json(report)) == report


def test_a_report_without_a_base_measure_is_read_back_equal(report: DemoReport) -> None:
    bare = replace(report, base_measure=None, grid=replace(report.grid, sheet=None))
    assert from_json(to_json(bare)) == bare


def test_json_holds_the_figures_that_follow_from_the_counts(report: DemoReport) -> None:
    anime = json.loads(to_json(report))["styles"][0]
    share = Share(23, 24)
    assert anime["sweep"][2]["style"] == {
        "right": 23,
        "total": 24,
        "value": share.value,
        "low": share.low,
        "high": share.high,
    }
    assert anime["adapter"]["scale"] == 8 / 16
    assert anime["rises"] is True


def test_a_gap_passes_up_to_what_is_allowed() -> None:
    assert Gap(difference=1e-3, tensor="up", allowed=1e-3).passed
    assert not Gap(difference=2e-3, tensor="up", allowed=1e-3).passed


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("phase", get_args(PhaseName)),
        ("file", get_args(FileKind)),
        ("next", get_args(CommandKind)),
    ],
)
def test_every_name_has_its_words(group: str, names: tuple[str, ...], language: str) -> None:
    assert names
    assert {f"report.{group}.{name}" for name in names} <= catalogue(language).keys()
