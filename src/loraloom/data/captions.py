"""Which words describe each picture of a subset, where several places may say it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from loraloom.data.caption_files import EXTENSIONS, caption_files, read_caption
from loraloom.data.finding import Tally, some
from loraloom.data.folders import Subset
from loraloom.data.listing import Listing, composed
from loraloom.data.metadata import relative_name
from loraloom.errors import DatasetError


def find_captions(
    root: Path, subset: Subset, *, extensions: tuple[str, ...], trigger: str, tally: Tally
) -> Mapping[Path, str]:
    """Return the caption of each picture of a subset, sorted by path, "" where there is none.

    The first of these that exists: its caption file (in the order of `extensions`), its row in
    the metadata file, the words of the folder's name, the trigger. Every choice between two, and
    every stand-in for a caption, goes into `tally` under the picture's path below `root`.
    """
    files = {
        listing.folder: _files(root, listing, extensions, tally) for listing in subset.listings
    }
    captions: dict[Path, str] = {}
    for listing, path in subset.pictures():
        name = relative_name(path, root)
        beside = files[listing.folder].get(composed(path.stem), ())
        row = subset.metadata.captions.get(relative_name(path, subset.folder), "")
        if beside:
            captions[path] = _read(root, beside, name, tally)
            if row:
                tally.warn("dataset.caption_over_metadata", name)
        elif row:
            captions[path] = row
        else:
            captions[path] = subset.words or trigger
            _tell_stand_in(subset.words, trigger, name, tally)
    return captions


def check_extension(root: Path, subsets: Sequence[Subset], extensions: tuple[str, ...]) -> None:
    """Raise DatasetError if no caption file ends as asked, though pictures have other ones."""

    def endings(wanted: tuple[str, ...]) -> set[str]:
        found: set[str] = set()
        for listing in (listing for subset in subsets for listing in subset.listings):
            files = caption_files(listing, wanted)
            for picture in listing.pictures:
                found |= {file.suffix for file in files.get(composed(picture.stem), ())}
        return found

    others = endings(EXTENSIONS)
    if others and not endings(extensions):
        raise DatasetError(
            "dataset.caption_extension_absent",
            folder=str(root),
            asked=extensions[0],
            found=min(others),
        )


def check_complete(root: Path, captions: Mapping[Path, str]) -> None:
    """Raise DatasetError if any picture has no caption, naming the first few."""
    missing = [relative_name(path, root) for path, caption in captions.items() if not caption]
    if missing:
        raise DatasetError(
            "dataset.caption_missing",
            folder=str(root),
            count=len(missing),
            total=len(captions),
            files=some(missing),
            stem=Path(missing[0]).stem,
        )


def _files(
    root: Path, listing: Listing, extensions: tuple[str, ...], tally: Tally
) -> Mapping[str, tuple[Path, ...]]:
    files = caption_files(listing, extensions)
    pictures = Counter(composed(picture.stem) for picture in listing.pictures)
    for stem, (first, *_) in files.items():
        if pictures[stem] == 0:
            tally.note("dataset.caption_unpaired", relative_name(first, root))
        elif pictures[stem] > 1:
            tally.warn("dataset.caption_shared", relative_name(first, root))
    return files


def _read(root: Path, beside: tuple[Path, ...], name: str, tally: Tally) -> str:
    used, *ignored = beside
    for other in ignored:
        tally.warn("dataset.caption_rivals", name, used=used.suffix, ignored=other.suffix)
    caption = read_caption(used)
    if caption.encoding == "cp949":
        tally.warn("dataset.caption_encoding", relative_name(used, root))
    if caption.more_lines:
        tally.warn("dataset.caption_lines", relative_name(used, root))
    return caption.text


def _tell_stand_in(words: str, trigger: str, name: str, tally: Tally) -> None:
    if words:
        tally.warn("dataset.caption_from_folder", name, words=words)
    elif trigger:
        tally.warn("dataset.caption_from_trigger", name, trigger=trigger)
