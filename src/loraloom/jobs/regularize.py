"""The job of drawing class pictures: what the base itself makes of the class, to hold on to."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from loraloom.data.caption_files import EXTENSIONS, caption_files
from loraloom.data.folders import find_subsets
from loraloom.data.listing import Listing, composed, list_folder
from loraloom.data.source import Source
from loraloom.events import Event, Finished, Planned, Sampled, Saved
from loraloom.formats.atomic import write_files
from loraloom.formats.obstacle import require_writable
from loraloom.generation.numbering import next_number
from loraloom.generation.prompt import parse_prompt
from loraloom.jobs.drawing_check import check_drawing
from loraloom.jobs.drawing_options import GenerateOptions
from loraloom.jobs.generate import generate
from loraloom.jobs.regularize_options import PER_PICTURE
from loraloom.jobs.regularize_options import RegularizeOptions as RegularizeOptions

_ARTICLE: Final = re.compile(r"^(a|an|the)\s+", re.IGNORECASE)
_UNSAFE: Final = re.compile(r'[\\/:*?"<>|\x00-\x1f]+')
"""What names of folders must not hold on one system or another."""


def regularize(
    options: RegularizeOptions, stop: Callable[[], bool] = lambda: False
) -> Iterator[Event]:
    """Draw class pictures with captions into `output_dir/1_NAME` until there are enough.

    Pictures that are there are kept and count; each further one takes the next number, and the
    seed that many above the first. What can be known to be wrong is found before the model is
    loaded; `stop` is asked after each step.
    """
    started = time.monotonic()
    drawing = options.drawing
    text = parse_prompt(options.class_prompt).text
    folder = drawing.output_dir / f"1_{class_name(options)}"
    wanted = _wanted(options)
    there = list_folder(folder) if folder.is_dir() else None
    present = 0 if there is None or drawing.overwrite else len(there.pictures)
    missing = max(0, wanted - present)
    first = 0 if drawing.overwrite else next_number(folder)
    seed = drawing.first_seed()
    order = GenerateOptions(
        prompts=(options.class_prompt,),
        num_images=max(1, missing),
        drawing=drawing.model_copy(update={"output_dir": folder, "seed": seed + first}),
    )
    if missing:
        check_drawing(order.drawing, (tag.name for tag in parse_prompt(options.class_prompt).loras))
    require_writable(folder, folder=True)
    yield Planned(job="regularize", plan=_summary(options, folder, wanted, present, seed))
    if there is not None:
        yield from _caption_what_is_there(there, text)
    written: list[Path] = []
    interrupted = False
    for event in generate(order, stop) if missing else ():
        match event:
            case Planned():
                continue
            case Finished():
                interrupted = event.interrupted
                continue
            case Sampled():
                _write_caption(event.path, text)
                written.append(event.path)
            case _:
                pass
        yield event
    yield Finished(
        job="regularize",
        seconds=time.monotonic() - started,
        interrupted=interrupted,
        outputs=(folder,),
    )


def class_name(options: RegularizeOptions) -> str:
    """Return the class's name as a folder may bear it: "a bear" is "bear"."""
    words = options.class_name or _ARTICLE.sub("", parse_prompt(options.class_prompt).text.strip())
    return _UNSAFE.sub(" ", words).strip(" .") or "class"


def _wanted(options: RegularizeOptions) -> int:
    if options.num_class_images is not None or options.train_data_dir is None:
        return options.num_class_images or 0
    subsets, _ = find_subsets(Source(folder=options.train_data_dir))
    own = [subset for subset in subsets if not subset.source.regularisation]
    return PER_PICTURE * sum(1 for subset in own for _ in subset.pictures())


def _caption_what_is_there(there: Listing, text: str) -> Iterator[Event]:
    """Caption pictures without words of their own, as a lost process may leave its last one."""
    known = caption_files(there, EXTENSIONS)
    for picture in there.pictures:
        if composed(picture.stem) not in known:
            yield Saved(path=_write_caption(picture, text), what="caption")


def _write_caption(picture: Path, text: str) -> Path:
    file = picture.with_suffix(".txt")
    write_files({file: f"{text}\n".encode()}, overwrite=True)
    return file


def _summary(
    options: RegularizeOptions, folder: Path, wanted: int, present: int, seed: int
) -> dict[str, Any]:
    drawing = options.drawing
    return {
        "model": drawing.model,
        "class_prompt": options.class_prompt,
        "images": wanted,
        "present": present,
        "missing": max(0, wanted - present),
        "sampler": ", ".join(drawing.sampler_labels()),
        "steps": drawing.steps,
        "seed": seed,
        "output_dir": str(folder),
    }
