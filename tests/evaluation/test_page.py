"""The page: complete, self-contained, and safe whatever a prompt says."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from loraloom.errors import LoraLoomError
from loraloom.evaluation.agreement import Share
from loraloom.evaluation.page import render_page
from loraloom.evaluation.report import DemoReport, GridColumn, Picture
from loraloom.text import LANGUAGES

HOSTILE = (
    '</code></title></style><script>alert(1)</script><img src="https://a.example/x.png" '
    "onerror='alert(1)'>{{ 7 * 7 }}{title}%s"
)


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    VOID = frozenset({"meta", "link", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for each, attributes in self.tags if each == tag]

    def values(self, name: str) -> list[str]:
        return [each[name] or "" for _, each in self.tags if name in each]


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_whole_and_in_its_language(
    report: DemoReport, folder: Path, language: str
) -> None:
    page = Page(render_page(report, folder, language))
    assert page.open == []
    assert page.all("html")[0]["lang"] == language
    assert len(page.all("h1")) == 1
    identities = page.values("id")
    assert len(identities) == len(set(identities))
    targets = [each[1:] for each in page.values("href") if each.startswith("#")]
    assert {"comparison", "style-1", "style-2", "checks", "savings"} <= set(targets)
    assert set(targets) | set(page.values("data-copy")) <= set(identities)
    for labels in page.values("aria-labelledby"):
        assert set(labels.split()) <= set(identities)
    assert all(image["alt"] for image in page.all("img"))


def test_the_korean_page_is_korean(report: DemoReport, folder: Path) -> None:
    text = Page(render_page(report, folder, "ko")).text
    assert "가중치" in text
    assert not re.search(r"\b(the|pictures|seed|step|passed)\b", text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_asks_nothing_of_the_network(
    report: DemoReport, folder: Path, language: str
) -> None:
    html = render_page(report, folder, language)
    page = Page(html)
    assert all(each.startswith("data:image/") for each in page.values("src"))
    assert all(each.startswith(("#", "./", "data:,")) for each in page.values("href"))
    assert not {"srcset", "action", "poster", "background", "srcdoc"} & {
        name for _, attributes in page.tags for name in attributes
    }
    assert "://" not in html
    assert "@import" not in html
    assert "url(" not in html


def test_the_policy_admits_only_the_page_itself(report: DemoReport, folder: Path) -> None:
    html = render_page(report, folder)
    policy = Page(html).all("meta")[1]["content"] or ""
    script = html.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"script-src 'sha256-{digest}';" in policy


def test_hostile_text_is_shown_and_does_nothing(report: DemoReport, folder: Path) -> None:
    harmless = Page(render_page(report, folder))
    style, *others = report.styles
    bad = replace(
        report,
        title=HOSTILE,
        base=HOSTILE,
        machine=replace(report.machine, cpu=HOSTILE, device=HOSTILE),
        styles=(
            replace(
                style,
                name=HOSTILE,
                trigger=HOSTILE,
                dataset=replace(
                    style.dataset,
                    folder=HOSTILE,
                    pictures=(Picture(path="noise.png", alt=HOSTILE),),
                ),
                adapter=replace(style.adapter, file=HOSTILE, sites={HOSTILE: 2}),
                strip=replace(style.strip, prompt=HOSTILE),
            ),
            *others,
        ),
        grid=replace(
            report.grid,
            columns=(report.grid.columns[0], GridColumn(label=HOSTILE, addition=HOSTILE)),
            rows=tuple(replace(row, prompt=HOSTILE) for row in report.grid.rows),
        ),
        files=(replace(report.files[0], path="javascript:alert(1)//" + HOSTILE),),
        next_commands=(replace(report.next_commands[0], command=HOSTILE),),
    )
    page = Page(render_page(bad, folder))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in harmless.tags]
    assert not any(name.startswith("on") for _, each in page.tags for name in each)
    assert all(each.startswith("data:image/") for each in page.values("src"))
    assert all(each.startswith(("#", "./", "data:,")) for each in page.values("href"))
    assert page.text.count(HOSTILE) >= 12


def test_the_figures_are_shown(report: DemoReport, folder: Path) -> None:
    text = words(Page(render_page(report, folder)).text)
    share = Share(23, 24)
    for shown in (
        "4 min 12 s",
        "3 min 20 s",
        "1.3 MB",
        "96%–100%",
        f"96% {100 * share.low:.0f}–{100 * share.high:.0f}%",
        "anistyle <lora:anime:0.8>",
        "seed 11",
        "16 / 8",
        "0.0005",
        "1.3 × 10⁻¹⁴",
        "3.2 × 10⁻⁵",
        "80% 71–87%",  # 77 of 96
        "2026-03-02 14:05",
        'loraloom generate --prompt "a ball"',
    ):
        assert shown in text


def test_a_negative_saving_is_not_hidden(report: DemoReport, folder: Path) -> None:
    text = words(Page(render_page(report, folder)).text)
    assert "−33.3%" in text
    assert "In 1 of 2 layers the LoRA has more numbers than the layer itself" in text
    assert text.count("unet.small.weight") == 1  # both styles save the same: one table


def test_without_costly_layers_the_page_says_so(report: DemoReport, folder: Path) -> None:
    style, *others = report.styles
    whole = style.adapter.savings
    only = replace(whole, sites=(whole.best,))
    changed = replace(style, adapter=replace(style.adapter, savings=only))
    text = words(Page(render_page(replace(report, styles=(changed, *others)), folder)).text)
    assert "In each of the 1 layers the LoRA has fewer numbers" in text
    assert "In 1 of 2 layers" in text


def test_failed_checks_are_told(report: DemoReport, folder: Path) -> None:
    checks = report.checks
    falling = tuple(reversed(report.styles[0].sweep))
    bad = replace(
        report,
        styles=(replace(report.styles[0], sweep=falling), *report.styles[1:]),
        checks=replace(
            checks,
            zero_weight=replace(checks.zero_weight, identical=False),
            isolation=replace(
                checks.isolation, float32=replace(checks.isolation.float32, difference=0.5)
            ),
        ),
    )
    assert "failed" not in Page(render_page(report, folder)).text
    text = words(Page(render_page(bad, folder)).text)
    for title in (
        "At weight 0 the base is untouched",
        "The style grows with the weight",
        "Trained together as if each alone",
    ):
        assert f"{title} failed" in text
    assert "At least one differs" in text


def test_what_was_not_made_is_not_shown(report: DemoReport, folder: Path) -> None:
    bare = replace(
        report,
        base_measure=None,
        grid=replace(report.grid, sheet=None),
        checks=replace(report.checks, triggers=()),
        styles=report.styles[:1],
    )
    page = Page(render_page(bare, folder))
    assert "base" not in page.values("id")
    assert "#base" not in page.values("href")
    assert not page.all("details")
    assert "The trigger word without its LoRA" not in page.text
    assert "A LoRA, trained over a frozen base" in page.text


def test_a_missing_picture_is_named(report: DemoReport, tmp_path: Path) -> None:
    with pytest.raises(LoraLoomError, match=r"noise\.png"):
        render_page(report, tmp_path)
