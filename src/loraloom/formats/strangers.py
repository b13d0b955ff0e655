"""What a file is when it is no adapter: told by its first bytes, or by what its tensors are called.

The answers are keys of the message catalogue, each a sentence about one sort of file.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, final

_SIGNATURES: Final = (
    (b"version https://git-lfs", "file.is_pointer"),
    (b"<!", "file.is_web_page"),
    (b"<?xml", "file.is_web_page"),
    (b"<html", "file.is_web_page"),
    (b"<HTML", "file.is_web_page"),
    (b"<head", "file.is_web_page"),
    (b"PK\x03\x04", "file.is_zip"),
    (b"\x80\x02", "file.is_pickle"),
    (b"\x80\x03", "file.is_pickle"),
    (b"\x80\x04", "file.is_pickle"),
    (b"\x80\x05", "file.is_pickle"),
    (b"GGUF", "file.is_gguf"),
    (b"\x89PNG", "file.is_picture"),
    (b"\xff\xd8\xff", "file.is_picture"),
    (b"GIF8", "file.is_picture"),
    (b"RIFF", "file.is_picture"),
)


@final
@dataclass(frozen=True)
class _Sort:
    """A sort of tensor file, and how many of the tensors' names must look like its own."""

    code: str
    names: re.Pattern[str]
    share: float = 0.5


_SORTS: Final = (
    _Sort("format.is_control", re.compile(r"(control_model|controlnet_\w+|input_hint_block)\..*")),
    _Sort(
        "format.is_checkpoint",
        re.compile(r"(model\.diffusion_model|first_stage_model|cond_stage_model|conditioner)\..*"),
    ),
    _Sort(
        "format.is_decoder",
        re.compile(
            r"(encoder|decoder)\.(down|up|mid|down_blocks|up_blocks|mid_block"
            r"|(conv|norm|conv_norm)(_in|_out)?)\b.*"
        ),
    ),
    _Sort(
        "format.is_embedding",
        re.compile(r"emb_params|clip_[lg]|string_to_(param|token)(\..*)?|t5xxl|<[^<>]+>"),
        share=1.0,
    ),
    _Sort("format.is_image_prompt", re.compile(r"(ip_adapter|image_proj|image_proj_model)\..*")),
    _Sort(
        "format.is_network",
        re.compile(
            r"((text_model|model|transformer|encoder|time_embed\w*|input_blocks|output_blocks"
            r"|middle_block|down_blocks|up_blocks|mid_block|conv_in|conv_out|double_blocks"
            r"|single_blocks|transformer_blocks|joint_blocks|layers|embeddings)\.)"
            r"(?!.*(lora|hada|lokr|oft|boft|ia3|diff|alpha)).*\.(weight|bias)"
        ),
    ),
)

_UNREAD: Final = (
    ("format.unread_rotation", re.compile(r".+\.oft_diag")),
    ("format.unread_sparse", re.compile(r".+\.bias_(indices|values|size)")),
    ("format.unread_whole", re.compile(r".+\.(set_weight|reshape_weight|(query|key)_norm\.scale)")),
    ("format.unread_auxiliary", re.compile(r"_aux\..+")),
    ("format.unread_xlabs", re.compile(r"single_blocks\.\d+\.processor\..+_lora\..+")),
    ("format.unread_timestep", re.compile(r".+\.(lambda_layer|[pq]_layer\.weight)")),
)
"""Dialects of adapters with something that is no update of a weight by itself."""


def unread_dialect(names: Collection[str]) -> tuple[str, list[str]] | None:
    """Return the message about tensors of a dialect that is not read, and their names."""
    for code, pattern in _UNREAD:
        own = [name for name in names if pattern.fullmatch(name)]
        if own:
            return code, own
    return None


def sort_of_bytes(start: bytes) -> str | None:
    """Return the message about a file that begins so; None if it could be anything."""
    for signature, code in _SIGNATURES:
        if start.lstrip().startswith(signature):
            return code
    return "file.is_text" if _is_text(start) else None


def sort_of_tensors(names: Collection[str]) -> str | None:
    """Return the message about a file whose tensors are called so; None if nothing is known."""
    for sort in _SORTS:
        count = sum(1 for name in names if sort.names.fullmatch(name))
        if count and count >= sort.share * len(names):
            return sort.code
    return None


def _is_text(start: bytes) -> bool:
    """Whether these bytes read as text, though their last letter may be cut."""
    letters = start.decode("utf-8", errors="ignore")
    whole = len(letters.encode("utf-8")) >= len(start) - 3
    return (
        bool(letters)
        and whole
        and all(letter.isprintable() or letter.isspace() for letter in letters)
    )
