"""Names of files made from tokens."""

from __future__ import annotations

import pytest

from loraloom.jobs.lora.token_names import free_name, likeness


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("nul.x", "_nul.x"),
        ("Lpt9 .y", "_Lpt9 .y"),
        ("com\u00b9", "_com\u00b9"),
        ("com10", "com10"),
        ("../up", "__up"),
        ("end. .", "end_"),
        ("...", "_"),
        ("v1.5", "v1.5"),
        ("", "_"),
        ("half\ud800", "half_"),
    ],
)
def test_names_are_such_that_every_system_has_a_place_for_them(word, stem):
    assert free_name(word, ()) == f"{stem}.safetensors"


def test_names_are_shortened_to_255_bytes_and_numbered_within_them():
    fits, long = "x" * 243, "x" * 244
    assert free_name(fits, ()) == f"{fits}.safetensors"
    taken: set[str] = set()
    for word in (fits, long, long, long.upper()):
        name = free_name(word, taken)
        assert len(name) == 255
        assert likeness(name) not in taken
        taken.add(likeness(name))
