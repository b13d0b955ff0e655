"""The measured figures of the READMEs; `python -m loraloom.cli.figures demo/report.json` puts them.

`docs/measured.json` keeps what the last full demonstration measured. The READMEs show it between
two marks, rendered from that file, so that a figure can neither be mistyped nor left behind.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from loraloom.evaluation.agreement import Share
from loraloom.evaluation.figures import Figures, figures_from_json, figures_to_json
from loraloom.evaluation.report import BaseMeasure, from_json
from loraloom.evaluation.wording import number, percent, scientific
from loraloom.text import LANGUAGES, say

KEPT: Final = Path("docs", "measured.json")

_BLOCK: Final = re.compile(r"(<!-- measured: .*? -->\n).*?(<!-- /measured -->)", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> None:
    """Render the READMEs of the working folder anew, from a report's figures if one is named."""
    parser = argparse.ArgumentParser(description="Put measured figures into the READMEs.")
    parser.add_argument(
        "report",
        nargs="?",
        type=Path,
        help=f"report.json of `loraloom demo --full`, whose figures are kept in {KEPT}",
    )
    report: Path | None = parser.parse_args(arguments).report
    if report is not None:
        figures = Figures.of(from_json(report.read_text(encoding="utf-8")))
        KEPT.write_text(figures_to_json(figures), encoding="utf-8")
    for language in LANGUAGES:
        path = readme_path(Path(), language)
        text = path.read_text(encoding="utf-8")
        path.write_text(with_figures(text, kept_figures(Path()), language), encoding="utf-8")


def readme_path(root: Path, language: str) -> Path:
    """Return where the README of a language is."""
    return root / ("README.md" if language == "en" else f"README.{language}.md")


def kept_figures(root: Path) -> Figures | None:
    """Return the figures that are kept below `root`, None if nothing was measured yet."""
    path = root / KEPT
    return figures_from_json(path.read_text(encoding="utf-8")) if path.is_file() else None


def with_figures(readme: str, figures: Figures | None, language: str) -> str:
    """Return a README with the figures between its marks, which must be there once."""
    lines = [say("figures.none", language)] if figures is None else _lines(figures, language)
    shown = "\n".join(["", *lines, "", ""])
    text, count = _BLOCK.subn(lambda block: block[1] + shown + block[2], readme)
    if count != 1:
        raise ValueError(f"expected one pair of marks, found {count}")
    return text


def _lines(figures: Figures, language: str) -> Iterator[str]:
    machine, isolation = figures.machine, figures.isolation
    yield say(
        "figures.where",
        language,
        date=figures.created[:10],
        version=figures.version,
        cpu=machine.cpu,
        cores=machine.cores,
        device=machine.device,
        torch=machine.torch,
    )
    if figures.base_measure is not None:
        yield from ("", *_base(figures.base_measure, language))
    yield from ("", *_styles(figures, language), "")
    zero = "figures.zero" if figures.zero_weight.identical else "figures.zero_differs"
    yield say(zero, language, pictures=figures.zero_weight.pictures)
    yield say(
        "figures.isolation",
        language,
        adapters=isolation.adapters,
        steps=isolation.steps,
        double=scientific(isolation.float64.difference),
        single=scientific(isolation.float32.difference),
    )


def _base(measured: BaseMeasure, language: str) -> Iterator[str]:
    yield say("figures.base", language)
    yield "|---|---|---|---|---|"
    shares = (measured.object, measured.colour, measured.background, measured.all)
    yield _row(str(measured.all.total), *map(_share, shares))


def _styles(figures: Figures, language: str) -> Iterator[str]:
    weights = [number(row.weight) for row in figures.styles[0].sweep]
    yield say("figures.styles", language, weights=" | ".join(weights))
    yield "|---|---|" + "---|" * len(weights) + "---|---|"
    for style in figures.styles:
        last = style.sweep[-1]
        shares = [percent(row.style.value) for row in style.sweep[:-1]]
        ends = map(_share, (last.style, last.object, last.colour))
        yield _row(style.name, str(last.style.total), *shares, *ends)


def _share(share: Share) -> str:
    return f"{percent(share.value)} ({100 * share.low:.0f}–{100 * share.high:.0f})"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
