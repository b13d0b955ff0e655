"""The words that one use of a picture is trained on, made anew each time from its caption."""

from __future__ import annotations

import random
import re

from loraloom.data.listing import composed


def compose(
    caption: str,
    *,
    trigger: str = "",
    shuffle: bool = False,
    keep_tokens: int = 0,
    separator: str = ",",
    keep_tokens_separator: str | None = None,
    dropout_rate: float = 0.0,
    generator: random.Random,
) -> str:
    """Return the prompt for one use of a picture, by these steps in kohya's order.

    1. With probability `dropout_rate` the whole caption is dropped: "", and nothing follows.
    2. If `shuffle`, the tags between `separator`s are shuffled and joined by ", "; the first
       `keep_tokens` of them stay in front. Where the caption has `keep_tokens_separator`, the
       tags before its first mark stay in front instead, those after a second one at the end.
       Without `shuffle` the text is left as it is. A mark itself never reaches the model.
    3. A `trigger` that the prompt lacks is put before it: "trigger, prompt". It counts for
       nothing in step 2, so it stays first. It is lacking unless its words stand there in a row
       as whole words, in any case: "cat" is in "a Cat" but not in "a category".

    The generator is used only for what is asked: one draw where `dropout_rate` is above 0, one
    shuffle of the tags that move. Compared with kohya's `process_caption`: empty tags are dropped
    in every case, and marks are removed without `shuffle` too.
    """
    if dropout_rate > 0 and generator.random() < dropout_rate:
        return ""
    marked = keep_tokens_separator is not None and keep_tokens_separator in caption
    if shuffle or marked:
        head, moving, tail = _split(caption, separator, keep_tokens, keep_tokens_separator)
        if shuffle:
            generator.shuffle(moving)
        caption = ", ".join((*head, *moving, *tail))
    return with_trigger(caption, trigger)


def with_trigger(caption: str, trigger: str) -> str:
    """Return the caption with the trigger put before it, unless its words are already there."""
    words = composed(trigger).split()
    if not words:
        return caption
    # \b would not do: a trigger may start or end with a sign that is no letter.
    pattern = r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)"
    if re.search(pattern, composed(caption), re.IGNORECASE):
        return caption
    return ", ".join(filter(None, (" ".join(words), caption)))


def _split(
    caption: str, separator: str, keep_tokens: int, mark: str | None
) -> tuple[list[str], list[str], list[str]]:
    """Return the tags that stay in front, those that move, and those that stay at the end."""

    def tags(text: str) -> list[str]:
        return [tag for tag in map(str.strip, text.split(separator)) if tag]

    if mark is None or mark not in caption:
        every = tags(caption)
        return every[:keep_tokens], every[keep_tokens:], []
    head, moving, *tail = map(tags, caption.split(mark, 2))
    return head, moving, tail[0] if tail else []
