"""The report as one page in English or Korean: all inside, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Final, final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from loraloom.evaluation import wording
from loraloom.evaluation.agreement import Share
from loraloom.evaluation.charts import Caption, loss_chart, share_bar, share_chart
from loraloom.evaluation.pictures import embed
from loraloom.evaluation.report import DemoReport, Picture, StyleReport, WeightRow
from loraloom.evaluation.savings import Savings
from loraloom.text import say

_FOLDER: Final = "templates"


def render_page(report: DemoReport, root: Path, language: str = "en") -> str:
    """Return the report as one HTML page in `language` ("en" or "ko").

    Pictures are read from their paths relative to `root` and embedded. The page needs no network,
    and its policy forbids every request, so that no prompt or name in it can cause one. Raises
    LoraLoomError for a picture that cannot be read.
    """
    made = _Maker(root, language)
    script = files("loraloom.evaluation").joinpath(_FOLDER, "report.js").read_text(encoding="utf-8")
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    environment = Environment(
        loader=PackageLoader("loraloom.evaluation", _FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {  # pyright: ignore[reportUnknownMemberType]
        "count": wording.count,
        "number": wording.number,
        "percent": wording.percent,
        "scientific": wording.scientific,
        "size": wording.size,
    }
    return environment.get_template("report.html.j2").render(
        report=report,
        made=made,
        t=made.text,
        language=language,
        created=datetime.fromisoformat(report.created),
        at_one=[_row_at_one(style.sweep) for style in report.styles],
        savings=_by_savings(report.styles),
        script=Markup(script),
        script_hash=script_hash,
    )


@final
@dataclass(frozen=True)
class _Maker:
    """Makes what the template only places: words, pictures and charts."""

    root: Path
    language: str

    def text(self, key: str, /, **details: object) -> str:
        return say(f"report.{key}", self.language, **details)

    def duration(self, seconds: float) -> str:
        return wording.duration(seconds, self.language)

    def picture(self, picture: Picture) -> Markup:
        embedded = embed(self.root / picture.path)
        return Markup('<img src="{}" width="{}" height="{}" alt="{}">').format(
            embedded.address, embedded.width, embedded.height, picture.alt
        )

    def interval(self, share: Share) -> str:
        return f"{100 * share.low:.0f}–{100 * share.high:.0f}%"

    def loss_chart(self, style: StyleReport, identity: str) -> Markup:
        losses = style.training.losses
        description = self.text(
            "chart.loss_description",
            steps=len(losses),
            first=f"{losses[0]:.3f}",
            last=f"{losses[-1]:.3f}",
        )
        title = self.text("chart.loss", style=style.name)
        caption = Caption(id=identity, title=title, description=description)
        return loss_chart(losses, caption, self.text("axis.step"))

    def share_chart(self, style: StyleReport, identity: str) -> Markup:
        points = ", ".join(
            f"{wording.number(row.weight)}: {wording.percent(row.style.value)}"
            for row in style.sweep
        )
        title = self.text("chart.share", style=style.name)
        caption = Caption(id=identity, title=title, description=points)
        shares = [(row.weight, row.style) for row in style.sweep]
        return share_chart(shares, caption, self.text("axis.weight"))

    def share_bar(self, share: Share, identity: str, title: str) -> Markup:
        description = f"{wording.percent(share.value)} ({self.interval(share)}, n = {share.total})"
        return share_bar(share, Caption(id=identity, title=title, description=description))


def _row_at_one(rows: Sequence[WeightRow]) -> WeightRow:
    """Return the row measured nearest to weight 1."""
    return min(rows, key=lambda row: abs(row.weight - 1))


def _by_savings(styles: Sequence[StyleReport]) -> list[tuple[list[str], Savings]]:
    """Return each different saving once, with the names of the styles it is of."""
    groups: list[tuple[list[str], Savings]] = []
    for style in styles:
        for names, savings in groups:
            if savings == style.adapter.savings:
                names.append(style.name)
                break
        else:
            groups.append(([style.name], style.adapter.savings))
    return groups
