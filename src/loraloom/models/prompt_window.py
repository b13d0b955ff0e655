"""How much of a prompt a base's text encoder sees, known before any weight is loaded."""

# The tokenizers of transformers are only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from loraloom.errors import ModelError


@final
@dataclass(frozen=True, kw_only=True)
class PromptWindow:
    """A base's tokenizer; `limit` tokens of a prompt are seen besides the two marks."""

    tokenizer: Any
    limit: int

    def spans(self, prompt: str) -> Sequence[tuple[int, int]]:
        """Return which letters of a prompt each token covers, without the start and end marks."""
        # The tokenizer itself would warn of prompts that are too long, which callers look for.
        encoded = self.tokenizer.backend_tokenizer.encode(prompt)
        pairs = zip(encoded.offsets, encoded.special_tokens_mask, strict=True)
        return tuple(offsets for offsets, special in pairs if not special)


def read_prompt_window(folder: Path) -> PromptWindow:
    """Return the window of a Stable Diffusion 1.x folder; a broken tokenizer is a `ModelError`."""
    # In transformers 5 this is one class with CLIPTokenizer; in 4 that one tells no spans.
    from transformers import CLIPTokenizerFast  # pyright: ignore[reportAttributeAccessIssue]

    try:
        tokenizer = CLIPTokenizerFast.from_pretrained(
            folder, subfolder="tokenizer", local_files_only=True
        )
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise ModelError("model.unreadable", path=folder, reason=error) from error
    return PromptWindow(tokenizer=tokenizer, limit=int(tokenizer.model_max_length) - 2)
