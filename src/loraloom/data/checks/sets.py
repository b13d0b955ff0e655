"""What is looked for in a folder as a whole: counts, balance, names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from loraloom.data.checks.check import Noticed, noticed
from loraloom.data.goals import Goal
from loraloom.data.listing import composed, is_spelled
from loraloom.data.order import MOST_USES
from loraloom.data.survey import Entry, Survey

_UNEVEN = 4


def nothing_left(survey: Survey) -> Iterator[Noticed]:
    """Tell where no picture can be used."""
    if not any(entry.look.picture for entry in survey.entries):
        yield from noticed(survey.entries)


def nothing_taught(survey: Survey) -> Iterator[Noticed]:
    """Tell where only pictures of a class can be used, so that nothing is learnt."""
    seen = [entry for entry in survey.entries if entry.look.picture]
    if seen and all(entry.subset.source.regularisation for entry in seen):
        yield Noticed(files=(), details={"folder": _folders(survey)})


def epoch_long(survey: Survey) -> Iterator[Noticed]:
    """Tell where an epoch has more uses than an order can hold."""
    for regularisation in (False, True):
        uses = sum(
            entry.subset.repeats
            for entry in survey.entries
            if entry.subset.source.regularisation == regularisation
        )
        if uses > MOST_USES:
            yield Noticed(files=(), details={"uses": f"{uses:,}", "most": f"{MOST_USES:,}"})


def too_few(survey: Survey) -> Iterator[Noticed]:
    """Tell where there are fewer pictures than the goal needs."""
    yield from _counted(survey, lambda count, goal: count < goal.least)


def few(survey: Survey) -> Iterator[Noticed]:
    """Tell where there are a little fewer pictures than the goal is best reached with."""
    yield from _counted(survey, lambda count, goal: goal.least <= count < goal.low)


def too_many(survey: Survey) -> Iterator[Noticed]:
    """Tell where there are many more pictures than the goal needs."""
    yield from _counted(survey, lambda count, goal: count > goal.many)


def uneven(survey: Survey) -> Iterator[Noticed]:
    """Tell where an epoch shows one subset far more often than another."""
    uses = {
        each.title: each.repeats * usable
        for each in survey.subsets
        if not each.source.regularisation
        and (usable := sum(bool(e.look.picture) for e in survey.entries if e.subset is each))
    }
    if len(uses) > 1:
        most, least = max(uses, key=uses.__getitem__), min(uses, key=uses.__getitem__)
        if uses[most] > _UNEVEN * uses[least]:
            counts = {"most_uses": uses[most], "least_uses": uses[least]}
            yield Noticed(files=(most, least), details={"most": most, "least": least, **counts})


def taken_apart(survey: Survey) -> Iterator[Noticed]:
    """Find names whose letters are stored in parts, as macOS does with Hangul."""
    yield from noticed(
        entry
        for entry in survey.entries
        if any(file.name != composed(file.name) for file in _files(entry))
    )


def not_spelled(survey: Survey) -> Iterator[Noticed]:
    """Find names whose bytes are no letters, with the folders that they are in."""
    yield from noticed(
        entry
        for entry in survey.entries
        if not all(is_spelled(_inside(file, entry)) for file in _files(entry))
    )


def capital_endings(survey: Survey) -> Iterator[Noticed]:
    """Find endings in capitals, which some trainers do not see."""
    yield from noticed(
        entry
        for entry in survey.entries
        if any(file.suffix != file.suffix.lower() for file in _files(entry))
    )


def one_name(survey: Survey) -> Iterator[Noticed]:
    """Find names that some systems cannot keep apart."""
    counted = Counter(map(_plain, {entry.path for entry in survey.entries}))
    yield from noticed(entry for entry in survey.entries if counted[_plain(entry.path)] > 1)


def _plain(path: Path) -> tuple[Path, str]:
    return path.parent, composed(path.name).casefold()


def _files(entry: Entry) -> tuple[Path, ...]:
    """Return the files of an entry: its picture and its captions."""
    caption = entry.caption
    return (entry.path, *((caption.file,) if caption.file else ()), *caption.rivals)


def _inside(file: Path, entry: Entry) -> str:
    return str(file.relative_to(entry.subset.source.folder))


def _counted(survey: Survey, is_off: Callable[[int, Goal], bool]) -> Iterator[Noticed]:
    goal = survey.aim.goal
    taught = [entry for entry in survey.entries if not entry.subset.source.regularisation]
    if goal is not None and is_off(len(taught), goal):
        details: dict[str, object] = {
            "folder": _folders(survey),
            "pictures": len(taught),
            "goal": goal.name,
            "least": goal.least,
            "low": goal.low,
            "high": goal.high,
        }
        yield Noticed(files=(), details=details)


def _folders(survey: Survey) -> str:
    sources = (subset.source for subset in survey.subsets)
    return ", ".join(dict.fromkeys(source.label or str(source.folder) for source in sources))
