"""Charts: what is drawn where."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from loraloom.evaluation.agreement import Share
from loraloom.evaluation.charts import Caption, loss_chart, share_bar, share_chart, smoothed

CAPTION = Caption(id="chart", title="Losses <&>", description='said "so"')


def drawn(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def dots(svg: str) -> list[tuple[float, float]]:
    return [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in drawn(svg).iter("circle")]


@pytest.mark.parametrize(
    "svg",
    [
        loss_chart([0.3, 0.1], CAPTION, "step"),
        share_chart([(0, Share(1, 4)), (1, Share(3, 4))], CAPTION, "weight"),
        share_bar(Share(1, 4), CAPTION),
    ],
)
def test_a_chart_tells_its_title_and_description(svg: str) -> None:
    chart = drawn(svg)
    assert chart.attrib["role"] == "img"
    named = {element.attrib["id"]: element.text for element in chart if "id" in element.attrib}
    assert [named[each] for each in chart.attrib["aria-labelledby"].split()] == [
        CAPTION.title,
        CAPTION.description,
    ]


def test_shares_lie_at_their_weights_and_heights() -> None:
    points = [(0, Share(0, 10)), (0.25, Share(5, 10)), (1, Share(10, 10))]
    (x0, y0), (x1, y1), (x2, y2) = dots(share_chart(points, CAPTION, "weight"))
    assert (x1 - x0) / (x2 - x0) == pytest.approx(0.25, abs=1e-3)
    assert (y0 - y1) / (y0 - y2) == pytest.approx(0.5, abs=1e-3)


def test_an_interval_bar_spans_the_interval() -> None:
    share = Share(5, 10)
    chart = share_chart([(0, Share(0, 1)), (0.5, share), (1, Share(1, 1))], CAPTION, "weight")
    bottom, top = dots(chart)[0][1], dots(chart)[2][1]
    path = drawn(chart).findall("path")[1].attrib["d"]
    low, high = (float(end) for end in path[1:].split("M")[0].split()[1].split("V"))
    assert (bottom - low) / (bottom - top) == pytest.approx(share.low, abs=1e-3)
    assert (bottom - high) / (bottom - top) == pytest.approx(share.high, abs=1e-3)


def test_one_weight_alone_can_be_drawn() -> None:
    assert len(dots(share_chart([(1, Share(1, 2))], CAPTION, "weight"))) == 1


def test_a_bar_spans_the_interval_of_its_share() -> None:
    share = Share(3, 12)
    band = next(line for line in drawn(share_bar(share, CAPTION)) if line.get("class") == "band")
    assert float(band.attrib["x1"]) == pytest.approx(200 * share.low, abs=0.1)
    assert float(band.attrib["x2"]) == pytest.approx(200 * share.high, abs=0.1)


def test_losses_are_drawn_raw_and_smoothed_and_stay_inside() -> None:
    losses = [*np.linspace(0.5, 0.1, 200), 40.0]
    lines = {
        line.attrib["class"]: line
        for line in drawn(loss_chart(losses, CAPTION, "")).iter("polyline")
    }
    assert lines.keys() == {"raw", "series"}
    for line in lines.values():
        points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        assert len(points) == len(losses)
        assert all(0 <= x <= 560 and 0 <= y <= 306 for x, y in points)


@pytest.mark.parametrize(
    "losses", [[0.2], [0.0, 0.0], [0.1] * 3, list(np.geomspace(1e3, 1e-4, 50))]
)
def test_unusual_losses_can_be_drawn(losses: list[float]) -> None:
    assert drawn(loss_chart(losses, CAPTION, "step")) is not None


def test_the_axis_of_losses_has_round_numbers() -> None:
    chart = drawn(loss_chart([0.13] * 400, CAPTION, "step"))
    ticks = [text.text for text in chart.iter("text") if text.attrib["class"] == "tick"]
    assert ticks == ["0", "0.05", "0.1", "0.15", "0", "100", "200", "300", "400"]


def test_smoothing_is_a_weighted_mean_of_the_past() -> None:
    losses = np.random.default_rng(0).random(300)
    decay = 1 - 20 / 300
    for step in (1, 2, 50, 300):
        weights = decay ** np.arange(step)[::-1]
        expected = np.average(losses[:step], weights=weights)
        assert smoothed(list(losses))[step - 1] == pytest.approx(expected)
