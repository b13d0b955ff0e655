"""BLIP and BLIP-2 as transformers builds them, tiny and at random: shapes, lengths, and damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipForConditionalGeneration,
    BlipProcessor,
)

from loraloom.errors import ModelError
from loraloom.jobs.building.captioner import empty_captioner
from loraloom.jobs.building.wordpieces import captioner_processor
from loraloom.models.captioning.blip import Blip, load_blip
from loraloom.models.captioning.captioner import Wording
from loraloom.models.quiet import quietly

SENTENCES = ["a red ball in a meadow", "a blue cat at night"]
PICTURES = [
    Image.new("RGB", size, colour) for size, colour in (((30, 50), "red"), ((9, 9), "blue"))
]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blip")
    torch.manual_seed(0)
    processor = captioner_processor(SENTENCES)
    with quietly():
        empty_captioner(processor.tokenizer).save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder


def tiny_blip_2(folder: Path) -> Path:
    processor = captioner_processor(SENTENCES)
    tokenizer = processor.tokenizer
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    with quietly():
        whole = Blip2Processor(processor.image_processor, tokenizer, num_query_tokens=2)
        config = Blip2Config(
            vision_config={**small, "intermediate_size": 16, "image_size": 128, "patch_size": 64},
            qformer_config={**small, "intermediate_size": 16, "encoder_hidden_size": 16},
            text_config={
                "model_type": "opt",
                **small,
                "ffn_dim": 16,
                "vocab_size": len(tokenizer),
                "word_embed_proj_dim": 16,
                "max_position_embeddings": 64,
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.sep_token_id,
                "pad_token_id": tokenizer.pad_token_id,
            },
            num_query_tokens=2,
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        )
        Blip2ForConditionalGeneration(config).save_pretrained(folder)
        whole.save_pretrained(folder)
    return folder


def test_what_is_said_is_what_transformers_says(blip: Path) -> None:
    ours = load_blip(blip, "blip", Wording(num_beams=2, max_length=9), CPU, torch.float32)
    with quietly():
        processor: Any = BlipProcessor.from_pretrained(blip)
        network: Any = BlipForConditionalGeneration.from_pretrained(blip).eval()
    inputs = processor(images=PICTURES, return_tensors="pt")
    with torch.inference_mode():
        tokens = network.generate(**inputs, num_beams=2, min_new_tokens=5, max_new_tokens=9)
    theirs = processor.batch_decode(tokens, skip_special_tokens=True)
    assert ours.describe(PICTURES) == [text.strip() for text in theirs]
    assert any(theirs)


def test_lengths_are_kept(blip: Path) -> None:
    lengths: list[int] = []

    def spy(found: Blip) -> Blip:
        generate = found.network.generate

        def counted(**asked: Any) -> Any:
            tokens = generate(**asked)
            lengths.append(tokens.shape[1] - 1)  # without the mark it begins with
            return tokens

        found.network.generate = counted
        return found

    for low, high in ((7, 7), (2, 3)):
        wording = Wording(min_length=low, max_length=high)
        spy(load_blip(blip, "blip", wording, CPU, torch.float32)).describe(PICTURES)
        assert low <= lengths[-1] <= high


def test_blip_2_speaks(tmp_path: Path) -> None:
    found = load_blip(tiny_blip_2(tmp_path), "blip-2", Wording(max_length=6), CPU, torch.float32)
    said = found.describe(PICTURES)
    assert len(said) == 2
    assert all(isinstance(text, str) and "<image>" not in text for text in said)


def test_half_precision(blip: Path) -> None:
    found = load_blip(blip, "blip", Wording(max_length=6), CPU, torch.bfloat16)
    assert found.network.dtype == torch.bfloat16
    assert len(found.describe(PICTURES)) == 2


def test_damage_is_told_with_the_folder(blip: Path, tmp_path: Path) -> None:
    for file in blip.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\x08")
    with pytest.raises(ModelError) as caught:
        load_blip(tmp_path, "blip", Wording(), CPU, torch.float32)
    assert caught.value.code == "model.unreadable"
    assert caught.value.details["path"] == tmp_path
