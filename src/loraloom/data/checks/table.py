"""Everything that is looked for, the gravest first."""

from __future__ import annotations

from typing import Final

from loraloom.data.checks import captions, masks, pictures, sets
from loraloom.data.checks.check import Check
from loraloom.data.finding import Finding
from loraloom.data.survey import Survey

CHECKS: Final = (
    Check(
        code="dataset.picture_unreadable",
        severity="error",
        detect=pictures.faulty("dataset.picture_unreadable"),
    ),
    Check(
        code="dataset.picture_mode",
        severity="error",
        detect=pictures.faulty("dataset.picture_mode"),
    ),
    Check(code="dataset.picture_too_small", severity="error", detect=pictures.too_small),
    Check(code="dataset.caption_missing", severity="error", detect=captions.missing),
    Check(
        code="dataset.caption_empty",
        severity="error",
        detect=captions.faulty("dataset.caption_empty"),
    ),
    Check(
        code="dataset.caption_undecodable",
        severity="error",
        detect=captions.faulty("dataset.caption_undecodable"),
    ),
    Check(
        code="dataset.caption_ambiguous",
        severity="error",
        detect=captions.faulty("dataset.caption_ambiguous"),
    ),
    Check(
        code="dataset.caption_unreadable",
        severity="error",
        detect=captions.faulty("dataset.caption_unreadable"),
    ),
    *(
        Check(code=code, severity="error", detect=masks.faulty(code))
        for code in (
            "dataset.masks_unreadable",
            "dataset.mask_missing",
            "dataset.mask_twice",
            "dataset.mask_shared",
            "dataset.mask_unreadable",
            "dataset.mask_size",
            "dataset.mask_empty",
        )
    ),
    Check(code="dataset.nothing_left", severity="error", detect=sets.nothing_left),
    Check(code="dataset.only_regularisation", severity="error", detect=sets.nothing_taught),
    Check(code="dataset.epoch_long", severity="error", detect=sets.epoch_long),
    Check(
        code="dataset.picture_too_large",
        severity="warning",
        detect=pictures.faulty("dataset.picture_too_large"),
    ),
    Check(code="dataset.picture_enlarged_much", severity="warning", detect=pictures.enlarged_much),
    Check(code="dataset.picture_cut", severity="warning", detect=pictures.cut),
    Check(code="dataset.picture_blurred", severity="warning", detect=pictures.blurred),
    Check(code="dataset.picture_alike", severity="warning", detect=pictures.alike),
    Check(code="dataset.picture_animated", severity="warning", detect=pictures.animated),
    Check(code="dataset.picture_transparent", severity="warning", detect=pictures.transparent),
    Check(code="dataset.picture_ink", severity="warning", detect=pictures.ink),
    Check(code="dataset.caption_from_folder", severity="warning", detect=captions.from_folder),
    Check(code="dataset.caption_from_trigger", severity="warning", detect=captions.from_trigger),
    Check(code="dataset.caption_garbled", severity="warning", detect=captions.garbled),
    Check(code="dataset.caption_damaged", severity="warning", detect=captions.damaged),
    Check(code="dataset.caption_encoding", severity="warning", detect=captions.encoded_otherwise),
    Check(code="dataset.caption_utf16", severity="warning", detect=captions.encoded("utf-16")),
    Check(code="dataset.caption_rivals", severity="warning", detect=captions.rivals),
    Check(code="dataset.caption_over_metadata", severity="warning", detect=captions.over_metadata),
    Check(code="dataset.caption_shared", severity="warning", detect=captions.shared),
    Check(code="dataset.caption_lines", severity="warning", detect=captions.lines_unused),
    Check(code="dataset.caption_strange", severity="warning", detect=captions.strange),
    Check(code="dataset.caption_long", severity="warning", detect=captions.too_long),
    Check(code="dataset.too_few", severity="warning", detect=sets.too_few),
    Check(code="dataset.uneven", severity="warning", detect=sets.uneven),
    Check(code="dataset.names_bytes", severity="warning", detect=sets.not_spelled),
    Check(code="dataset.names_one", severity="warning", detect=sets.one_name),
    Check(code="dataset.few", severity="note", detect=sets.few),
    Check(code="dataset.too_many", severity="note", detect=sets.too_many),
    Check(code="dataset.picture_enlarged", severity="note", detect=pictures.enlarged),
    Check(code="dataset.picture_turned", severity="note", detect=pictures.turned),
    Check(code="dataset.folder_captions", severity="note", detect=captions.folder_captions),
    Check(code="dataset.trigger_missing", severity="note", detect=captions.trigger_missing),
    Check(code="dataset.trigger_unnamed", severity="note", detect=captions.trigger_unnamed),
    Check(code="dataset.caption_mark", severity="note", detect=captions.encoded("utf-8-sig")),
    Check(code="dataset.caption_unpaired", severity="note", detect=captions.alone),
    Check(code="dataset.names_apart", severity="note", detect=sets.taken_apart),
    Check(code="dataset.names_capital", severity="note", detect=sets.capital_endings),
)


def examine(survey: Survey) -> tuple[Finding, ...]:
    """Return all that is to be told of a training folder, the gravest first.

    What is wrong with a table comes before what it leaves without a caption.
    """
    found = [finding for check in CHECKS for finding in check.findings(survey)]
    order = {"error": 0, "warning": 1, "note": 2}
    grave = [each for each in survey.remarks if each.severity == "error"]
    every = (*grave, *found, *(each for each in survey.remarks if each not in grave))
    return tuple(sorted(every, key=lambda each: order[each.severity]))
