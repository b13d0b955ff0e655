"""What is looked for in captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from loraloom.data.checks.check import Noticed, noticed
from loraloom.data.mojibake import damage
from loraloom.data.survey import Entry, Survey

_SPELLED = 0.5
_COMMON = 0.8
_PREVIEW = 60


def faulty(code: str) -> Callable[[Survey], Iterator[Noticed]]:
    """Return what finds captions that are there but say nothing, for the reason `code`."""

    def detect(survey: Survey) -> Iterator[Noticed]:
        found = [
            (entry, fault)
            for entry in survey.entries
            if (fault := entry.caption.fault) and fault.code == code
        ]
        if found:
            _, first = found[0]
            details = {"reason": first.details["reason"]} if "reason" in first.details else {}
            names = tuple(_caption_name(entry) for entry, _ in found)
            yield Noticed(files=names, details=details)

    return detect


def missing(survey: Survey) -> Iterator[Noticed]:
    """Find pictures that nothing describes."""
    bare = [entry for entry in survey.entries if entry.caption.origin == "nowhere"]
    if bare:
        stem = Path(bare[0].name).stem
        yield from noticed(bare, total=len(survey.entries), stem=stem)


def from_folder(survey: Survey) -> Iterator[Noticed]:
    """Find pictures that have no words but those of their folder, unlike others in it."""
    for _, words, entries in _by_folder(survey, whole=False):
        yield from noticed(entries, words=words)


def folder_captions(survey: Survey) -> Iterator[Noticed]:
    """Find subsets in which the words of the folder caption every picture."""
    for subset, words, entries in _by_folder(survey, whole=True):
        yield from noticed(entries, words=words, subset=subset)


def from_trigger(survey: Survey) -> Iterator[Noticed]:
    """Find pictures that have no words but the trigger."""
    bare = (entry for entry in survey.entries if entry.caption.origin == "trigger")
    yield from noticed(bare, trigger=survey.aim.trigger)


def encoded(encoding: str) -> Callable[[Survey], Iterator[Noticed]]:
    """Return what finds caption files in an encoding."""

    def detect(survey: Survey) -> Iterator[Noticed]:
        found = [entry for entry in survey.entries if entry.caption.encoding == encoding]
        if found:
            preview = _short(found[0].caption.text)
            yield Noticed(files=tuple(map(_caption_name, found)), details={"preview": preview})

    return detect


def garbled(survey: Survey) -> Iterator[Noticed]:
    """Find captions that were once read in the wrong encoding, and show how they can be mended."""
    found = [(e, mended) for e in survey.entries if (mended := e.caption.mended)]
    if found:
        entry, mended = found[0]
        details: dict[str, object] = {
            "written": mended.written,
            "read": mended.read,
            "before": _short(entry.caption.text),
            "after": _short(mended.text.strip().partition("\n")[0]),
            "lost": f"{max(each.lost for _, each in found):.0%}",
        }
        yield Noticed(files=tuple(_caption_name(entry) for entry, _ in found), details=details)


def damaged(survey: Survey) -> Iterator[Noticed]:
    """Find captions with letters that were lost for good."""
    found = [
        entry
        for entry in survey.entries
        if entry.caption.mended is None and damage(entry.caption.text)
    ]
    if found:
        worst = max(found, key=lambda entry: damage(entry.caption.text))
        yield Noticed(
            files=tuple(map(_caption_name, found)),
            details={
                "preview": _short(worst.caption.text),
                "lost": f"{damage(worst.caption.text):.0%}",
            },
        )


def rivals(survey: Survey) -> Iterator[Noticed]:
    """Find pictures with several caption files."""
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in survey.entries:
        caption = entry.caption
        for other in caption.rivals:
            assert caption.file is not None
            found.setdefault((caption.file.suffix, other.suffix), []).append(entry)
    for (used, ignored), entries in found.items():
        yield from noticed(entries, used=used, ignored=ignored)


def over_metadata(survey: Survey) -> Iterator[Noticed]:
    """Find pictures with a caption file and a row in the metadata."""
    yield from noticed(entry for entry in survey.entries if entry.caption.also_row)


def lines_unused(survey: Survey) -> Iterator[Noticed]:
    """Find caption files of which only the first line counts."""
    if not survey.aim.wildcards:
        found = [entry for entry in survey.entries if entry.caption.further_lines]
        if found:
            yield Noticed(files=tuple(map(_caption_name, found)), details={})


def alone(survey: Survey) -> Iterator[Noticed]:
    """Find text files that belong to no picture."""
    if survey.alone:
        yield Noticed(files=survey.alone, details={})


def shared(survey: Survey) -> Iterator[Noticed]:
    """Find caption files of several pictures."""
    if survey.shared:
        yield Noticed(files=survey.shared, details={})


def trigger_missing(survey: Survey) -> Iterator[Noticed]:
    """Find captions without the trigger, which is put before them."""
    trigger = survey.aim.trigger
    lacking = (
        entry
        for entry, prompt in zip(survey.entries, survey.prompts, strict=True)
        if prompt and prompt != entry.caption.text and entry.trigger(survey.aim)
    )
    yield from noticed(lacking, trigger=trigger)


def trigger_unnamed(survey: Survey) -> Iterator[Noticed]:
    """Tell where something is to be taught and no word is there to call it by."""
    if survey.aim.goal is None or survey.aim.trigger or common_tag(survey):
        return
    yield from noticed(entry for entry in survey.entries if entry.caption.text)


def common_tag(survey: Survey) -> str:
    """Return the tag that most captions begin with, "" where there is no such tag."""
    taught = [entry for entry in survey.entries if not entry.subset.source.regularisation]
    texts = [entry.caption.text for entry in taught if entry.caption.text]
    counted = Counter(text.partition(",")[0].strip() for text in texts)
    for tag, count in counted.most_common(1):
        if len(texts) > 1 and count >= _COMMON * len(texts):
            return tag
    return ""


def strange(survey: Survey) -> Iterator[Noticed]:
    """Find captions in a language whose words the text encoder does not know."""
    found = [
        (entry, tokens)
        for entry, tokens in zip(survey.entries, survey.tokens, strict=True)
        if tokens.spelled >= _SPELLED
    ]
    if found:
        entry, tokens = found[0]
        text = entry.prompt(survey.aim)
        yield from noticed((entry for entry, _ in found), preview=_short(text), tokens=tokens.count)


def too_long(survey: Survey) -> Iterator[Noticed]:
    """Find prompts whose end the text encoder does not see."""
    found = [
        (entry, tokens)
        for entry, tokens in zip(survey.entries, survey.tokens, strict=True)
        if tokens.cut
    ]
    if found:
        _, longest = max(found, key=lambda pair: pair[1].count)
        yield from noticed(
            (entry for entry, _ in found),
            limit=survey.aim.token_limit,
            longest=longest.count,
            cut=_short(longest.cut.strip(" ,")),
        )


def _by_folder(survey: Survey, *, whole: bool) -> Iterator[tuple[str, str, list[Entry]]]:
    """Yield the subsets with pictures captioned by their folder: all of them, or only some."""
    found: dict[str, list[Entry]] = {}
    sizes = Counter(entry.subset.title for entry in survey.entries)
    for entry in survey.entries:
        if entry.caption.origin == "folder":
            found.setdefault(entry.subset.title, []).append(entry)
    for title, entries in found.items():
        if (len(entries) == sizes[title]) == whole:
            yield title, entries[0].caption.text, entries


def _caption_name(entry: Entry) -> str:
    """Return the name of an entry's caption file, or its own where a table holds its caption."""
    file = entry.caption.file
    return entry.subset.told(file) if file else entry.name


def _short(text: str) -> str:
    return text if len(text) <= _PREVIEW else f"{text[:_PREVIEW]}…"
