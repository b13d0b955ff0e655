"""The demonstration's folders and questions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from loraloom.data.scan import scan
from loraloom.events import Advanced, Event
from loraloom.jobs.demonstration.datasets import IMAGES, UNSEEN, StyleFolder, write_folder
from loraloom.jobs.demonstration.questions import base_questions, style_questions
from loraloom.playground.scenes import is_held_out


def test_a_folder_is_kohyas_and_shows_no_unseen_object(
    tmp_path: Path, finish: Callable[..., tuple[list[Event], StyleFolder]]
) -> None:
    events, folder = finish(write_folder("watercolor", tmp_path, seed=3))
    counts = [event.done for event in events if isinstance(event, Advanced)]
    assert counts == list(range(1, IMAGES + 1))
    found = scan(folder.parent, trigger=folder.trigger)
    assert found.findings == ()
    assert len(found.examples) == IMAGES == 24
    assert {example.repeats for example in found.examples} == {10}
    assert {example.caption.split(", ")[0] for example in found.examples} == {"wcstyle"}
    words = " ".join(example.caption for example in found.examples).split()
    assert not set(words) & set(UNSEEN)
    with Image.open(folder.pictures[0]) as picture:
        assert picture.size == (128, 128)


def test_base_questions_are_of_combinations_never_shown() -> None:
    questions = base_questions(256)
    assert [question.seed for question in questions] == list(range(256))
    triples = {tuple(question.asked.values()) for question in questions}
    assert len(triples) == 92, "all of them"
    assert all(is_held_out(*triple) for triple in triples)


def test_style_questions_are_of_unseen_objects_and_balanced() -> None:
    questions = style_questions("wcstyle", 64)
    assert len({question.prompt for question in questions}) == 64
    assert all(question.prompt.startswith("wcstyle, a") for question in questions)
    for name in UNSEEN:
        assert sum(question.asked["object"] == name for question in questions) == 16
