"""`loraloom train`: the words and flags that become a recipe, and what is said about it."""

import json
import shlex
from pathlib import Path

import pytest

from loraloom.cli.main import main
from loraloom.errors import DatasetError, Diverged
from loraloom.events import Planned, Saved
from loraloom.jobs.recipe import Recipe

from .conftest import FILE

KOHYA = """
    --pretrained_model_name_or_path="runwayml/stable-diffusion-v1-5"
    --train_data_dir="./train_data" --output_dir="./output" --output_name="my_style_lora"
    --network_module=networks.lora --network_dim=32 --network_alpha=16 --resolution=512
    --train_batch_size=1 --max_train_epochs=10 --learning_rate=1e-4 --optimizer_type="AdamW"
    --mixed_precision="fp16" --save_model_as=safetensors
"""
DIFFUSERS = """
    --pretrained_model_name_or_path=stable-diffusion-v1-5/stable-diffusion-v1-5
    --instance_data_dir=dogs --output_dir=out --instance_prompt="a photo of sks dog"
    --resolution=512 --train_batch_size=1 --gradient_accumulation_steps=1
    --checkpointing_steps=100 --learning_rate=1e-4 --lr_scheduler="constant"
    --lr_warmup_steps=0 --max_train_steps=500
    --validation_prompt="A photo of sks dog in a bucket" --validation_epochs=50 --seed="0"
"""


def train(*words: str) -> int:
    return main(["train", *words, "--model", "playground", "--quiet"])


def test_the_command_of_sd_scripts_means_what_it_means_there(training):
    assert main(["train", *shlex.split(KOHYA)]) == 0
    (adapter,) = training.recipe.adapters
    assert training.recipe.pretrained_model_name_or_path == "runwayml/stable-diffusion-v1-5"
    assert training.recipe.mixed_precision == "fp16"
    assert (adapter.name, str(adapter.data.train_data_dir)) == ("my_style_lora", "train_data")
    assert (adapter.network.network_dim, adapter.network.alpha) == (32, 16.0)
    assert adapter.data.resolution == (512, 512)
    assert adapter.training.max_train_epochs == 10


def test_the_command_of_diffusers_means_what_it_means_there(training):
    assert main(["train", *shlex.split(DIFFUSERS)]) == 0
    recipe, (adapter,) = training.recipe, training.recipe.adapters
    assert adapter.data.trigger == "a photo of sks dog"
    assert str(adapter.data.train_data_dir) == "dogs"
    assert adapter.training.max_train_steps == 500
    assert adapter.training.seed == 0
    assert recipe.save_every_n_steps == 100
    assert recipe.sample_prompts == ("A photo of sks dog in a bucket",)
    assert recipe.sample_every_n_epochs == 50


def test_a_folder_is_one_adapter(training):
    assert train("photos", "--trigger", "sks", "-r", "4", "--no_shuffle_caption") == 0
    assert training.recipe == Recipe.load(
        overrides={"model": "playground", "data": "photos", "trigger": "sks", "rank": 4}
    )


def test_several_folders_are_several_adapters(training):
    assert train("cats", "a/dogs", "--adapter", "owl=birds") == 0
    found = {a.name: str(a.data.train_data_dir) for a in training.recipe.adapters}
    assert found == {"cats": "cats", "dogs": "a/dogs", "owl": "birds"}


def test_files_are_recipes_and_flags_win(training, tmp_path: Path):
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text('model = "m"\ndata = "d"\nrank = 4\nseed = 1\n')
    second.write_text("rank = 8\n")
    assert main(["train", str(first), "--config", str(second), "--seed", "2"]) == 0
    assert main(["train", str(first), str(second), "--seed", "2", "--quiet"]) == 0
    for recipe in training.recipes:
        (adapter,) = recipe.adapters
        assert (adapter.network.network_dim, adapter.training.seed) == (8, 2)


def test_packed_values_may_follow_one_flag(training):
    words = ["--network_args", "conv_dim=4", "conv_alpha=2", "photos"]
    assert train(*words, "--optimizer-args=eps=1e-6", "weight_decay=0.5") == 0
    (adapter,) = training.recipe.adapters
    assert (adapter.network.conv_dim, adapter.network.conv_alpha) == (4, 2)
    assert (adapter.optimizer.adam_epsilon, adapter.optimizer.weight_decay) == (1e-6, 0.5)
    assert str(adapter.data.train_data_dir) == "photos"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["photos", "--data", "others"], "recipe.twice"),
        (["photos", "--rank", "4", "--network-dim", "8"], "recipe.twice"),
        (["--adapter", "cat"], "cli.adapter_form"),
        (["photos", "--rank", "many"], "option.expects_integer"),
        (["photos", "--optimizer_type", "AdamW8bit"], "option.expects_choice"),
        (["photos", "--gradient_checkpointing"], "foreign.memory"),
        (["photos", "--report_to", "wandb"], "foreign.tracker"),
        (["photos", "--resume", "auto"], "foreign.resume"),
        (["photos", "--rnak", "4"], "cli.unknown_flag_near"),
        (["photos", "--qqqqqqqqqq"], "cli.unknown_flag"),
        (["photos", "--rank"], "cli.no_value"),
        (["photos", "--trigger", "--rank", "4"], "cli.no_value"),
        (["photos", "--overwrite=yes"], "cli.flag_with_value"),
        (["photos", "--lang", "fr"], "option.expects_choice"),
        (["lost.toml"], "recipe.unreadable"),
        ([""], "option.empty"),
        (["photos", "--device", "banana"], "device.unknown"),
        (["photos", "--train_batch_size", "1" + "0" * 400], "option.bounds"),
        ([], "required.train_data_dir"),
    ],
)
def test_what_is_off_ends_with_status_2_before_anything_starts(training, capsys, words, code):
    assert main(["train", *words, "--model", "playground", "--json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == code
    assert f"error [{code}]" in captured.err
    assert training.recipes == []


def test_without_a_base_the_playground_is_offered(training, capsys):
    assert main(["train", "photos"]) == 2
    assert "--model playground" in capsys.readouterr().err


def test_keys_that_hold_anyway_are_noted(training, capsys):
    assert train("photos", "--xformers", "--masked-loss", "--max_token_length", "75") == 0
    captured = capsys.readouterr().err
    for name in ("xformers", "masked_loss", "max_token_length"):
        assert f"--{name}" in captured
    assert "note [held." in captured


@pytest.mark.parametrize("words", [["--dry_run"], ["--measure"], ["--dry_run", "--quiet"]])
def test_the_plan_is_the_result_of_a_dry_run(training, capsys, words):
    assert main(["train", "photos", "--model", "playground", *words]) == 0
    captured = capsys.readouterr()
    assert captured.out == "Plan:\n  base model  playground\n  steps       3\n"
    assert "playground" not in captured.err


def test_the_plan_of_a_dry_run_is_told_to_programs_too(training, capsys):
    assert main(["train", "photos", "--model", "playground", "--dry_run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"] == {"model": "playground", "steps": 3}
    assert main(["train", "photos", "--model", "playground", "--dry_run", "--events", "-"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[0])["type"] == "planned"


def test_class_pictures_are_told_in_their_bucket(training, capsys):
    bucket = {"size": [128, 128], "batches": 0, "cut": 0, "regularisation": 20}
    plan = {"buckets": [{**bucket, "images": 0}, {**bucket, "images": 1, "batches": 1}]}
    training.events = lambda stop: iter([Planned(job="train", plan=plan)])
    assert main(["train", "photos", "--model", "playground", "--dry_run"]) == 0
    told = capsys.readouterr().out
    assert "128x128: 20 regularisation pictures," in told
    assert "128x128: 1 pictures, 1 batches per epoch, and 20 regularisation pictures" in told


def test_the_files_are_the_result_and_the_next_commands_are_advice(training, capsys):
    words = ["train", "my photos", "--trigger", "sks", "--name", "cat", "--model", "playground"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{Path('output/cat.safetensors')}\n"
    wanted = 'loraloom generate "sks <lora:cat:0.8>" --model playground --lora_dir output'
    assert wanted in captured.err
    assert "Done in 1:01." in captured.err


def test_an_error_of_the_job_keeps_its_status_and_speaks_the_language(training, capsys, tmp_path):
    def fail(stop):
        raise DatasetError("dataset.folder_missing", folder="photos")
        yield

    training.events = fail
    events = tmp_path / "new" / "events.ndjson"
    assert train("photos", "--lang", "ko", "--events", str(events), "--json") == 3
    captured = capsys.readouterr()
    assert captured.err.startswith("오류 [dataset.folder_missing]: photos 폴더가 없습니다.")
    error = json.loads(captured.out)["error"]
    assert (error["code"], error["exit_code"]) == ("dataset.folder_missing", 3)
    (line,) = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert (line["type"], line["code"]) == ("error", "dataset.folder_missing")
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("error", [MemoryError(), "torch"])
def test_too_little_memory_ends_with_status_5(training, capsys, error):
    import torch

    def fail(stop):
        raise torch.OutOfMemoryError("CUDA out of memory") if error == "torch" else error
        yield

    training.events = fail
    assert train("photos") == 5
    assert "error [cli.memory]" in capsys.readouterr().err


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_files_that_were_complete_are_told_with_the_error(training, capsys, form):
    def break_off(stop):
        yield Saved(path=FILE, what="adapter", step=2)
        raise Diverged("train.diverged", adapter="dog", step=3)

    training.events = break_off
    assert train("photos", *form) == 6
    captured = capsys.readouterr()
    assert "error [train.diverged]" in captured.err
    if form:
        result = json.loads(captured.out)
        assert result["error"]["exit_code"] == 6
        assert result["outputs"] == [str(FILE)]
    else:
        assert captured.out == f"{FILE}\n"


def test_a_mistake_of_ours_keeps_its_traceback(training):
    def fail(stop):
        raise RuntimeError("shapes differ")
        yield

    training.events = fail
    with pytest.raises(RuntimeError, match="shapes differ"):
        train("photos")
