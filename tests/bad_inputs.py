"""A training folder in which nearly everything is wrong that can be: one input per thing.

`python -m tests.bad_inputs FOLDER` writes it, to look at or to try other programs on.
"""

from __future__ import annotations

import io
import struct
import sys
import unicodedata
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

TRIGGER = "mydog"
WORDS = "a drawing of a red ball on the grass"


@dataclass
class BadInputs:
    """What was written, and what a check is to say of it: the names by code of finding."""

    root: Path
    inputs: int = 0
    expected: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    left_out: set[str] = field(default_factory=set[str])

    def expect(self, name: str, *codes: str, unusable: bool = False) -> None:
        """Count an input, and note what is to be said of it."""
        self.inputs += 1
        for code in codes:
            self.expected.setdefault(f"dataset.{code}", set()).add(name)
        if unusable:
            self.left_out.add(name)


def blocks(seed: int, side: int = 512) -> Image.Image:
    """Return a sharp picture of coloured squares; two of different seeds have nothing in common."""
    colours = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    return Image.fromarray(colours).resize((side, side), Image.Resampling.NEAREST)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return a picture as the content of a file."""
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def write_bad_inputs(root: Path) -> BadInputs:
    """Write the folder, in kohya's form, and return what is wrong with it."""
    bad = BadInputs(root)
    main, bare = root / "10_mydog", root / "2_"
    for folder in (main, bare):
        folder.mkdir(parents=True)
    for number in range(3):
        _put(main / f"good{number}.png", encoded(blocks(number), "PNG", compress_level=1))
    for write in (_pictures, _captions, _names):
        write(bad, main)
    _around(bad, main, bare)
    return bad


def _put(path: Path, content: bytes, caption: bytes | str | None = f"{TRIGGER}, {WORDS}") -> None:
    path.write_bytes(content)
    if caption is not None:
        data = caption.encode() if isinstance(caption, str) else caption
        path.with_suffix(".txt").write_bytes(data)


def _pictures(bad: BadInputs, folder: Path) -> None:
    png, jpeg = encoded(blocks(10), "PNG"), encoded(blocks(11), "JPEG")
    lossless = encoded(blocks(12), "WEBP", lossless=True, method=0)
    damaged: Mapping[str, bytes] = {
        "cut one.png": png[: len(png) // 2],
        "cut two.jpg": jpeg[: len(jpeg) // 2],
        "cut three.webp": lossless[: len(lossless) // 2],
        "empty.jpg": b"",
        "text.png": b"this is no picture",
    }
    for name, content in damaged.items():
        _put(folder / name, content)
        bad.expect(f"10_mydog/{name}", "picture_unreadable", unusable=True)
    one = {
        "deep.tif": (encoded(Image.new("F", (512, 512)), "TIFF"), "picture_mode", True),
        "bomb.png": (_bomb(), "picture_too_large", True),
        "tiny.png": (encoded(blocks(13, 60), "PNG"), "picture_too_small", True),
        "small.png": (encoded(blocks(14, 200), "PNG"), "picture_enlarged_much", False),
        "smaller.png": (encoded(blocks(15, 416), "PNG"), "picture_enlarged", False),
        "blurred.png": (_blurred(16), "picture_blurred", False),
        "lying.jpg": (_turned(17, 6), "picture_turned", False),
        "mirrored.jpg": (_turned(18, 2), "picture_turned", False),
        "ink.jpg": (encoded(blocks(19).convert("CMYK"), "JPEG"), "picture_ink", False),
        "glass.png": (_glass(20), "picture_transparent", False),
        "hole.gif": (_hole(21), "picture_transparent", False),
        "moving.gif": (_moving(22, "GIF"), "picture_animated", False),
        "moving.webp": (_moving(24, "WEBP"), "picture_animated", False),
    }
    for name, (content, code, unusable) in one.items():
        stem = Path(name).stem
        _put(folder / name, content, None if stem == "moving" else f"{TRIGGER}, {stem}")
        bad.expect(f"10_mydog/{name}", code, unusable=unusable)
    # Both moving pictures have the same stem, and so share a caption file.
    (folder / "moving.txt").write_text(f"{TRIGGER}, moving")
    bad.expect("10_mydog/moving.txt", "caption_shared")
    for name, quality in (("twin.png", None), ("twin again.jpg", 60)):
        options = {"quality": quality} if quality else {}
        _put(folder / name, encoded(blocks(26), "JPEG" if quality else "PNG", **options))
        bad.expect(f"10_mydog/{name}", "picture_alike")


def _captions(bad: BadInputs, folder: Path) -> None:
    korean = f"{TRIGGER}, {WORDS}, 풀밭의 공"
    by_stem: Mapping[str, tuple[bytes, str, bool]] = {
        "says nothing": (b"", "caption_empty", True),
        "says blanks": (b" \n\t\n", "caption_empty", True),
        "says noise": (b"\x89PNG\r\n\x1a\n\x00\x00", "caption_undecodable", True),
        "windows": (korean.encode("cp949"), "caption_encoding", False),
        "notepad": (korean.encode("utf-16"), "caption_utf16", False),
        "marked": (korean.encode("utf-8-sig"), "caption_mark", False),
        "garbled": (_garbled(korean, "latin-1"), "caption_garbled", False),
        "garbled more": (
            _garbled(f"{TRIGGER}, 고양이 한 마리", "cp1252"),
            "caption_garbled",
            False,
        ),
        "lost": (f"{TRIGGER}, {WORDS}, 풀�의 �".encode(), "caption_damaged", False),
        "strange": ("풀밭에 놓인 빨간 공 하나, mydog".encode(), "caption_strange", False),
        "long": (f"{TRIGGER}, {', '.join([WORDS] * 12)}".encode(), "caption_long", False),
        "lines": (f"{TRIGGER}, {WORDS}\n{WORDS} again\n".encode(), "caption_lines", False),
    }
    for number, (stem, (caption, code, unusable)) in enumerate(by_stem.items(), start=40):
        _put(folder / f"{stem}.png", encoded(blocks(number), "PNG"), caption)
        is_file = code not in ("caption_strange", "caption_long")
        ending = "txt" if is_file else "png"
        bad.expect(f"10_mydog/{stem}.{ending}", code)
        if unusable:
            bad.left_out.add(f"10_mydog/{stem}.png")
    _put(folder / "two.png", encoded(blocks(60), "PNG"))
    (folder / "two.caption").write_text("something else")
    bad.expect("10_mydog/two.png", "caption_rivals")
    _put(folder / "no trigger.png", encoded(blocks(61), "PNG"), WORDS)
    bad.expect("10_mydog/no trigger.png", "trigger_missing")
    _put(folder / "folder words.png", encoded(blocks(62), "PNG"), None)
    bad.expect("10_mydog/folder words.png", "caption_from_folder")
    (folder / "notes.txt").write_text("not a caption")
    bad.expect("10_mydog/notes.txt", "caption_unpaired")


def _names(bad: BadInputs, folder: Path) -> None:
    _put(folder / f"{unicodedata.normalize('NFD', '고양이')}.png", encoded(blocks(70), "PNG"))
    bad.expect("10_mydog/고양이.png", "names_apart")
    _put(folder / "CAMERA.JPG", encoded(blocks(71), "JPEG", quality=90))
    bad.expect("10_mydog/CAMERA.JPG", "names_capital")
    for number, name in enumerate(("same.png", "Same.png"), start=72):
        _put(folder / name, encoded(blocks(number), "PNG"))
        bad.expect(f"10_mydog/{name}", "names_one")


def _around(bad: BadInputs, main: Path, bare: Path) -> None:
    root = bad.root
    _put(bare / "undescribed.png", encoded(blocks(80), "PNG"), None)
    bad.expect("2_/undescribed.png", "caption_missing", unusable=True)
    row = '{"file_name": "gone.png", "text": "a"}\n{"file_name": "row.png", "text": "mydog"}\n'
    (bare / "metadata.jsonl").write_text(row)
    _put(bare / "row.png", encoded(blocks(81), "PNG"), None)
    bad.expect("gone.png", "metadata_no_picture")
    _put(bare / "both.png", encoded(blocks(82), "PNG"))
    with (bare / "metadata.jsonl").open("a") as file:
        file.write('{"file_name": "both.png", "text": "mydog, both"}\n')
    bad.expect("2_/both.png", "caption_over_metadata")
    (main / "phone.heic").write_bytes(b"a picture that is not read")
    bad.expect("10_mydog/phone.heic", "pictures_left_out")
    _put(root / "loose.png", encoded(blocks(83), "PNG"))
    bad.expect("loose.png", "pictures_beside")
    (root / "other").mkdir()
    _put(root / "other" / "unseen.png", encoded(blocks(84), "PNG"))
    bad.expect("other", "folders_left_out")
    (root / "3_empty").mkdir()
    bad.expect("3_empty", "folders_empty")
    for name in ("10_mydog", "2_"):
        bad.expected.setdefault("dataset.uneven", set()).add(name)
    bad.inputs += 1


def _bomb() -> bytes:
    """Return a PNG of 2.5 billion pixels that is a hundred bytes long."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _blurred(seed: int) -> bytes:
    return encoded(blocks(seed).filter(ImageFilter.GaussianBlur(12)), "PNG")


def _turned(seed: int, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(blocks(seed), "JPEG", exif=exif, quality=90)


def _glass(seed: int) -> bytes:
    image = blocks(seed).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return encoded(image, "PNG")


def _hole(seed: int) -> bytes:
    return encoded(blocks(seed).quantize(32), "GIF", transparency=0)


def _moving(seed: int, kind: str) -> bytes:
    frames = [blocks(seed), blocks(seed + 1)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def _garbled(text: str, read: str) -> bytes:
    """Return UTF-8 that was read as something else, and saved as UTF-8 again."""
    return text.encode().decode(read, errors="replace").encode()


if __name__ == "__main__":
    write_bad_inputs(Path(sys.argv[1]))
