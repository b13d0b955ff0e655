"""The results of the smaller commands on training folders, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loraloom.cli.columns import table
from loraloom.cli.session import Session
from loraloom.text.harmless import harmless


def show_tags(report: Mapping[str, Any], session: Session) -> None:
    """Print the most frequent tags, and what an edit changed."""
    tags = report["tags"]
    shown = tags[: report["top"]]
    rows = [(tag["tag"], f"{tag['count']:,}", f"{_share(tag, report):.0%}") for tag in shown]
    header = [session.say(f"tags.column.{name}") for name in ("tag", "captions", "share")]
    if rows:
        print(*table([header, *rows]), "", sep="\n", file=session.out)
    counts = {"tags": len(tags), "shown": len(shown), "captions": report["captions"]}
    print(session.say("tags.counted", **counts), file=session.out)
    if report["without_caption"]:
        bare = session.say("tags.without_caption", count=report["without_caption"])
        print(bare, file=session.out)
    changed = report["changed"]
    if report["undone"]:
        print(session.say("tags.undone", count=len(changed)), file=session.out)
    elif changed:
        code = "tags.would_change" if report["dry_run"] else "tags.changed"
        print(session.say(code, count=len(changed)), file=session.out)
    elif report["edited"]:
        print(session.say("tags.unchanged"), file=session.out)


def show_groups(report: Mapping[str, Any], session: Session) -> None:
    """Print what is nearly equal, the best of each group first."""
    for group in report["groups"]:
        rows = [("✓", *_file(group["kept"])), *(("=", *_file(other)) for other in group["others"])]
        print(*table(rows), "", sep="\n", file=session.out)
    counts = {"images": report["images"], "groups": len(report["groups"])}
    told = session.say("dedupe.counted", redundant=report["redundant"], **counts)
    print(told, file=session.out)
    if report["moved_to"]:
        moved = session.say("dedupe.moved", count=report["redundant"], folder=report["moved_to"])
        print(moved, file=session.out)
    elif report["groups"]:
        print(session.say("dedupe.listed"), file=session.out)


def show_parts(report: Mapping[str, Any], session: Session) -> None:
    """Print which pictures are held out."""
    print(*map(harmless, report["held_out"]), sep="\n", file=session.out)
    counts = {name: len(report[name]) for name in ("train", "held_out")}
    print(
        "", session.say("split.counted", seed=report["seed"], **counts), sep="\n", file=session.out
    )
    if report["left_out"]:
        names = ", ".join(report["left_out"])
        print(session.say("split.left_out", files=names), file=session.out)
    if report["output_dir"]:
        print(session.say("split.written", folder=report["output_dir"]), file=session.out)


def _share(tag: Mapping[str, Any], report: Mapping[str, Any]) -> float:
    return tag["count"] / report["captions"]


def _file(picture: Mapping[str, Any]) -> tuple[str, str]:
    return picture["file"], f"{picture['width']}x{picture['height']}"
