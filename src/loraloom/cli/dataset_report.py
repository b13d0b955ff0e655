"""The report of a check of training folders, for people."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final, cast

from loraloom.cli.columns import table, wrapped
from loraloom.cli.quoting import quoted
from loraloom.cli.session import Session
from loraloom.jobs.dataset.report import worded
from loraloom.text.harmless import harmless

_MARKS: Final = {"error": "✗", "warning": "!", "note": "·"}
_COLOURS: Final = {"error": "red", "warning": "yellow", "note": "cyan"}
_PROMPTS: Final = 3
_SHOWN: Final = 40
_WIDTH: Final = 96


@dataclass(frozen=True, kw_only=True)
class _Section:
    """A titled table; the first row is its header where it has one."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def show_report(report: Mapping[str, Any], session: Session) -> None:
    """Print a report on standard output: in colour on a terminal, plain elsewhere."""
    pretty = session.out.isatty() and os.environ.get("TERM") != "dumb"
    show = _show_pretty if pretty else _show_plain
    show(list(_sections(report, session)), worded(report["findings"], session.language), session)
    print(_verdict(report, session), file=session.out)
    if copy := report.get("copy"):
        counts = {**copy, "left_out": len(copy["left_out"])}
        print(session.say("check.copy", **counts), file=session.out)
    for line in _next(report, session):
        print(line, file=session.out)


def _show_plain(
    sections: Sequence[_Section], findings: Sequence[Mapping[str, Any]], session: Session
) -> None:
    for section in sections:
        rows = [*([section.header] if section.header else []), *section.rows]
        print(section.title, *table(rows, indent="  "), "", sep="\n", file=session.out)
    for finding in findings:
        for line in _finding_lines(finding, session):
            print(line, file=session.out)
        print(file=session.out)


def _show_pretty(
    sections: Sequence[_Section], findings: Sequence[Mapping[str, Any]], session: Session
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=cast("IO[str]", session.out), highlight=False)
    for section in sections:
        shown = Table(
            title=Text(section.title),
            title_justify="left",
            title_style="bold",
            box=SIMPLE_HEAD,
            show_header=bool(section.header),
            show_edge=False,
        )
        for name in section.header or [""] * len(section.rows[0]):
            shown.add_column(name, overflow="fold")
        for row in section.rows:
            shown.add_row(*(Text(harmless(cell)) for cell in row))
        console.print(shown)
        console.print()
    for finding in findings:
        head, *lines = _finding_lines(finding, session)
        console.print(Text(head, style=f"bold {_COLOURS[finding['severity']]}"), soft_wrap=True)
        for line in lines:
            console.print(Text(line), soft_wrap=True)
        console.print()


def _finding_lines(finding: Mapping[str, Any], session: Session) -> Iterator[str]:
    severity = finding["severity"]
    yield f"{_MARKS[severity]} {session.say(f'check.{severity}')}  [{finding['code']}]"
    for part in (finding["message"], session.say("check.fix", text=finding["fix"])):
        yield from (f"  {line}" for line in wrapped(part, _WIDTH))


def _sections(report: Mapping[str, Any], session: Session) -> Iterator[_Section]:
    if "images" not in report:
        return
    say = session.say
    yield _Section(title=say("check.title"), header=(), rows=list(_facts(report, session)))
    names = ("subset", "pictures", "repeats", "uses", "captioned", "kind")
    rows = [
        (
            subset["name"],
            f"{subset['images']:,}",
            str(subset["repeats"]),
            f"{subset['uses_per_epoch']:,}",
            f"{subset['captioned']:,}",
            _kind(subset, session),
        )
        for subset in report["subsets"]
    ]
    yield _Section(
        title=say("check.subsets"), header=[say(f"check.column.{n}") for n in names], rows=rows
    )
    if buckets := report["buckets"]:
        yield _Section(
            title=say("check.buckets"),
            header=[say(f"check.column.{n}") for n in ("bucket", "pictures", "steps", "cut")],
            rows=[_bucket(bucket) for bucket in buckets],
        )
    prompts = report["prompts"]
    cut = [p for p in prompts if p["cut"]][:1]
    # One of each subset says more than the first few of the first.
    firsts = {p["subset"]: p for p in reversed(prompts)}
    others = [p for p in (*reversed(firsts.values()), *prompts) if p not in cut]
    shown = [*{p["file"]: p for p in others}.values()][: _PROMPTS - len(cut)] + cut
    lines: list[tuple[str, ...]] = []
    for p in shown:
        lines.append((p["file"], str(p["tokens"]), _with_cut(p, session)))
        lines += (("", "", say("check.drawn", prompt=drawn)) for drawn in p.get("drawn", ()))
    yield _Section(
        title=say("check.prompts"),
        header=[say(f"check.column.{n}") for n in ("file", "tokens", "prompt")],
        rows=lines,
    )


def _bucket(bucket: Mapping[str, Any]) -> tuple[str, ...]:
    size = "x".join(map(str, bucket["size"]))
    images = f"{bucket['images'] + bucket['regularisation']:,}"
    cut = f"{bucket['cut']:.0%}"
    if bucket["most_cut"] != bucket["cut"]:
        cut += f" (≤ {bucket['most_cut']:.0%})"
    return size, images, f"{bucket['batches']:,}", cut


def _facts(report: Mapping[str, Any], session: Session) -> Iterator[tuple[str, str]]:
    def row(name: str, **details: object) -> tuple[str, str]:
        return session.say(f"check.row.{name}"), session.say(f"check.value.{name}", **details)

    yield session.say("check.row.folders"), ", ".join(report["folders"])
    yield row("images", count=f"{report['images']:,}", decoded=f"{report['decoded']:,}")
    if report["sizes"]:
        sizes = {name: "x".join(map(str, size)) for name, size in report["sizes"].items()}
        if len(set(sizes.values())) == 1:
            one = session.say("check.value.sizes_one", size=sizes["median"])
            yield session.say("check.row.sizes"), one
        else:
            yield row("sizes", **sizes)
    yield row(
        "resolution",
        size="x".join(map(str, report["resolution"])),
        step=report["bucket_reso_steps"],
        model=report["sized_by"] or session.say("check.sizes_of_sd1"),
    )
    if report["goal"]:
        yield session.say("check.row.goal"), session.say(f"check.value.goal_{report['goal']}")
    yield session.say("check.row.captions"), _captions(report, session)
    tokens = report["tokens"]
    by = tokens["counted_by"] or session.say("check.estimate")
    yield row("tokens", **{**tokens, "mean": f"{tokens['mean']:.0f}", "by": by})
    trigger = report["trigger"]
    if trigger["given"] or trigger["common"]:
        code = "check.value.trigger" if trigger["given"] else "check.value.trigger_common"
        word = trigger["given"] or trigger["common"]
        yield session.say("check.row.trigger"), session.say(code, word=word)
    yield row(
        "steps",
        steps=f"{report['steps_per_epoch']:,}",
        uses=f"{report['uses_per_epoch']:,}",
        batch=report["train_batch_size"],
    )
    if report["steps"]:
        yield row("all_steps", steps=f"{report['steps']:,}", epochs=report["epochs"])


def _captions(report: Mapping[str, Any], session: Session) -> str:
    counts = report["captions"]
    details = {"images": f"{report['images']:,}", "coverage": f"{counts['coverage']:.0%}"}
    parts = [session.say("check.value.captions_own", own=f"{counts['own']:,}", **details)]
    for name in ("folder", "trigger", "missing", "faulty"):
        if count := counts[name]:
            parts.append(session.say(f"check.value.captions_{name}", count=f"{count:,}"))
    return ", ".join(parts)


def _kind(subset: Mapping[str, Any], session: Session) -> str:
    parts = [session.say("check.regularisation")] if subset["regularisation"] else []
    if subset["weight"] != 1:
        parts.append(session.say("check.weight", weight=f"{subset['weight']:g}"))
    parts += [f"{name} = {value}" for name, value in subset["settings"].items()]
    return ", ".join(parts)


def _with_cut(prompt: Mapping[str, Any], session: Session) -> str:
    text, cut = prompt["prompt"], prompt["cut"]
    if not cut:
        return text
    seen = text[: len(text) - len(cut)].rstrip(" ,")
    seen = seen if len(seen) <= _SHOWN else f"…{seen[-_SHOWN:]}"
    cut = cut if len(cut) <= _SHOWN else f"{cut[:_SHOWN]}…"
    return session.say("check.cut", seen=seen, cut=cut)


def _verdict(report: Mapping[str, Any], session: Session) -> str:
    counts = Counter(finding["severity"] for finding in report["findings"])
    told = [
        session.say(f"check.count.{severity}", count=counts[severity])
        for severity in _MARKS
        if counts[severity]
    ]
    code = "check.usable" if report["usable"] else "check.unusable"
    return session.say(code, findings=", ".join(told) or session.say("check.count.none"))


def _next(report: Mapping[str, Any], session: Session) -> Iterator[str]:
    """Yield the command that may come next; several folders are not trained on by a bare one."""
    first, *others = report["folders"]
    given = "".join(f" {word}" for each in report["given"].items() for word in _flag(*each))
    if copy := report.get("copy"):
        yield session.say("progress.next")
        yield f"  loraloom dataset check {quoted(copy['folder'])}{given}"
    elif report["usable"]:
        if not others:
            model = quoted(report["model"]) if report["model"] else "MODEL"
            source = "--dataset_config " if first.lower().endswith(".toml") else ""
            if not report["sized_by"]:
                yield session.say("check.sized_as_sd1", step=report["bucket_reso_steps"])
            yield session.say("progress.next")
            yield f"  loraloom train {source}{quoted(first)}{given} --model {model}"
    elif report.get("repair", {"kept": 0})["kept"]:
        folders = " ".join(map(quoted, report["folders"]))
        yield session.say("check.repairable", **report["repair"])
        yield f"  loraloom dataset check {folders}{given} --fix {quoted(_copy_of(first))}"


def _flag(name: str, value: Any) -> tuple[str, ...]:
    match value:
        case bool():
            return (f"--{name}" if value else f"--no_{name}",)
        case [width, height]:
            return (f"--{name}", f"{width},{height}")
        case _:
            return (f"--{name}", quoted(value))


def _copy_of(folder: str) -> str:
    return f"{folder.removesuffix('.toml').rstrip('/')}_fixed"
