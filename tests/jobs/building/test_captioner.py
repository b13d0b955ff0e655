"""The captioner's beginnings: its tokenizer, its lessons, and a file that transformers reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BlipForConditionalGeneration, BlipProcessor

from loraloom.jobs.building.captioner import captioner_course, lessons_of, new_captioner
from loraloom.jobs.building.retelling import save_captioner
from loraloom.jobs.building.wordpieces import (
    captioner_processor,
    wordpiece_tokenizer,
    world_captions,
)
from loraloom.models.quiet import quietly
from loraloom.playground.scenes import COLOURS, OBJECTS, Scene, Thing, sample_scene
from loraloom.playground.styles import render


@pytest.fixture(scope="module")
def processor() -> Any:
    return captioner_processor(world_captions(300))


def test_every_word_of_the_world_is_one_token(processor: Any) -> None:
    tokenizer = processor.tokenizer
    for word in (*OBJECTS, *COLOURS, "meadow", "sunset", "left"):
        assert tokenizer.tokenize(word) == [word]
    # Longest first, as WordPiece is defined (arXiv 1810.04805); what is not known is spelt.
    assert tokenizer.tokenize("Catx") == ["cat", "##x"]
    assert tokenizer.tokenize("zen 7!") == ["z", "##e", "##n", "7", "!"]
    ids = tokenizer("a red ball")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a red ball"


def test_the_vocabulary_depends_on_nothing_but_the_captions() -> None:
    captions = ["a red ball", "a red cat", "a teal cat"]
    first, second = (wordpiece_tokenizer(captions).get_vocab() for _ in range(2))
    assert first == second
    assert first["cat"] < first["ball"] < first["teal"], "frequent first, then by the alphabet"


def test_patches_are_asked_what_they_show_a_part_of(processor: Any) -> None:
    left = Thing(kind="fish", colour="teal", x=0.25, y=0.5, size=0.25)
    right = Thing(kind="car", colour="red", x=0.75, y=0.75, size=0.25)
    scene = Scene(background="night", things=(left, right), seed=0)
    pictures = np.zeros((1, 128, 128, 3), np.uint8)
    lessons = lessons_of(processor.tokenizer, pictures, [scene], ["a teal fish and a red car"])
    objects, colours = lessons.parts[0].reshape(2, 8, 8)
    fish, car = 1 + OBJECTS.index("fish"), 1 + COLOURS.index("red")
    # 0.25 wide around 0.25: of the centres 0.0625, 0.1875, …, the second and the third.
    assert (objects == fish).nonzero().tolist() == [[3, 1], [3, 2], [4, 1], [4, 2]]
    assert (colours == car).nonzero().tolist() == [[5, 5], [5, 6], [6, 5], [6, 6]]
    assert lessons.tokens[0, 0, 0] == processor.tokenizer.bos_token_id
    assert not torch.equal(lessons.tokens[0, 0], lessons.tokens[0, 1]), "the place is added"


def test_patches_begin_uncorrelated_and_equally_strong(processor: Any) -> None:
    generator = np.random.default_rng(0)
    scenes = [sample_scene(generator) for _ in range(16)]
    pictures = np.stack([render(scene) for scene in scenes])
    network = new_captioner(processor.tokenizer, 0, pictures)
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    embedded = network.vision_model.embeddings.patch_embedding(pixels).flatten(2)
    values = embedded.transpose(1, 2).flatten(0, 1).detach()
    covariance = values.T @ values / len(values)
    assert values.mean(dim=0).abs().max() < 1e-3
    # 0.25 along strong components; a component of variance v is dimmed by v / (v + 0.01).
    strengths = torch.linalg.eigvalsh(covariance)
    assert 0.24 < strengths.max() <= 0.25001
    assert covariance.diagonal().std() < 0.05


def test_a_course_learns_and_its_file_is_read_by_transformers(
    processor: Any, tmp_path: Path
) -> None:
    generator = np.random.default_rng(1)
    scenes = [sample_scene(generator) for _ in range(4)]
    pictures = np.stack([render(scene, "plain") for scene in scenes])
    tokenizer = processor.tokenizer
    network = new_captioner(tokenizer, 1, pictures)
    lessons = lessons_of(tokenizer, pictures, scenes, ["a red ball"] * 4)
    course = captioner_course(network, lessons, tokenizer.pad_token_id, tmp_path, 1)
    before = course.loss(0, torch.Generator().manual_seed(0)).item()
    for _ in course.run(until=4):
        pass
    assert course.loss(0, torch.Generator().manual_seed(0)).item() < before - 0.3
    save_captioner(course.averaged(), processor, tmp_path / "captioner")
    with quietly():
        read: Any = BlipProcessor.from_pretrained(tmp_path / "captioner")
        again: Any = BlipForConditionalGeneration.from_pretrained(tmp_path / "captioner")
    assert read.tokenizer.get_vocab() == tokenizer.get_vocab()
    pixels = read(images=Image.fromarray(pictures[0]), return_tensors="pt")["pixel_values"]
    assert torch.equal(pixels[0], torch.from_numpy(pictures[0]).permute(2, 0, 1) / 127.5 - 1)
    stored = course.averaged()["captioner.vision_model.embeddings.patch_embedding.weight"]
    weight = again.vision_model.embeddings.patch_embedding.weight
    assert torch.equal(weight, stored.half().to(weight.dtype))
