"""The commands of `lora` that tell something: info, verify, diff, interference, hash, meta."""

from __future__ import annotations

from typing import Final

from loraloom.cli.lora_tables import (
    diff_lines,
    hash_lines,
    info_lines,
    interference_lines,
    metadata_lines,
    saved_lines,
    verify_lines,
)
from loraloom.cli.telling import Telling

TELLING: Final = (
    Telling(
        options="lora.telling_options:InfoOptions",
        job="lora_info:lora_infos",
        lines=info_lines,
        words=("files",),
    ).command("lora info", "FILE..."),
    Telling(
        options="lora.telling_options:VerifyOptions",
        job="lora.verify:verify",
        lines=verify_lines,
        words=("first", "second"),
    ).command("lora verify", "FILE [OTHER]"),
    Telling(
        options="lora.telling_options:DiffOptions",
        job="lora.verify:diff",
        lines=diff_lines,
        words=("first", "second"),
    ).command("lora diff", "FILE OTHER"),
    Telling(
        options="lora.telling_options:InterferenceOptions",
        job="lora.interference:interference",
        lines=interference_lines,
        words=("adapters",),
    ).command("lora interference", "FILE FILE..."),
    Telling(
        options="lora.telling_options:HashOptions",
        job="lora.header:tell_hashes",
        lines=hash_lines,
        words=("files",),
    ).command("lora hash", "FILE..."),
    Telling(
        options="lora.telling_options:ShowOptions",
        job="lora.header:show_metadata",
        lines=metadata_lines,
        words=("source",),
    ).command("lora meta show", "FILE"),
    Telling(
        options="lora.options:MetadataOptions",
        job="lora.header:set_metadata",
        lines=saved_lines,
        words=("source", "entries"),
    ).command("lora meta set", "FILE KEY=TEXT..."),
)
