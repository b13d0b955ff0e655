"""Recipes: what is read, what wins, what is refused, and that nothing is dropped in silence."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraloom.errors import LoraLoomError, UsageError
from loraloom.jobs.foreign import FOREIGN, Foreign
from loraloom.jobs.keys import Key, index, keys_of
from loraloom.jobs.packed import PACKED
from loraloom.jobs.recipe import AdapterOptions, Recipe, known_keys
from loraloom.jobs.settling import UsageErrors
from loraloom.text import LANGUAGES, catalogue

MINIMUM = {"model": "playground", "train_data_dir": "photos"}


def load(tmp_path: Path, text: str, **overrides: Any) -> Recipe:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return Recipe.load(path, overrides=overrides)


def recipe(**overrides: Any) -> Recipe:
    return Recipe.load(overrides={**MINIMUM, **overrides})


def codes(error: LoraLoomError) -> list[str]:
    return [one.code for one in (error.errors if isinstance(error, UsageErrors) else [error])]


def value(of: Recipe, key: Key) -> Any:
    holder: Any = of if hasattr(of, key.name) else of.adapters[0]
    for step in key.home:
        holder = getattr(holder, step)
    return getattr(holder, key.name)


def test_the_defaults_are_those_of_the_guides() -> None:
    (adapter,) = recipe().adapters
    assert (adapter.network.network_dim, adapter.network.alpha) == (32, 16.0)
    assert adapter.optimizer.learning_rate == 1e-4
    assert adapter.training.max_train_steps == 1600
    assert adapter.training.seed == 42
    assert recipe().output_dir == Path("output")


def test_alpha_is_half_the_rank_unless_it_is_given() -> None:
    assert recipe(rank=8).adapters[0].network.alpha == 4.0
    assert recipe(rank=8, alpha=8).adapters[0].network.alpha == 8.0


def test_every_spelling_is_a_key_of_its_own() -> None:
    run, adapter = known_keys()
    everywhere = [k for k in keys_of(AdapterOptions) if k.name != "name"]
    assert len(index([*keys_of(Recipe), *everywhere])) > len(run)
    assert not set(FOREIGN) & {*run, *adapter, *PACKED}


EXAMPLES: Mapping[str, tuple[Any, Any]] = {
    "flag": (True, True),
    "integer": ("3", 3),
    "number": ("0.5", 0.5),
    "text": ("word", "word"),
    "path": ("here", Path("here")),
    "texts": (["one"], ("one",)),
    "size": ("512,768", (512, 768)),
}
SPELLINGS = [
    (spelling, key)
    for key in (*keys_of(Recipe), *keys_of(AdapterOptions))
    for spelling in key.spellings
    if key.name != "name"
]


@pytest.mark.parametrize(("spelling", "key"), SPELLINGS, ids=[name for name, _ in SPELLINGS])
@pytest.mark.parametrize("sign", ["_", "-"])
def test_each_name_of_an_option_sets_it(spelling: str, key: Key, sign: str) -> None:
    written, meant = EXAMPLES.get(key.kind, (key.choices[-1:] and key.choices[-1],) * 2)
    names = {"keep_tokens_separator": "|||", "caption_extension": ".word", "device": "cuda:1"}
    meant = names.get(key.name, meant)
    written = names.get(key.name, written)
    needed = {"conv_alpha": {"conv_dim": 4}, "lr_warmup_steps": {"lr_scheduler": "cosine"}}
    others = {**MINIMUM, **needed.get(key.name, {})}
    others = {name: v for name, v in others.items() if index([key]).get(name) is None}
    found = Recipe.load(overrides={**others, spelling.replace("_", sign): written})
    assert value(found, key) == meant


def test_sections_mean_nothing(tmp_path: Path) -> None:
    flat = 'model = "m"\ntrain_data_dir = "d"\nrank = 8\nseed = 7\n'
    sections = '[model]\nmodel = "m"\n[data]\ntrain_data_dir = "d"\n[a.b]\nrank = 8\nseed = 7\n'
    assert load(tmp_path, flat) == load(tmp_path, sections)


def test_later_files_win_over_earlier_ones_and_flags_over_all(tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text('model = "m"\ndata = "d"\nrank = 4\nseed = 1\nlr = 1e-3\n')
    second.write_text("network_dim = 8\nseed = 2\n")
    (adapter,) = Recipe.load(first, second, overrides={"seed": "3"}).adapters
    assert adapter.network.network_dim == 8
    assert adapter.training.seed == 3
    assert adapter.optimizer.learning_rate == 1e-3


TABLES = """
model = "m"
rank = 16
[[adapters]]
name = "cat"
train_data_dir = "cats"
[[adapters]]
name = "dog"
train_data_dir = "dogs"
rank = 8
"""


def test_the_top_level_is_the_default_of_every_adapter(tmp_path: Path) -> None:
    found = load(tmp_path, TABLES)
    assert [a.name for a in found.adapters] == ["cat", "dog"]
    assert [a.network.network_dim for a in found.adapters] == [16, 8]
    assert [a.network.alpha for a in found.adapters] == [8.0, 4.0]
    assert found.run_name == "cat+dog"
    assert found.run_dir == Path("output/cat+dog.run")


def test_a_flag_holds_for_every_adapter(tmp_path: Path) -> None:
    found = load(tmp_path, TABLES, rank="2")
    assert [a.network.network_dim for a in found.adapters] == [2, 2]


def test_adapters_of_several_sources_are_joined_by_name(tmp_path: Path) -> None:
    more = [{"name": "dog", "train_data_dir": "puppies"}, {"train_data_dir": "owls"}]
    found = load(tmp_path, TABLES, adapters=more)
    folders = {a.name: str(a.data.train_data_dir) for a in found.adapters}
    assert folders == {"cat": "cats", "dog": "puppies", "owls": "owls"}
    assert found.adapters[1].network.network_dim == 8


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"train_data_dir": "a/photos"}, "photos"),
        ({"train_data_dir": "train/10_sks_style"}, "sks_style"),
        ({"train_data_dir": "photos", "trigger": "sks_dog"}, "sks_dog"),
        ({"train_data_dir": "photos", "trigger": "a photo of sks dog"}, "photos"),
        ({"train_data_dir": "photos", "trigger": "sks", "name": "mine"}, "mine"),
    ],
)
def test_one_adapter_is_named_by_the_run_its_trigger_or_its_folder(
    given: Mapping[str, str], name: str
) -> None:
    found = Recipe.load(overrides={"model": "m", **given})
    assert found.adapters[0].name == found.run_name == name


def test_a_new_output_name_renames_an_adapter_that_is_alone(tmp_path: Path) -> None:
    text = recipe(name="old").to_toml()
    found = load(tmp_path, text, output_name="new")
    assert found.adapters[0].name == found.run_name == "new"


@pytest.mark.parametrize("name", ["a/b", "..", "nul", "x:y", "a<b>", " a", "a" * 201, ""])
def test_names_that_no_file_could_have_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        recipe(output_name=name)


def test_two_adapters_cannot_be_one_file() -> None:
    tables = [{"train_data_dir": "a/Cat"}, {"train_data_dir": "b/cat"}]
    with pytest.raises(UsageError) as caught:
        Recipe.load(overrides={"model": "m", "adapters": tables})
    assert codes(caught.value) == ["recipe.name_taken"]


def test_one_folder_does_not_replace_those_of_several_adapters(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, TABLES, train_data_dir="elsewhere")
    assert codes(caught.value) == ["recipe.one_folder"]


def test_two_names_of_one_option_are_refused_with_both_places(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recipe\.toml:2: rank and recipe\.toml:3: network_dim"):
        load(tmp_path, 'model = "m"\nrank = 4\nnetwork_dim = 8\n')


def test_an_unknown_key_is_refused_with_its_line_and_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recipe\.toml:3: learnin_rate.*\n.*learning_rate"):
        load(tmp_path, '# comment\nmodel = "m"\nlearnin_rate = 1\n')
    with pytest.raises(UsageError, match=r"recipe\.toml:11: sed"):
        load(tmp_path, TABLES + "sed = 3\n")


def test_a_key_of_the_run_inside_an_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, TABLES + 'output_dir = "x"\n')
    assert codes(caught.value) == ["recipe.not_of_adapter"]


@pytest.mark.parametrize(
    ("key", "wrong", "code"),
    [
        ("rank", "abc", "option.expects_integer"),
        ("rank", 1.5, "option.expects_integer"),
        ("rank", True, "option.expects_integer"),
        ("rank", 0, "option.bounds"),
        ("rank", [1], "option.expects_integer"),
        ("learning_rate", "fast", "option.expects_number"),
        ("learning_rate", "nan", "option.expects_number"),
        ("learning_rate", -1, "option.bounds"),
        ("caption_dropout_rate", 1.1, "option.bounds"),
        ("shuffle_caption", "maybe", "option.expects_flag"),
        ("trigger", 5, "option.expects_text"),
        ("trigger", "", "option.empty"),
        ("train_data_dir", 5, "option.expects_path"),
        ("optimizer_type", "AdamW8bit", "option.expects_choice"),
        ("network_module", "networks.loha", "option.expects_choice"),
        ("mixed_precision", "fp8", "option.expects_choice"),
        ("resolution", "wide", "option.expects_size"),
        ("resolution", "512,512,512", "option.expects_size"),
        ("resolution", 0, "option.expects_size"),
        ("resolution", [], "option.expects_size"),
        ("resolution", "512,70000", "option.bounds"),
        pytest.param("train_batch_size", f"1{0:0400}", "option.bounds", id="many digits as text"),
        pytest.param("max_train_steps", 10**400, "option.bounds", id="many digits"),
        pytest.param("network_dim", f"1{0:05000}", "option.bounds", id="thousands as text"),
        pytest.param("num_repeats", 10**5000, "option.bounds", id="thousands of digits"),
        ("learning_rate", 10**400, "option.expects_number"),
        ("train_data_dir", "", "option.empty"),
        ("train_data_dir", "a\0b", "option.zero"),
        ("train_data_dir", "\ud800", "option.not_unicode"),
        ("train_data_dir", os.fsdecode(b"\xff"), "option.not_unicode"),
        ("trigger", "\ud800", "option.not_unicode"),
        ("sample_prompts", 5, "option.expects_texts"),
        ("sample_prompts", ["a\0b.txt"], "option.no_name"),
        ("network_args", {"a": 1}, "packed.not_list"),
        ("device", "banana", "device.unknown"),
        ("device", "cuda:", "device.unknown"),
        ("network_args", ["conv_dim"], "packed.no_value"),
        ("network_args", ["dropout=1"], "packed.unknown"),
        ("network_args", ["conv_dim=four"], "option.expects_integer"),
        ("optimizer_args", ["betas=0.9"], "packed.count"),
        ("optimizer_args", 3, "packed.not_list"),
        ("adapters", "cat", "recipe.adapters_not_tables"),
        ("sample_prompts", ["a cat --w wide"], "samples.number"),
    ],
)
def test_a_wrong_value_is_refused_by_what_was_expected(key: str, wrong: Any, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        recipe(**{k: v for k, v in {key: wrong}.items()})
    assert codes(caught.value) == [code]
    assert f"--{key}" in str(caught.value) or code in (
        "recipe.adapters_not_tables",
        "samples.number",
        "option.no_name",
        "device.unknown",
    )


@pytest.mark.parametrize("options", [Recipe, AdapterOptions])
def test_every_whole_number_has_an_upper_bound_that_is_short_to_read(options: Any) -> None:
    bounds = {key.name: key.bounds for key in keys_of(options) if key.kind == "integer"}
    assert bounds
    assert [name for name, bound in bounds.items() if not re.search("[≤<]", bound)] == []
    assert max(map(len, bounds.values())) < len("≥ 0, < 9223372036854775808")


def test_bounds_and_examples_are_told_as_a_person_would_write_them() -> None:
    for value, told in (({"seed": 2**63}, "< 2^63"), ({"max_train_steps": 10**10}, "≤ 10^9")):
        with pytest.raises(UsageError, match=re.escape(told)):
            recipe(**value)
    with pytest.raises(UsageError, match=r"weight_decay=0\.01"):
        recipe(optimizer_args=[3])


def test_a_number_with_thousands_of_digits_in_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, f"rank = 1{'0' * 5000}\n", **MINIMUM)
    assert codes(caught.value) == ["recipe.not_toml"]


def test_a_prompt_file_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        recipe(sample_prompts=[str(tmp_path / "lost.txt")])
    assert caught.value.code == "recipe.prompts_unreadable"
    assert "Errno" not in str(caught.value)


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:1", "MPS"])
def test_a_device_is_one_of_those_known(name: str) -> None:
    assert recipe(device=name).device == name.lower()


def test_all_that_is_off_is_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        Recipe.load(overrides={"rank": "x", "seed": -1, "save_as": "pt"})
    assert sorted(codes(caught.value)) == [
        "option.bounds",
        "option.expects_choice",
        "option.expects_integer",
        "required.pretrained_model_name_or_path",
        "required.train_data_dir",
    ]
    assert "--model playground" in str(caught.value)
    assert "기본 모델이 지정되지 않았습니다" in caught.value.message("ko")


def test_packed_keys_are_their_contents() -> None:
    packed = recipe(
        network_args=["conv_dim=4", "conv_alpha=1"],
        optimizer_args=["weight_decay=0.05", "betas=(0.8, 0.9)", "eps=1e-6"],
    )
    plain = recipe(
        conv_dim=4, conv_alpha=1, weight_decay=0.05, adam_beta1=0.8, adam_beta2=0.9,
        adam_epsilon=1e-6,
    )  # fmt: skip
    assert packed == plain
    with pytest.raises(UsageError) as caught:
        recipe(network_args=["conv_dim=4"], conv_dim=8)
    assert codes(caught.value) == ["recipe.twice"]


@pytest.mark.parametrize("written", [512, "512", "512,512", "512x512", [512], [512, 512]])
def test_a_size_has_many_spellings(written: Any) -> None:
    assert recipe(resolution=written).adapters[0].data.resolution == (512, 512)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("no", "fp32"), ("float32", "fp32"), ("FP16", "fp16"), ("bfloat16", "bf16")],
)
def test_precisions_have_many_names(written: str, meant: str) -> None:
    assert recipe(dtype=written).mixed_precision == meant


def test_other_values_of_other_tools_are_understood() -> None:
    (adapter,) = recipe(
        network_module="networks.lora", optimizer="adamw", caption_extension="caption",
        min_snr_gamma=0, lr_scheduler="CONSTANT-with-warmup",
    ).adapters  # fmt: skip
    assert adapter.network.network_module == "lora"
    assert adapter.optimizer.optimizer_type == "AdamW"
    assert adapter.optimizer.lr_scheduler == "constant_with_warmup"
    assert adapter.data.caption_extension == ".caption"
    assert adapter.training.min_snr_gamma is None


def test_each_network_has_its_learning_rate() -> None:
    (adapter,) = recipe(learning_rate=1e-3, text_encoder_lr=0).adapters
    assert adapter.optimizer.learning_rate_of("unet") == 1e-3
    assert adapter.optimizer.learning_rate_of("text_encoder_2") == 0


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"lr_warmup_steps": 5}, "training.warmup_of_constant"),
        ({"conv_alpha": 1}, "training.conv_alpha_alone"),
        (
            {"network_train_unet_only": True, "network_train_text_encoder_only": True},
            "training.nothing_left",
        ),
    ],
)
def test_options_that_would_do_nothing_are_refused(given: Mapping[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        recipe(**given)
    assert codes(caught.value) == [code]


def test_prompts_come_from_a_file_without_its_comments(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\ufeff# mine\n고양이 --w 512 --h 768\n\n a dog --d 1 \n", encoding="utf-8")
    assert recipe(sample_prompts=str(path)).sample_prompts == (
        "고양이 --w 512 --h 768",
        "a dog --d 1",
    )
    with pytest.raises(UsageError) as caught:
        recipe(sample_prompts=str(tmp_path / "lost.txt"))
    assert codes(caught.value) == ["recipe.prompts_unreadable"]


def foreign_values() -> list[tuple[Foreign, str]]:
    refused = [(f, "refused") for f in FOREIGN.values() if f.held is not None]
    return refused + [(f, "held") for f in FOREIGN.values() if f.held or f.held is None]


@pytest.mark.parametrize(
    ("foreign", "verdict"), foreign_values(), ids=[f"{f.name}-{v}" for f, v in foreign_values()]
)
def test_a_key_of_another_trainer_is_noted_or_refused_by_name(
    foreign: Foreign, verdict: str
) -> None:
    if verdict == "held":
        asked = foreign.held[0] if foreign.held else True
        _, (note,) = Recipe.read(overrides={**MINIMUM, foreign.name: asked})
        messages = [catalogue(language)[note.code] for language in LANGUAGES]
        assert all("{key}" in message for message in messages)
    else:
        with pytest.raises(UsageError, match=f"--{foreign.name}") as caught:
            recipe(**{foreign.name: "something"})
        assert "해결:" in caught.value.message("ko")


def test_a_key_of_another_trainer_that_is_switched_off_asks_for_nothing() -> None:
    off = {"gradient_checkpointing": False, "vae": "", "report_to": "none", "network_dropout": 0}
    assert Recipe.read(overrides={**MINIMUM, **off}) == (recipe(), ())


def test_resuming_is_refused_whatever_its_value() -> None:
    for asked in ("auto", "latest", "some/folder"):
        with pytest.raises(UsageError) as caught:
            recipe(resume=asked)
        assert codes(caught.value) == ["foreign.resume"]


def test_the_written_recipe_loads_to_the_same(tmp_path: Path) -> None:
    tables = [
        {"name": "cat", "train_data_dir": "a", "rank": 4, "resolution": "64,128"},
        {"name": "dog", "train_data_dir": "b", "conv_dim": 2, "lr": 3e-5, "trigger": 'say "dog"'},
    ]
    first = Recipe.load(
        overrides={"model": "m", "adapters": tables, "sample_prompts": ["a", "b #c"], "epochs": 3}
    )
    assert load(tmp_path, first.to_toml()) == first


@settings(max_examples=30)
@given(
    words=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    rate=st.floats(0, 1, allow_subnormal=False),
    seed=st.integers(0, 2**63 - 1),
)
def test_any_text_and_number_survives_the_file(
    words: str, rate: float, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = recipe(trigger=words, lr=rate, seed=seed, name="x")
    assert load(tmp_path_factory.mktemp("recipe"), first.to_toml()) == first


def test_what_asks_about_one_start_is_not_written(tmp_path: Path) -> None:
    found = load(tmp_path, recipe(overwrite=True, dry_run=True).to_toml())
    assert (found.overwrite, found.dry_run) == (False, False)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"model = ", "recipe.not_toml"),
        (b"\xff\xfe", "recipe.not_toml"),
        (None, "recipe.unreadable"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(
    content: bytes | None, code: str, tmp_path: Path
) -> None:
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        Recipe.load(path)
    assert codes(caught.value) == [code]


@pytest.mark.parametrize("name", ["../escape", "a/b", "con", " x", "a:b"])
def test_a_run_of_several_has_a_name_that_is_no_path(name: str) -> None:
    tables = [{"name": each, "train_data_dir": each} for each in ("cat", "dog")]
    options = {"model": "playground", "adapters": tables}
    assert Recipe.load(overrides={**options, "output_name": "both"}).run_name == "both"
    with pytest.raises(UsageError) as caught:
        Recipe.load(overrides={**options, "output_name": name})
    assert caught.value.code == "recipe.name_unsafe"


@pytest.mark.parametrize("line", [r'output_dir = "a\u0000b"', r'data = "a\u0000b"'])
def test_zero_characters_in_paths_are_told_without_printing_them(tmp_path: Path, line: str) -> None:
    path = tmp_path / "zero.toml"
    path.write_text(f'model = "playground"\n{line}\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"zero\.toml:2") as caught:
        Recipe.load(path)
    assert caught.value.code == "option.zero"
    assert str(caught.value).replace("\n", "").isprintable()


def test_a_folder_that_is_a_link_in_a_circle_is_for_the_scan_to_refuse(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    recipe = Recipe.load(overrides={"model": "playground", "data": loop})
    assert recipe.adapters[0].name == "loop"
