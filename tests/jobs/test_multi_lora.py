"""Mixing LoRAs from Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loraloom.errors import ModelError, OutputError, UsageError
from loraloom.generation.images import read_infotext
from loraloom.generation.infotext import Infotext
from loraloom.jobs.multi_lora import MultiLoRAGenerator, create_comparison_grid


@pytest.fixture(scope="module")
def loaded(tiny_base: Path, lora_folder: Path) -> Iterator[MultiLoRAGenerator]:
    with MultiLoRAGenerator(str(tiny_base), device="cpu") as generator:
        generator.load_lora(lora_folder / "one.safetensors", "one")
        generator.load_lora(str(lora_folder / "two"), "둘")
        yield generator


def told(picture: Image.Image) -> Infotext:
    return Infotext.parse(picture.info["parameters"])


def same(one: Image.Image, other: Image.Image) -> bool:
    difference = np.asarray(one, dtype=int) - np.asarray(other, dtype=int)
    return bool(abs(difference).max() <= 1)


def test_pictures_of_a_mix(loaded: MultiLoRAGenerator) -> None:
    mix = [("one", 0.6), ("둘", 0.4)]
    pictures = loaded.generate("a cat", lora_configs=mix, num_images=3, seed=42, steps=2)
    assert [told(picture).fields["Seed"] for picture in pictures] == ["42", "43", "44"]
    assert told(pictures[0]).lora_hashes.keys() == {"one", "둘"}
    again = loaded.generate("a cat <lora:one:.6><lora:둘:.4>", seed=43, steps=2)
    assert same(again[0], pictures[1])
    assert not same(loaded.generate("a cat", seed=43, steps=2)[0], pictures[1])


def test_settings_are_passed_on(loaded: MultiLoRAGenerator) -> None:
    picture = loaded.generate(
        "a cat", seed=1, steps=3, width=24, sampler="Euler a", negative_prompt="dog"
    )[0]
    assert picture.size == (24, 16)
    assert told(picture).negative_prompt == "dog"
    assert told(picture).fields["Sampler"] == "Euler a"


def test_a_seed_left_out_is_random(loaded: MultiLoRAGenerator) -> None:
    seeds = {told(loaded.generate("a cat", steps=1)[0]).fields["Seed"] for _ in range(2)}
    assert len(seeds) == 2


def test_comparison(loaded: MultiLoRAGenerator, tmp_path: Path) -> None:
    mixes = [[("one", 1.0)], [("one", 0.7), ("둘", 0.3)]]
    comparison = loaded.generate_comparison("a cat", mixes, seed=5, steps=2)
    assert [label for label, _ in comparison] == ["base", "one 1", "one 0.7 + 둘 0.3"]
    assert same(comparison[0][1], loaded.generate("a cat", seed=5, steps=2)[0])
    assert same(comparison[2][1], loaded.generate("a cat", mixes[1], seed=5, steps=2)[0])
    without = loaded.generate_comparison("a cat", mixes, include_base=False, seed=5, steps=2)
    assert [label for label, _ in without] == ["one 1", "one 0.7 + 둘 0.3"]
    path = tmp_path / "comparison.png"
    grid = create_comparison_grid(comparison, save_path=path)
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(grid))
    assert read_infotext(path) == comparison[0][1].info["parameters"]
    with pytest.raises(OutputError):
        create_comparison_grid(comparison, save_path=path)
    create_comparison_grid(without, save_path=path, overwrite=True)


def test_a_name_is_replaced(tiny_base: Path, lora_folder: Path) -> None:
    with MultiLoRAGenerator(str(tiny_base), device="cpu") as generator:
        generator.load_lora(lora_folder / "one.safetensors", "style")
        first = generator.generate("a cat", [("style", 1.0)], seed=1, steps=2)[0]
        generator.load_lora(lora_folder / "two.safetensors", "style")
        second = generator.generate("a cat", [("style", 1.0)], seed=1, steps=2)[0]
        assert not same(first, second)
        assert generator.loras == {"style": lora_folder / "two.safetensors"}


def test_what_goes_wrong(loaded: MultiLoRAGenerator, lora_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="three"):
        loaded.generate("a cat", [("three", 1.0)], steps=1)
    with pytest.raises(ModelError):
        loaded.load_lora(tmp_path / "missing", "three")
    for name in ("", "a:b", " a", "a=b", "<a>"):
        with pytest.raises(UsageError):
            loaded.load_lora(lora_folder / "one.safetensors", name)
    assert loaded.loras.keys() == {"one", "둘"}
    assert loaded.generate("a cat", [("둘", 1.0)], steps=1)
    with pytest.raises(UsageError):
        create_comparison_grid([])
