"""The job of captioning a folder: one text file beside each picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from PIL import Image

from loraloom.data.caption import with_trigger
from loraloom.data.finding import some
from loraloom.data.picture import upright_rgb
from loraloom.errors import DatasetError, OutputError
from loraloom.events import Advanced, Captioned, Event, Finished, PhaseStarted, Planned, Warned
from loraloom.formats.atomic import write_files
from loraloom.formats.obstacle import require_writable
from loraloom.jobs.caption_options import CaptionOptions as CaptionOptions
from loraloom.jobs.memory import guarded
from loraloom.jobs.uncaptioned import Uncaptioned, find_uncaptioned
from loraloom.models.captioning.captioner import AbstractCaptioner, Tagging, Wording
from loraloom.models.captioning.source import TAGGER, check_captioner
from loraloom.playground.packaged import PLAYGROUND, captioner_folder

PHASE: Final = "captions"

_OWN: Final = ("output.is_folder", "output.name_too_long")
"""What is wrong with the place of one caption file alone."""

_ONLY_BLIP: Final = ("num_beams", "min_length", "max_length")
_ONLY_TAGGER: Final = (
    "threshold",
    "general_threshold",
    "character_threshold",
    "remove_underscore",
    "undesired_tags",
    "caption_separator",
)


def caption(options: CaptionOptions, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Write a caption file beside every picture that lacks one; `stop` is asked per batch.

    What can be known to be wrong is found before the captioner is loaded. A file appears whole or
    not at all; a picture that cannot be read is told and left without. So is one whose file has a
    folder in its place, and then an OutputError follows when the others are done.
    """
    started = time.monotonic()
    work = find_uncaptioned(
        options.image_dir,
        options.caption_extension,
        overwrite=options.overwrite,
        recursive=options.recursive,
    )
    blocked = dict(_blocked(work))
    work = replace(work, files={p: file for p, file in work.files.items() if p not in blocked})
    name = str(captioner_folder()) if options.model == PLAYGROUND else options.model
    kind = check_captioner(name)
    yield Planned(job="caption", plan=_summary(options, work))
    yield from work.notices
    for error in blocked.values():
        yield Warned(code=error.code, details=error.details)
    yield from _without_effect(options, kind)
    if work.kept:
        yield Warned(code="caption.kept", details={"count": len(work.kept)})
    written: list[Path] = []
    done = 0
    for event in guarded(_write(options, name, work, stop), "memory.caption"):
        match event:
            case Captioned():
                written.append(event.path)
            case Advanced():
                done = event.done
            case _:
                pass
        yield event
    if blocked and done == len(work.files):
        names = some(path.name for path in blocked)
        raise OutputError("caption.blocked", count=len(blocked), files=names)
    yield Finished(
        job="caption",
        seconds=time.monotonic() - started,
        interrupted=done < len(work.files),
        outputs=tuple(written),
    )


def worded(options: CaptionOptions, said: str) -> str:
    """Return what is written for a picture of which a captioner said this."""
    trigger = options.trigger or ""
    text = options.template.replace("{trigger}", trigger).replace("{caption}", said).strip()
    return with_trigger(text, trigger)


def open_captioner(options: CaptionOptions, name: str) -> AbstractCaptioner:
    """Load the captioner of this name as the options ask."""
    # Only now, for this takes seconds.
    from loraloom.jobs.device import choose_device, choose_dtype
    from loraloom.models.captioning.load import load_captioner

    device = choose_device(options.device)
    general, character = options.general_threshold, options.character_threshold
    return load_captioner(
        name,
        Wording(
            num_beams=options.num_beams,
            min_length=options.min_length,
            max_length=options.max_length,
        ),
        Tagging(
            general_threshold=options.threshold if general is None else general,
            character_threshold=options.threshold if character is None else character,
            undesired_tags=frozenset(options.undesired_tags),
            remove_underscore=options.remove_underscore,
            separator=options.caption_separator,
        ),
        device=device,
        dtype=choose_dtype(options.dtype, device),
    )


def _blocked(work: Uncaptioned) -> Iterator[tuple[Path, OutputError]]:
    """Yield the pictures whose own file cannot be written; what stops all of them is an error."""
    for picture, file in work.files.items():
        try:
            require_writable(file)
        except OutputError as error:
            if error.code not in _OWN:
                raise
            yield picture, error


def _summary(options: CaptionOptions, work: Uncaptioned) -> dict[str, Any]:
    return {
        "captioner": options.model,
        "image_dir": str(options.image_dir),
        "images": len(work.files) + len(work.kept),
        "uncaptioned": len(work.files),
        "kept": len(work.kept),
        "trigger": options.trigger,
        "template": options.template,
    }


def _without_effect(options: CaptionOptions, kind: str) -> Iterator[Warned]:
    """Yield a warning for options that are set but that this kind of captioner does not know."""
    foreign = _ONLY_BLIP if kind == TAGGER else _ONLY_TAGGER
    fields = CaptionOptions.model_fields
    idle = [name for name in foreign if getattr(options, name) != fields[name].default]
    if kind and idle:
        details = {"names": ", ".join(f"--{name}" for name in idle), "kind": kind}
        yield Warned(code="caption.idle_options", details=details)


def _write(
    options: CaptionOptions, name: str, work: Uncaptioned, stop: Callable[[], bool]
) -> Iterator[Event]:
    if not work.files:
        return
    yield PhaseStarted(phase="model")
    captioner = open_captioner(options, name)
    yield PhaseStarted(phase=PHASE, total=len(work.files))
    paths = list(work.files)
    for first in range(0, len(paths), options.batch_size):
        batch = paths[first : first + options.batch_size]
        pictures: dict[Path, Image.Image] = {}
        for path in batch:
            try:
                pictures[path] = upright_rgb(path)
            except DatasetError as error:
                yield Warned(code=error.code, details=error.details)
        yield from _describe(options, captioner, pictures, work)
        yield Advanced(phase=PHASE, done=first + len(batch))
        if stop():
            return


def _describe(
    options: CaptionOptions,
    captioner: AbstractCaptioner,
    pictures: dict[Path, Image.Image],
    work: Uncaptioned,
) -> Iterator[Event]:
    said: Sequence[str] = captioner.describe(list(pictures.values())) if pictures else ()
    for picture, words in zip(pictures, said, strict=True):
        if not words:
            yield Warned(code="caption.nothing_said", details={"file": str(picture)})
            continue
        text = worded(options, words)
        file = work.files[picture]
        # A file that was there is blank, or to be overwritten.
        write_files({file: f"{text}\n".encode()}, overwrite=True)
        yield Captioned(path=file, caption=text)
