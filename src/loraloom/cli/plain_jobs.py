"""The commands that fill one group of options and run one job: generate, caption, `lora …`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from loraloom.cli.command import Command, Request
from loraloom.cli.imported import imported
from loraloom.cli.records import Tally
from loraloom.cli.session import Session
from loraloom.cli.words import given_to
from loraloom.events import Event
from loraloom.jobs.keys import Key, keys_of
from loraloom.jobs.settling import Given, settle


@dataclass(frozen=True, kw_only=True)
class _PlainJob:
    """Where a job and its options are, as "module:name", imported when they are needed.

    `words` names the keys that the command's bare words fill, one after the other; `stopping` is
    the code of what Ctrl-C is answered with.
    """

    options: str
    job: str
    words: tuple[str, ...] = ()
    stopping: str = "progress.stopping"

    def kind(self) -> Any:
        return imported(self.options)

    def keys(self) -> tuple[Key, ...]:
        return keys_of(self.kind())

    def run(self, session: Session, request: Request) -> int:
        values = given_to(self.keys(), self.words, request)
        if any(key.name == "lang" for key in self.keys()):
            values["lang"] = Given(spelling="lang", value=session.language)
        options = settle(self.kind(), values)

        from loraloom.cli.follow import follow

        def start(stop: Callable[[], bool]) -> Iterator[Event]:
            return imported(self.job)(options, stop)

        return follow(session, start, advice=partial(_advice, self.job), stopping=self.stopping)


def _advice(job: str, tally: Tally) -> Sequence[str]:
    return _NEXT.get(job, ()) if tally.outputs else ()


_NEXT: Final = {
    "loraloom.jobs.demo:run_demo": ("loraloom train FOLDER --model playground --trigger WORD",)
}


_LORA_OPTIONS: Final = "loraloom.jobs.lora.options"
_ENDING: Final = "progress.ending"
"""What is said to a job that writes its one result at the end, or nothing."""


def _command(name: str, job: _PlainJob, words: str = "") -> Command:
    return Command(name=name, options=job.keys, run=job.run, words=words)


GENERATE: Final = _command(
    "generate",
    _PlainJob(
        options="loraloom.jobs.drawing_options:GenerateOptions",
        job="loraloom.jobs.generate:generate",
        words=("prompts",),
    ),
    "PROMPT...",
)
GRID: Final = _command(
    "grid",
    _PlainJob(
        options="loraloom.jobs.drawing_options:GridOptions",
        job="loraloom.jobs.grid:make_grid",
        words=("prompts",),
    ),
    "PROMPT...",
)
CAPTION: Final = _command(
    "caption",
    _PlainJob(
        options="loraloom.jobs.caption_options:CaptionOptions",
        job="loraloom.jobs.caption:caption",
        words=("image_dir",),
    ),
    "DIR",
)
REGULARIZE: Final = _command(
    "regularize",
    _PlainJob(
        options="loraloom.jobs.regularize_options:RegularizeOptions",
        job="loraloom.jobs.regularize:regularize",
        words=("train_data_dir",),
    ),
    "DIR",
)
DEMO: Final = _command(
    "demo",
    _PlainJob(
        options="loraloom.jobs.demonstration.options:DemoOptions", job="loraloom.jobs.demo:run_demo"
    ),
)
LORA_CONVERT: Final = _command(
    "lora convert",
    _PlainJob(
        options=f"{_LORA_OPTIONS}:ConvertOptions",
        job="loraloom.jobs.lora.convert:convert",
        stopping=_ENDING,
        words=("source", "destination"),
    ),
    "SRC DST",
)
LORA_MERGE: Final = _command(
    "lora merge",
    _PlainJob(
        options=f"{_LORA_OPTIONS}:MergeOptions",
        job="loraloom.jobs.lora.merge:merge",
        stopping=_ENDING,
        words=("adapters",),
    ),
    "FILE:WEIGHT...",
)
LORA_RESIZE: Final = _command(
    "lora resize",
    _PlainJob(
        options=f"{_LORA_OPTIONS}:ResizeOptions",
        job="loraloom.jobs.lora.resize:resize",
        stopping=_ENDING,
        words=("source",),
    ),
    "FILE",
)
LORA_EXTRACT: Final = _command(
    "lora extract",
    _PlainJob(
        options=f"{_LORA_OPTIONS}:ExtractOptions",
        job="loraloom.jobs.lora.extract:extract",
        stopping=_ENDING,
        words=("tuned", "original"),
    ),
    "TUNED ORIGINAL",
)
LORA_FUSE: Final = _command(
    "lora fuse",
    _PlainJob(
        options=f"{_LORA_OPTIONS}:FuseOptions",
        job="loraloom.jobs.lora.fuse:fuse",
        stopping=_ENDING,
        words=("base", "adapters"),
    ),
    "BASE FILE:WEIGHT...",
)
