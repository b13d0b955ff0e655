"""The words that one use of a picture is trained on, made anew each time from its caption."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from loraloom.data.listing import composed

_CHOICE: Final = re.compile(r"\{([^}]+)\}")
_BRACES: Final = (("{{", "\ue000", "{"), ("}}", "\ue001", "}"))
"""A doubled brace, a letter of private use that stands for it meanwhile, and what it means."""


@dataclass(frozen=True, kw_only=True)
class CaptionRules:
    """What is done with a caption, in kohya's order; see `compose`."""

    prefix: str = ""
    suffix: str = ""
    dropout_rate: float = 0.0
    dropout_every_n_epochs: int = 0
    wildcards: bool = False
    separator: str = ","
    shuffle: bool = False
    keep_tokens: int = 0
    keep_tokens_separator: str | None = None
    tag_dropout_rate: float = 0.0
    warmup_steps: float = 0
    warmup_least: int = 1
    secondary_separator: str | None = None
    trigger: str = ""

    @property
    def by_lot(self) -> bool:
        """Whether two uses of one caption of one line may get different words."""
        return self.wildcards or self.shuffle or self.dropout_rate > 0 or self.tag_dropout_rate > 0


def compose(
    caption: str,
    rules: CaptionRules,
    generator: random.Random,
    *,
    further_lines: Sequence[str] = (),
    epoch: int = 1,
    step: int = 0,
) -> str:
    """Return the prompt for one use of a picture, by these steps in kohya's order.

    1. `prefix` and `suffix` are put around the caption, each of its lines, with a blank between.
    2. The whole caption is dropped with probability `dropout_rate`, and in every epoch, counted
       from 1, that `dropout_every_n_epochs` divides: "", and nothing follows.
    3. With `wildcards` one of its lines (`further_lines` come after the first) is drawn, and then
       one word of each "{a|b}"; "{{" and "}}" are braces. Otherwise the first line is taken.
    4. With `shuffle`, `warmup_steps` or a `tag_dropout_rate` the text is split into tags at each
       `separator`. The first `keep_tokens` stay in front; where the caption has
       `keep_tokens_separator`, the tags before its first mark stay in front instead, and those
       after a second one at the end. Of the n others only the first `warmup_least` are left at the
       first step, and floor(`step` (n - `warmup_least`) / `warmup_steps`) more after `step` steps.
       These are shuffled, and then each is dropped with probability `tag_dropout_rate`. Tags are
       joined by ", ". Without any of the three the text is left as it is.
    5. Each `secondary_separator` becomes a `separator`: what it joined was one tag until here.
    6. A `trigger` that the prompt lacks is put before it: "trigger, prompt". It counts for nothing
       in step 4, so it stays first. It is lacking unless its words stand there in a row as whole
       words, in any case: "cat" is in "a Cat" but not in "a category".

    The generator is used only for what is asked: one draw where `dropout_rate` is above 0, one per
    choice, one shuffle of the tags that move, one draw for each of them that may be dropped.
    Compared with `process_caption` of kohya's trainer, which has no step 6. There empty tags go
    only where there are marks, marks stay where nothing is shuffled or dropped, and of several
    lines only the first gets the prefix and only the last the suffix.
    """
    lines = [_wrapped(line, rules) for line in (caption, *further_lines)]
    dropped = rules.dropout_rate > 0 and generator.random() < rules.dropout_rate
    every = rules.dropout_every_n_epochs
    if dropped or (every > 0 and epoch % every == 0):
        return ""
    text = _chosen(lines, generator) if rules.wildcards else lines[0]
    if _is_of_tags(text, rules):
        text = _retagged(text, rules, generator, step)
    return _finished(text, rules)


def plain_prompt(caption: str, rules: CaptionRules) -> str:
    """Return the prompt of a caption's first line where chance takes nothing from it.

    All tags are there in their order, and of each "{a|b}" the longest word: so it is about the
    longest prompt that may be drawn.
    """
    text = _wrapped(caption, rules)
    if rules.wildcards:
        text = _filled(text, lambda words: max(words, key=len))
    if _is_of_tags(text, rules):
        text = ", ".join(tag for tags in _split(text, rules) for tag in tags)
    return _finished(text, rules)


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


def _wrapped(line: str, rules: CaptionRules) -> str:
    before = f"{rules.prefix} " if rules.prefix else ""
    return f"{before}{line} {rules.suffix}" if rules.suffix else f"{before}{line}"


def _chosen(lines: Sequence[str], generator: random.Random) -> str:
    text = generator.choice(lines) if len(lines) > 1 else lines[0]
    return _filled(text, generator.choice)


def _filled(text: str, choose: Callable[[Sequence[str]], str]) -> str:
    """Return a text with one word for each "{a|b}" in it, and single braces for doubled ones."""
    for doubled, standing, _ in _BRACES:
        text = text.replace(doubled, standing)
    text = _CHOICE.sub(lambda found: choose(found[1].split("|")), text)
    for _, standing, meant in _BRACES:
        text = text.replace(standing, meant)
    return text


def _is_of_tags(text: str, rules: CaptionRules) -> bool:
    """Tell whether a text is taken apart into tags, which are joined by ", " again."""
    mark = rules.keep_tokens_separator
    changes = rules.shuffle or rules.warmup_steps > 0 or rules.tag_dropout_rate > 0
    return changes or (mark is not None and mark in text)


def _retagged(text: str, rules: CaptionRules, generator: random.Random, step: int) -> str:
    head, moving, tail = _split(text, rules)
    if step < rules.warmup_steps:
        least = rules.warmup_least
        more = math.floor(step * ((len(moving) - least) / rules.warmup_steps))
        moving = moving[: least + more]
    if rules.shuffle:
        generator.shuffle(moving)
    if rules.tag_dropout_rate > 0:
        moving = [tag for tag in moving if generator.random() >= rules.tag_dropout_rate]
    return ", ".join((*head, *moving, *tail))


def _finished(text: str, rules: CaptionRules) -> str:
    if rules.secondary_separator:
        text = text.replace(rules.secondary_separator, rules.separator)
    return with_trigger(text, rules.trigger)


def _split(text: str, rules: CaptionRules) -> tuple[list[str], list[str], list[str]]:
    """Return the tags that stay in front, those that move, and those that stay at the end."""

    def tags(text: str) -> list[str]:
        return [tag for tag in map(str.strip, text.split(rules.separator)) if tag]

    mark = rules.keep_tokens_separator
    if mark is None or mark not in text:
        every = tags(text)
        return every[: rules.keep_tokens], every[rules.keep_tokens :], []
    head, moving, *tail = map(tags, text.split(mark, 2))
    return head, moving, tail[0] if tail else []
