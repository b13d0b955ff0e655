"""Finding LoRAs by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from loraloom.errors import ModelError, UsageError
from loraloom.jobs.library import Library, near_names


def put(path: Path, alias: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {} if alias is None else {"ss_output_name": alias}
    save_file({"t": torch.zeros(1)}, path, metadata=metadata)
    return path


def test_by_stem_in_any_subfolder(tmp_path: Path) -> None:
    path = put(tmp_path / "styles" / "deep" / "anime.safetensors")
    old = tmp_path / "old.pt"
    old.touch()
    library = Library.of([tmp_path])
    assert library.find("anime") == path
    assert library.find("old") == old


def test_by_the_name_in_the_header(tmp_path: Path) -> None:
    path = put(tmp_path / "v1-000010.safetensors", "수채화")
    assert Library.of([tmp_path]).find("수채화") == path


def test_a_stem_wins_over_a_header(tmp_path: Path) -> None:
    put(tmp_path / "anime-step00000500.safetensors", "anime")
    path = put(tmp_path / "anime.safetensors", "anime")
    assert Library.of([tmp_path]).find("anime") == path


def test_a_header_s_name_that_two_files_have(tmp_path: Path) -> None:
    put(tmp_path / "first.safetensors", "anime")
    put(tmp_path / "second.safetensors", "anime")
    library = Library.of([tmp_path])
    with pytest.raises(ModelError, match=r"first.*second"):
        library.find("anime")
    assert library.find("first").stem == "first"


def test_a_stem_that_two_files_have(tmp_path: Path) -> None:
    put(tmp_path / "a" / "anime.safetensors")
    put(tmp_path / "b" / "anime.safetensors")
    with pytest.raises(ModelError, match="anime"):
        Library.of([tmp_path]).find("anime")


def test_an_earlier_folder_wins(tmp_path: Path) -> None:
    first = put(tmp_path / "a" / "anime.safetensors")
    put(tmp_path / "b" / "anime.safetensors")
    assert Library.of([tmp_path / "a", tmp_path / "b"]).find("anime") == first
    assert Library.of([tmp_path / "a", tmp_path]).find("anime") == first


def test_folders_of_other_libraries_are_called_by_the_folder(tmp_path: Path) -> None:
    put(tmp_path / "peft_one" / "adapter_model.safetensors")
    put(tmp_path / "peft_two" / "unet" / "adapter_model.safetensors")
    put(tmp_path / "peft_two" / "text_encoder" / "adapter_model.safetensors")
    put(tmp_path / "pipe" / "pytorch_lora_weights.safetensors")
    library = Library.of([tmp_path])
    for name in ("peft_one", "peft_two", "pipe"):
        assert library.find(name) == tmp_path / name


def test_what_is_no_part_of_the_library(tmp_path: Path) -> None:
    put(tmp_path / ".cache" / "hidden.safetensors")
    put(tmp_path / "anime.run" / "state.safetensors")
    put(tmp_path / "shown.safetensors")
    library = Library.of([tmp_path])
    for name in ("hidden", "state"):
        with pytest.raises(ModelError):
            library.find(name)


def test_unknown_names_tell_where_was_looked_and_what_is_near(tmp_path: Path) -> None:
    put(tmp_path / "watercolor.safetensors")
    with pytest.raises(ModelError, match=r"did you mean watercolor\?") as caught:
        Library.of([tmp_path]).find("watercolour")
    assert caught.value.exit_code == 4
    assert str(tmp_path) in caught.value.message("ko")
    with pytest.raises(ModelError, match=r"those there: watercolor\."):
        Library.of([tmp_path]).find("quite different")


@pytest.mark.parametrize(
    ("wanted", "near"),
    [
        ("Watercolor", ("watercolor",)),
        ("water-color", ("watercolor",)),
        ("watercolr", ("watercolor",)),
        ("aniem", ("anime",)),
        ("anime style", ("anime_style",)),
        ("one", ()),  # shares but three of its letters with phone
        ("pencil", ()),
        ("water", ()),
        ("cat", ()),
        ("", ()),
    ],
)
def test_near_is_what_shares_four_fifths_of_the_letters(wanted: str, near: tuple[str, ...]) -> None:
    known = ("watercolor", "anime", "pixel", "anime_style", "car", "phone")
    assert near_names(wanted, known) == near


def test_many_that_are_not_near_are_told_in_short(tmp_path: Path) -> None:
    for number in range(30):
        put(tmp_path / f"style{number:02}.safetensors")
    with pytest.raises(ModelError, match=r"style00, style01.*\(\+22\)"):
        Library.of([tmp_path]).find("quite different")


def test_empty_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no LoRA file"):
        Library.of([tmp_path]).find("anime")
    for name in ("nowhere", "x" * 300):
        with pytest.raises(UsageError, match=name):
            Library.of([tmp_path / name])


def test_broken_files_have_no_other_name(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="broken"):
        Library.of([tmp_path]).find("anime")


def test_links_in_a_circle_are_no_lora(tmp_path: Path) -> None:
    loop = tmp_path / "loop.safetensors"
    loop.symlink_to(loop)
    path = put(tmp_path / "anime.safetensors")
    assert Library.of([tmp_path]).find("anime") == path
    with pytest.raises(ModelError):
        Library.of([tmp_path]).find("cartoon")
