"""What a check of training folders came to, as plain data for a table or for a program."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from loraloom.data.caption_weights import weighted_pieces
from loraloom.data.checks.captions import common_tag
from loraloom.data.finding import Finding
from loraloom.data.folders import Subset
from loraloom.data.repair import plan_copy
from loraloom.data.survey import Entry, Survey
from loraloom.data.tokens import Tokens
from loraloom.errors import DatasetError
from loraloom.jobs.dataset.aim import AimedBase
from loraloom.jobs.dataset.steps import Steps, steps_of
from loraloom.text import say

_DRAWN: Final = 3


def report(
    survey: Survey | None,
    findings: Sequence[Finding],
    *,
    places: Sequence[str],
    given: Mapping[str, Any],
    base: AimedBase,
    steps: Steps,
    keep_alpha: bool = False,
) -> Mapping[str, Any]:
    """Return everything that a check found; the parts about pictures are left out without any.

    `given` are the options of training data that were named, for the commands that come next.
    `counted_by` names the base whose tokenizer counted, None where tokens are estimates, and
    `sized_by` the one whose sizes count, None where those of SD 1.x do. `repair` tells
    what a repaired copy would come to.
    """
    bad = any(finding.severity == "error" for finding in findings)
    head: dict[str, Any] = {
        "folders": list(places),
        "given": dict(given),
        "usable": not bad,
        "exit_code": DatasetError.exit_code if bad else 0,
    }
    if survey is not None:
        head |= (
            _pictures(survey)
            | _words(survey, base.name if base.window else None)
            | steps_of(survey, steps)
        )
        bucketing = survey.aim.bucketing
        head |= {
            "model": base.name,
            "sized_by": base.name if base.geometry else None,
            "bucket_reso_steps": bucketing.step if bucketing else None,
        }
        head |= {"repair": _repair(survey, keep_alpha=keep_alpha)}
    return {**head, "findings": [_plain(finding) for finding in findings]}


def worded(findings: Sequence[Mapping[str, Any]], language: str) -> list[dict[str, Any]]:
    """Return the findings of a report with a `message` and a `fix` in a language."""
    told: list[dict[str, Any]] = []
    for finding in findings:
        text = say(finding["code"], language, **finding["details"])
        message, _, fix = text.partition("\n")
        told.append({**finding, "message": message, "fix": fix.partition(": ")[2]})
    return told


def _plain(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "count": len(finding.files),
        "files": list(finding.files),
        "details": {name: str(value) for name, value in finding.details.items()},
    }


def _pictures(survey: Survey) -> dict[str, Any]:
    aim = survey.aim
    seen = [picture for entry in survey.entries if (picture := entry.look.picture)]
    sizes = sorted(((p.width, p.height) for p in seen), key=lambda size: (math.prod(size), size))
    chosen = {"smallest": 0, "median": len(sizes) // 2, "largest": len(sizes) - 1}
    return {
        "goal": aim.goal.name if aim.goal else None,
        "resolution": list(aim.resolution) if aim.resolution else None,
        "images": len(survey.entries),
        "decoded": len(seen),
        "sizes": {name: list(sizes[index]) for name, index in chosen.items()} if sizes else {},
        "subsets": [_subset(survey, subset) for subset in survey.subsets],
        "alike": [[entry.name for entry in group] for group in survey.alike],
    }


def _subset(survey: Survey, subset: Subset) -> dict[str, Any]:
    entries = [entry for entry in survey.entries if entry.subset is subset]
    usable = sum(entry.look.picture is not None for entry in entries)
    return {
        "name": subset.title,
        "folder": str(subset.folder),
        "images": len(entries),
        "repeats": subset.repeats,
        "uses_per_epoch": usable * subset.repeats,
        "captioned": sum(_has_own_words(entry) for entry in entries),
        "words": subset.words,
        "weight": subset.source.weight,
        "regularisation": subset.source.regularisation,
        "settings": {name: str(value) for name, value in subset.source.settings.items()},
    }


def _has_own_words(entry: Entry) -> bool:
    return entry.caption.origin in ("file", "row") and entry.caption.fault is None


def _words(survey: Survey, counted_by: str | None) -> dict[str, Any]:
    entries, tokens = survey.entries, survey.tokens
    own = sum(map(_has_own_words, entries))
    said = Counter(entry.caption.origin for entry in entries if entry.caption.text)
    trigger = survey.aim.trigger
    return {
        "captions": {
            **{origin: said[origin] for origin in ("file", "row", "folder", "trigger")},
            "faulty": sum(entry.caption.fault is not None for entry in entries),
            "missing": sum(entry.caption.origin == "nowhere" for entry in entries),
            "own": own,
            "coverage": own / len(entries),
        },
        "trigger": {"given": trigger or None, "common": common_tag(survey) or None},
        "tokens": {
            "counted_by": counted_by,
            "limit": survey.aim.token_limit,
            "longest": max(each.count for each in tokens),
            "mean": sum(each.count for each in tokens) / len(tokens),
            "cut": sum(bool(each.cut) for each in tokens),
        },
        "prompts": [
            _prompt(survey, entry, prompt, token)
            for entry, prompt, token in zip(entries, survey.prompts, tokens, strict=True)
        ],
    }


def _prompt(survey: Survey, entry: Entry, prompt: str, tokens: Tokens) -> dict[str, Any]:
    """Return a prompt as the text encoder reads it, without the brackets of its weights.

    `drawn` are a few of the prompts that training may make of it where that is drawn by lot.
    """
    told: dict[str, Any] = {
        "file": entry.name,
        "subset": entry.subset.title,
        "prompt": tokens.text,
        "tokens": tokens.count,
        "cut": tokens.cut,
    }
    if drawn := entry.drawn(survey.aim, _DRAWN):
        told["drawn"] = list(drawn)
    if survey.aim.weighted:
        told["weights"] = [list(piece) for piece in weighted_pieces(prompt)]
    return told


def _repair(survey: Survey, *, keep_alpha: bool) -> dict[str, int]:
    kept, left_out = plan_copy(survey, keep_alpha=keep_alpha)
    changed = sum(bool(each.changes) for each in kept)
    return {"kept": len(kept), "changed": changed, "left_out": len(left_out)}
