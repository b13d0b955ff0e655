"""What is looked for in captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from loraloom.data.caption import plain_prompt
from loraloom.data.checks.check import Noticed, noticed
from loraloom.data.listing import composed
from loraloom.data.mojibake import Mended, damage
from loraloom.data.survey import Entry, Survey

_SPELLED = 0.5
_COMMON = 0.8
_PREVIEW = 60

# What captioners, and people, begin any caption with.
_OPENING = frozenset(
    ("a", "an", "the", "this", "is", "of", "in", "photo", "photograph", "picture", "image")
)


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
            told = ("reason", "readings")
            details = {name: first.details[name] for name in told if name in first.details}
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
            details: dict[str, object] = {"preview": preview, "encoding": encoding}
            names = tuple(dict.fromkeys(map(_file_name, found)))
            yield Noticed(files=names, details=details)

    return detect


def encoded_otherwise(survey: Survey) -> Iterator[Noticed]:
    """Find caption files in any encoding that is not Unicode's own."""
    found = {entry.caption.encoding for entry in survey.entries}
    for encoding in sorted(found - {"", "utf-8", "utf-8-sig", "utf-16"}):
        yield from encoded(encoding)(survey)


def garbled(survey: Survey) -> Iterator[Noticed]:
    """Find captions that were once read in the wrong encoding, and show how they can be mended."""
    ways: dict[tuple[str, str], list[tuple[Entry, Mended]]] = {}
    for each in survey.entries:
        if (mended := each.caption.mended) is not None:
            ways.setdefault((mended.written, mended.read), []).append((each, mended))
    for found in ways.values():
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
            found.setdefault(_endings(caption.file, other), []).append(entry)
    for (used, ignored), entries in found.items():
        yield from noticed(entries, used=used, ignored=ignored)


def _endings(used: Path, ignored: Path) -> tuple[str, str]:
    """Return what two files of one name differ in: their endings, else how they are composed."""
    if used.suffix != ignored.suffix:
        return used.suffix, ignored.suffix
    return _with_form(used), _with_form(ignored)


def _with_form(file: Path) -> str:
    return f"{file.suffix} ({'NFC' if file.name == composed(file.name) else 'NFD'})"


def over_metadata(survey: Survey) -> Iterator[Noticed]:
    """Find pictures with a caption file and a row in the metadata."""
    yield from noticed(entry for entry in survey.entries if entry.caption.also_row)


def lines_unused(survey: Survey) -> Iterator[Noticed]:
    """Find caption files of which only the first line counts."""
    found = [
        entry
        for entry in survey.entries
        if entry.caption.further_lines and not entry.rules(survey.aim).wildcards
    ]
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
        if prompt and entry.trigger(survey.aim) and prompt != _without_trigger(entry, survey)
    )
    yield from noticed(lacking, trigger=trigger)


def _without_trigger(entry: Entry, survey: Survey) -> str:
    return plain_prompt(entry.caption.text, replace(entry.rules(survey.aim), trigger=""))


def trigger_unnamed(survey: Survey) -> Iterator[Noticed]:
    """Tell where something is to be taught and no word is there to call it by."""
    if survey.aim.goal is None or survey.aim.trigger or common_tag(survey):
        return
    yield from noticed(entry for entry in survey.entries if entry.caption.text)


def common_tag(survey: Survey) -> str:
    """Return the tag, or the words of it, that most captions begin with, "" where there are none.

    Words that captions of any picture begin with, such as "a photo of", are none to call it by.
    """
    taught = [entry for entry in survey.entries if not entry.subset.source.regularisation]
    texts = [entry.caption.text for entry in taught if entry.caption.text]
    if len(texts) < 2:
        return ""
    tags = [text.partition(",")[0].split() for text in texts]
    words = _common_beginning([[word.casefold() for word in tag] for tag in tags])
    if _OPENING.issuperset(words):
        return ""
    length = len(words)
    return next(" ".join(t[:length]) for t in tags if [w.casefold() for w in t[:length]] == words)


def _common_beginning(tags: Sequence[Sequence[str]]) -> list[str]:
    """Return the longest run of words that most of the tags begin with."""
    words: list[str] = []
    left = tags
    while True:
        counted = Counter(tag[len(words)] for tag in left if len(tag) > len(words))
        word, count = next(iter(counted.most_common(1)), ("", 0))
        if count < _COMMON * len(tags):
            return words
        left = [tag for tag in left if len(tag) > len(words) and tag[len(words)] == word]
        words.append(word)


def strange(survey: Survey) -> Iterator[Noticed]:
    """Find captions in a language whose words the text encoder does not know."""
    found = [
        (entry, tokens)
        for entry, tokens in zip(survey.entries, survey.tokens, strict=True)
        if tokens.spelled >= _SPELLED
    ]
    if found:
        _, tokens = found[0]
        preview = _short(tokens.text)
        yield from noticed((entry for entry, _ in found), preview=preview, tokens=tokens.count)


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


def _file_name(entry: Entry) -> str:
    """Return the name of the file that an entry's caption is in, be it a table."""
    table = entry.subset.metadata.file
    if entry.caption.origin == "row" and table is not None:
        return entry.subset.told(table)
    return _caption_name(entry)


def _short(text: str) -> str:
    return text if len(text) <= _PREVIEW else f"{text[:_PREVIEW]}…"
