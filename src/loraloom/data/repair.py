"""A copy of training folders in which everything that is safe to repair is repaired."""

# Pillow's colour management is only partly typed.
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from PIL import Image, ImageCms

from loraloom.data.captions import Caption
from loraloom.data.listing import spelled
from loraloom.data.metadata import relative_name
from loraloom.data.picture import Picture, opened, quiet, rgb, upright
from loraloom.data.survey import Aim, Entry, Survey, enlargement
from loraloom.errors import DatasetError

Change: TypeAlias = Literal[
    "upright", "rgb", "white", "first_frame", "renamed", "encoding", "mended", "one_caption"
]
"""What may be done to a picture (the first four become new pixels) or to its caption."""

_ANEW: tuple[Change, ...] = ("upright", "rgb", "white", "first_frame")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A picture that goes into the copy: where to, below it, with which caption, and what is done.

    `caption` is the text of its caption file, "" where the name of its folder is its caption.
    """

    entry: Entry
    target: PurePosixPath
    caption: str
    changes: tuple[Change, ...]

    @property
    def is_decoded(self) -> bool:
        """Whether its pixels are written anew; otherwise its bytes are copied."""
        return any(change in _ANEW for change in self.changes)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A picture that cannot be used, and the code of the finding that says why."""

    entry: Entry
    code: str


def plan_copy(
    survey: Survey, *, keep_alpha: bool = False, as_is: bool = False
) -> tuple[tuple[Kept, ...], tuple[LeftOut, ...]]:
    """Return what the copy holds and what it leaves out; nothing is written.

    `as_is` leaves the pictures alone, and out only those that cannot be decoded. Folders keep
    their names and places, in composed form. Names that some file system cannot keep apart, and
    pictures that would share a caption file, get a number at their end.
    """
    kept: list[Kept] = []
    left_out: list[LeftOut] = []
    tops = _tops(survey)
    taken: set[str] = set()
    masks = (None,) * len(survey.entries) if as_is else survey.mask_faults
    for entry, mask in zip(survey.entries, masks, strict=True):
        fault = entry.look.fault
        code = _why_unusable(entry, mask, survey.aim) if not as_is else fault.code if fault else ""
        if code:
            left_out.append(LeftOut(entry=entry, code=code))
            continue
        assert entry.look.picture is not None
        seen = entry.look.picture
        changes = [] if as_is else list(_picture_changes(seen, keep_alpha=keep_alpha))
        ending = ".png" if changes else entry.path.suffix.lower()
        target = _target(entry, tops[entry.subset.source.label], ending, taken)
        if target.stem != entry.path.stem or ending.lower() != entry.path.suffix:
            changes.append("renamed")
        caption, recoded = _caption(entry.caption)
        changes += recoded
        kept.append(Kept(entry=entry, target=target, caption=caption, changes=tuple(changes)))
    return tuple(kept), tuple(left_out)


def repaired(path: Path, *, keep_alpha: bool = False) -> Image.Image:
    """Return a picture's first frame, upright, in RGB, transparency laid on white.

    With `keep_alpha` it stays transparent. CMYK goes to sRGB by the picture's own colour profile,
    and by Pillow's formula where it has none or a broken one. All others are the very pixels that
    training would have seen. Raises DatasetError as `inspect` does.
    """
    with quiet(), opened(path) as image:
        image.load()
        if keep_alpha and image.has_transparency_data:
            pixels = image.convert("RGBA")
        else:
            pixels = _from_ink(image) or rgb(image)
        return upright(image, pixels)


def original(path: Path) -> bytes:
    """Return a picture's file as it is; DatasetError if it cannot be read any more."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(
            "dataset.picture_unreadable", count=1, files=str(path), reason=error.strerror
        ) from error


def png(image: Image.Image) -> bytes:
    """Return a picture as the content of a PNG file."""
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _from_ink(image: Image.Image) -> Image.Image | None:
    """Return a CMYK picture in sRGB by its profile, None if it is none or has none that works."""
    profile = image.info.get("icc_profile")
    if image.mode != "CMYK" or not profile:
        return None
    try:
        return ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError):
        return None


def _why_unusable(entry: Entry, mask: DatasetError | None, aim: Aim) -> str:
    """Return the code of what makes a picture unusable, "" where nothing does; so may its mask."""
    if entry.look.fault is not None:
        return entry.look.fault.code
    if entry.caption.fault is not None:
        return entry.caption.fault.code
    if not entry.caption.text:
        return "dataset.caption_missing"
    picture = entry.look.picture
    assert picture is not None
    fit = aim.fit(picture)
    if fit and enlargement(entry, fit) > aim.most_enlarged:
        return "dataset.picture_too_small"
    return mask.code if mask else ""


def _tops(survey: Survey) -> dict[str, PurePosixPath]:
    """Return the folder of the copy that each source goes to, by its label."""
    sources = {subset.source.label: subset.source for subset in survey.subsets}
    if len(sources) == 1:
        return dict.fromkeys(sources, PurePosixPath())
    tops: dict[str, PurePosixPath] = {}
    taken: set[str] = set()
    for label, source in sources.items():
        tops[label] = PurePosixPath(_free(spelled(source.folder.resolve().name), taken))
    return tops


def _target(entry: Entry, top: PurePosixPath, ending: str, taken: set[str]) -> PurePosixPath:
    subset = entry.subset
    inside = PurePosixPath(relative_name(entry.path.parent, subset.source.folder))
    # A numbered folder that was named itself keeps its number and words.
    own = PurePosixPath(subset.name) if subset.is_leaf else PurePosixPath()
    folder = top / own / inside
    stem = _free(spelled(entry.path.stem), taken, within=str(folder))
    return folder / f"{stem}{ending}"


def _free(name: str, taken: set[str], within: str = "") -> str:
    """Return a name that is not taken in a folder, and take it."""
    number, free = 1, name
    while f"{within}/{free}".casefold() in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(f"{within}/{free}".casefold())
    return free


def _picture_changes(picture: Picture, *, keep_alpha: bool) -> Iterator[Change]:
    if picture.turned:
        yield "upright"
    if picture.ink:
        yield "rgb"
    if picture.transparent and not keep_alpha:
        yield "white"
    if picture.animated:
        yield "first_frame"


def _caption(caption: Caption) -> tuple[str, tuple[Change, ...]]:
    """Return the text of a caption file, and what was done to it."""
    if caption.origin == "folder":
        return "", ()
    changes: list[Change] = []
    if caption.encoding not in ("utf-8", ""):
        changes.append("encoding")
    if caption.rivals or caption.also_row or caption.origin in ("row", "trigger"):
        changes.append("one_caption")
    if caption.mended and not caption.mended.lost:
        changes.append("mended")
        return caption.mended.text.strip(), tuple(changes)
    return "\n".join((caption.text, *caption.further_lines)), tuple(changes)
