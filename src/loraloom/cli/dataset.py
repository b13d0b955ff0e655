"""The commands that look at training folders and put them in order: `dataset …`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loraloom.cli.command import Command, Request
from loraloom.cli.flags import by_key
from loraloom.cli.imported import imported
from loraloom.cli.plain_data import dumps
from loraloom.cli.records import Tally
from loraloom.cli.session import Session
from loraloom.errors import UsageError
from loraloom.events import Event
from loraloom.jobs.keys import Key, keys_of
from loraloom.jobs.settling import Given, settle

_OPTIONS: Final = "loraloom.jobs.dataset.options"
_SHOWN: Final = "loraloom.cli.dataset_lists"


@dataclass(frozen=True, kw_only=True)
class _Job:
    """Where a job, its options and what shows its report are, as "module:name".

    They are imported when they are needed. Bare words are folders.
    """

    options: str
    job: str
    show: str

    def keys(self) -> tuple[Key, ...]:
        return keys_of(imported(self.options))

    def run(self, session: Session, request: Request) -> int:
        keys = self.keys()
        values = by_key(request.flags, keys)
        _put_folders(values, request.words, {key.name for key in keys})
        values = _with_files(values)
        options = settle(imported(self.options), values)
        from loraloom.cli.follow import follow

        def start(stop: Callable[[], bool]) -> Iterator[Event]:
            return imported(self.job)(options, stop)

        def show(tally: Tally) -> int:
            return _tell(tally.report, session, self.show)

        return follow(session, start, show=show)


def _put_folders(values: dict[str, Given], words: tuple[str, ...], names: set[str]) -> None:
    """Let bare words be the folders; one at least must be named."""
    if words:
        if first := values.get("folders") or values.get("train_data_dir"):
            raise UsageError("recipe.twice", first=first.named, second=" ".join(words))
        values["folders"] = Given(spelling="folders", value=list(words))
    if "folders" not in values and "train_data_dir" not in values:
        raise UsageError("required.folders")
    if "train_data_dir" in names and "train_data_dir" not in values:
        folders: Any = values["folders"].value
        values["train_data_dir"] = Given(spelling="folders", value=folders[0])


def _with_files(values: dict[str, Given]) -> dict[str, Given]:
    """Return the values with those that data set files set, where no flag says otherwise.

    What several files set differently is a UsageError.
    """
    from loraloom.jobs.dataset.file import SUFFIX, read_dataset_file

    folders: Any = values["folders"].value if "folders" in values else []
    if not folders and "train_data_dir" in values:
        folders = [values["train_data_dir"].value]
    files = [place for place in map(str, folders) if place.lower().endswith(SUFFIX)]
    shared = [read_dataset_file(Path(file)).shared for file in files]
    merged = {name: given for each in (*shared, values) for name, given in each.items()}
    for each in shared:
        for name in merged.keys() - values.keys():
            if name not in each or each[name].value != merged[name].value:
                raise UsageError("dataset_file.differ", given=merged[name])
    return merged


def _tell(report: Mapping[str, Any], session: Session, show: str) -> int:
    """Tell a report and return the exit status that it asks for."""
    if session.json:
        from loraloom.jobs.dataset.report import worded

        told = dict(report)
        if "findings" in told:
            told["findings"] = worded(told["findings"], session.language)
        print(dumps(told), file=session.out)
    else:
        imported(show)(report, session)
    return int(report.get("exit_code", 0))


def _command(name: str, job: _Job) -> Command:
    return Command(name=f"dataset {name}", options=job.keys, run=job.run, words="FOLDER...")


DATASET_CHECK: Final = _command(
    "check",
    _Job(
        options=f"{_OPTIONS}:CheckOptions",
        job="loraloom.jobs.dataset.check:check",
        show="loraloom.cli.dataset_report:show_report",
    ),
)
DATASET_TAGS: Final = _command(
    "tags",
    _Job(
        options=f"{_OPTIONS}:TagsOptions",
        job="loraloom.jobs.dataset.tags:edit_tags",
        show=f"{_SHOWN}:show_tags",
    ),
)
DATASET_DEDUPE: Final = _command(
    "dedupe",
    _Job(
        options=f"{_OPTIONS}:DedupeOptions",
        job="loraloom.jobs.dataset.dedupe:dedupe",
        show=f"{_SHOWN}:show_groups",
    ),
)
DATASET_SPLIT: Final = _command(
    "split",
    _Job(
        options=f"{_OPTIONS}:SplitOptions",
        job="loraloom.jobs.dataset.split:split",
        show=f"{_SHOWN}:show_parts",
    ),
)
