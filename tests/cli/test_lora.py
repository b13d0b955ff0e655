"""`loraloom lora info`: what a file's header tells."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from loraloom.cli.main import main

SITE = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
TEXT = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"


@pytest.fixture
def file(tmp_path):
    """Write a LoRA of rank 4 and alpha 2 with kohya's names."""
    tensors = {}
    for site in (SITE, TEXT):
        tensors[f"{site}.lora_down.weight"] = np.zeros((4, 8), np.float16)
        tensors[f"{site}.lora_up.weight"] = np.zeros((8, 4), np.float16)
        tensors[f"{site}.alpha"] = np.array(2.0, np.float16)
    path = tmp_path / "sks.safetensors"
    metadata = {"ss_base_model_version": "sd_v1", "ss_output_name": "sks"}
    save_file(tensors, path, metadata)
    return path


def test_a_program_gets_numbers(file, capsys):
    assert main(["lora", "info", str(file), str(file), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["adapters"]
    assert first == second
    assert first["kinds"] == ["lora"]
    assert first["rank"] == [4, 4]
    assert first["alpha"] == [2.0, 2.0]
    assert first["scale"] == [0.5, 0.5]
    assert first["sites"] == {"unet": 1, "text_encoder": 1}
    assert first["parameters"] == 2 * 2 * 4 * 8
    assert first["bytes"] == file.stat().st_size
    assert first["family"] == "sd1"


def test_a_person_gets_a_table(file, capsys):
    assert main(["lora", "info", str(file), "--lang", "ko"]) == 0
    shown = capsys.readouterr().out
    assert str(file) in shown
    assert "배율(alpha / rank)" in shown
    assert "0.5" in shown
    assert "1 text_encoder + 1 unet" in shown


@pytest.mark.parametrize(
    ("format", "entry"), [("native", "loraloom.deltas"), ("kohya", "ss_network_args")]
)
def test_entries_that_say_nothing_to_a_person_are_left_to_programs(
    file, tmp_path, capsys, format, entry
):
    output = tmp_path / f"{format}.safetensors"
    words = ["lora", "merge", f"{file}:0.5", "-o", str(output), "--to", format]
    assert main(words) == 0
    capsys.readouterr()
    assert main(["lora", "info", str(output), "--lang", "en"]) == 0
    shown = capsys.readouterr().out
    assert "numbers" in shown
    assert "loraloom.deltas" not in shown
    assert "network args" not in shown
    assert main(["lora", "meta", "show", str(output), "--json"]) == 0
    assert entry in json.loads(capsys.readouterr().out)["metadata"]


def test_a_file_that_is_none_ends_with_status_4(tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nothing of the kind")
    assert main(["lora", "info", str(path)]) == 4
    assert "error [file." in capsys.readouterr().err


def test_metadata_of_strangers_do_nothing_to_a_terminal(file, tmp_path, capsys):
    hostile = "x\x1b[31m\x07\u202e\r\n\x00y"
    other = tmp_path / "other.safetensors"
    save_file(load_file(file), other, {"ss_output_name": hostile, "modelspec.title": hostile})
    for words in (["info", other], ["meta", "show", other], ["diff", file, other]):
        assert main(["lora", *map(str, words)]) == 0
        shown = capsys.readouterr().out
        assert "�[31m" in shown
        assert not {"\x1b", "\x07", "\u202e", "\r", "\x00"} & set(shown)
    assert main(["lora", "meta", "show", str(other), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["metadata"]["ss_output_name"] == hostile
