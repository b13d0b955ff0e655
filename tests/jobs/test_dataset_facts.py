"""What an adapter's file tells of its pictures: kohya's keys, counted by hand, and no path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open

from loraloom.formats.files import write_adapter
from loraloom.jobs.adapter_plan import AdapterPlan
from loraloom.jobs.dataset_facts import dataset_facts
from loraloom.jobs.plan import make_plan
from loraloom.jobs.recipe import Recipe
from loraloom.jobs.trainees import new_adapter
from loraloom.models.load import load_model


@pytest.fixture
def plan(tiny_base: Path, tmp_path: Path) -> AdapterPlan:
    """Return a plan on two folders of pictures and one of the class."""
    pictures = (
        ("set/3_sks ball", "a.png", (16, 16), "Red, sky , red/blue"),
        ("set/3_sks ball", "b.png", (40, 16), "red"),
        ("set/1_far", "c.png", (16, 15), "C:\\temp, far"),
        ("reg/2_ball", "d.png", (16, 16), None),
    )
    for number, (folder, name, size, caption) in enumerate(pictures):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", size, (number * 60, 0, 0))
        image.save(tmp_path / folder / name)
        if caption:
            (tmp_path / folder / name).with_suffix(".txt").write_text(caption)
    options = {
        "model": str(tiny_base),
        "data": tmp_path / "set",
        "reg_data_dir": tmp_path / "reg",
        "output_dir": tmp_path / "out",
        "max_train_epochs": 2,
        "batch_size": 2,
        "resolution": 16,
        "name": "a",
    }
    return make_plan(Recipe.load(overrides=options)).adapters[0]


def test_pictures_are_counted_as_kohya_counts_them(plan: AdapterPlan) -> None:
    facts = dataset_facts(plan)
    assert facts["images"] == 3 * 2 + 1
    assert facts["reg_images"] == 2
    assert facts["dataset_dirs"] == {
        "1_far": {"n_repeats": 1, "img_count": 1},
        "3_sks ball": {"n_repeats": 3, "img_count": 2},
    }
    assert facts["reg_dataset_dirs"] == {"2_ball": {"n_repeats": 2, "img_count": 1}}
    assert facts["tag_frequency"] == {
        "1_far": {"c:\\temp": 1, "far": 1},
        "3_sks ball": {"red": 2, "sky": 1, "red/blue": 1},
        "2_ball": {"ball": 1},
    }
    told = facts["bucket_info"]["buckets"]
    assert list(told) == [str(number) for number in range(len(told))]
    sizes = [tuple(each["resolution"]) for each in told.values()]
    assert sizes == sorted(sizes)
    counts = dict(zip(sizes, (each["count"] for each in told.values()), strict=True))
    assert counts[16, 16] == 3 + 1 + 2
    (wide,) = [size for size in sizes if size != (16, 16)]
    assert counts[wide] == 3
    errors = [0, abs(wide[0] / wide[1] - 40 / 16), 1 / 15, 0]
    assert facts["bucket_info"]["mean_img_ar_error"] == pytest.approx(sum(errors) / 4)
    assert facts["batches_per_epoch"] == plan.steps_per_epoch == 2 + 2


def test_the_file_tells_it_in_kohyas_keys_and_no_path(
    plan: AdapterPlan, tiny_base: Path, tmp_path: Path
) -> None:
    adapter = new_adapter(load_model(tiny_base), plan, "")
    path = tmp_path / "a.safetensors"
    write_adapter(adapter.with_card(facts=dataset_facts(plan)), path)
    with safe_open(path, "np") as file:
        header = file.metadata()
    assert str(tmp_path) not in json.dumps(header)
    read = {key: json.loads(header[key]) for key in ("ss_bucket_info", "ss_dataset_dirs")}
    assert read["ss_bucket_info"] == dataset_facts(plan)["bucket_info"]
    assert read["ss_dataset_dirs"] == dataset_facts(plan)["dataset_dirs"]
    assert json.loads(header["ss_tag_frequency"])["3_sks ball"]["red/blue"] == 1
    expected = {
        "ss_num_train_images": "7",
        "ss_num_reg_images": "2",
        "ss_num_batches_per_epoch": "4",
        "ss_num_epochs": "2",
        "ss_max_train_steps": "8",
        "ss_batch_size_per_device": "2",
        "ss_resolution": "(16, 16)",
        "ss_min_bucket_reso": "8",
        "ss_max_bucket_reso": "32",
        "ss_learning_rate": "0.0001",
        "ss_seed": "42",
    }
    assert {key: header.get(key) for key in expected} == expected


def test_without_buckets_none_are_told(plan: AdapterPlan) -> None:
    data = plan.options.data.model_copy(update={"enable_bucket": False})
    options = plan.options.model_copy(update={"data": data})
    bucketing = plan.bucketing.__class__(
        resolution=(16, 16), step=8, smallest=8, largest=32, by_shape=False
    )
    assert "bucket_info" not in dataset_facts(AdapterPlan(options, plan.scan, bucketing))
