"""Where the latents of a run's pictures are, and how its options change what is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from loraloom.adapters.attachment import attach
from loraloom.data.cached_files import entries
from loraloom.data.options import DataOptions
from loraloom.errors import DatasetError, UsageError
from loraloom.events import Event, Examined
from loraloom.jobs.dataset.check import check
from loraloom.jobs.dataset.options import CheckOptions
from loraloom.jobs.latents import Latents, cache_latents, shelves_of
from loraloom.jobs.plan import Plan, make_plan
from loraloom.jobs.recipe import Recipe
from loraloom.jobs.trainees import new_adapter, new_trainee
from loraloom.models.load import load_model
from loraloom.models.model import AbstractModel
from loraloom.training.trainee import Rows


@pytest.fixture(scope="module")
def model(tiny_base: Path) -> AbstractModel:
    """Return the tiny base."""
    return load_model(tiny_base)


@pytest.fixture
def planned(tiny_base: Path, tmp_path: Path) -> Any:
    """Return a function that plans a run on three transparent pictures with options of its own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        picture = Image.linear_gradient("L").resize((16, 24)).convert("RGBA")
        picture.paste((255, 0, 0, 0), (0, 0, 8, 24))
        picture.putpixel((12, number), (255, 255, 255, 255))
        picture.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("a (red:1.5) house, a tree\nsecond, line")

    def plan(**options: Any) -> Plan:
        options = {"model": str(tiny_base), "train_data_dir": folder, "name": "a", **options}
        more = {"output_dir": tmp_path / "out", "cache_dir": tmp_path / "cache", "device": "cpu"}
        return make_plan(Recipe.load(overrides=options | more))

    return plan


def _latents(plan: Plan, model: AbstractModel) -> Mapping[str, Latents]:
    *_, latents = cache_latents(model, plan.adapters, shelves_of(plan.recipe, model))
    assert not isinstance(latents, Event)
    return latents


def _rows(plan: Plan, model: AbstractModel) -> Iterator[Rows]:
    """Yield what an adapter is fed, without end."""
    adapter = plan.adapters[0]
    fresh = {"a": new_adapter(model, adapter, "")}
    with attach(model.networks, fresh, 0.0, trainable=True) as attachment:
        trainee = new_trainee(model, attachment, adapter, _latents(plan, model)["a"])
        while True:
            yield from trainee.feed.update()


class _Counted:
    """A model that counts the pictures it encodes."""

    def __init__(self, model: AbstractModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        encode = model.encode_image

        def counted(own: AbstractModel, pixels: torch.Tensor) -> Any:
            self.count += len(pixels)
            return encode(pixels)

        monkeypatch.setattr(type(model), "encode_image", counted)


def test_latents_on_the_disk_are_those_in_memory_and_outlive_the_run(
    planned: Any, model: AbstractModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(plan: Plan) -> list[torch.Tensor]:
        rows = _rows(plan, model)
        return [next(rows).clean for _ in range(6)]

    memory = drawn(planned(flip_aug=True))
    disk = drawn(planned(flip_aug=True, cache_latents_to_disk=True))
    encoder = _Counted(model, monkeypatch)
    again = drawn(planned(flip_aug=True, cache_latents_to_disk=True))
    assert encoder.count == 0
    for one, other, third in zip(memory, disk, again, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, third)
    assert len(list(entries(tmp_path / "cache"))) == 6


def test_uncached_pictures_are_encoded_at_each_use(
    planned: Any, model: AbstractModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = _Counted(model, monkeypatch)
    for options in ({"cache_latents": False}, {"color_aug": True}):
        rows = _rows(planned(**options), model)
        before = encoder.count
        for _ in range(4):
            next(rows)
        assert encoder.count == before + 4


def test_what_cannot_be_cached_or_masked_is_refused(planned: Any, tmp_path: Path) -> None:
    for cached in ("cache_latents", "cache_latents_to_disk"):
        with pytest.raises(UsageError) as caught:
            planned(color_aug=True, **{cached: True})
        assert caught.value.code == "cache.colour"
    with pytest.raises(UsageError):
        planned(cache_latents=False, cache_latents_to_disk=True)
    with pytest.raises(UsageError):
        planned(alpha_mask=True, conditioning_data_dir=tmp_path)
    with pytest.raises(DatasetError) as told:
        planned(conditioning_data_dir=tmp_path)
    assert told.value.code == "dataset.mask_missing"


def test_masks_reach_the_rows(planned: Any, model: AbstractModel, tmp_path: Path) -> None:
    masks = next(_rows(planned(alpha_mask=True), model)).masks
    assert masks is not None
    half = masks.shape[-1] // 2
    assert masks[..., :half].max() == 0
    assert masks[..., half:].min() == 1
    (tmp_path / "masks").mkdir()
    for number in range(3):
        Image.new("L", (16, 24), 51).save(tmp_path / "masks" / f"{number}.jpg")
    rows = next(_rows(planned(conditioning_data_dir=tmp_path / "masks"), model))
    assert rows.masks is not None
    assert torch.allclose(rows.masks, torch.full_like(rows.masks, 0.2), atol=1e-6)
    assert next(_rows(planned(), model)).masks is None


def test_captions_follow_the_options(planned: Any, model: AbstractModel) -> None:
    plan = planned(caption_prefix="x", trigger="sks", enable_wildcard=True)
    rows = _rows(plan, model)
    drawn = {caption for _ in range(12) for caption in next(rows).captions}
    assert drawn == {"sks, x a (red:1.5) house, a tree", "sks, x second, line"}
    assert plan.summary()["adapters"][0]["prompts"][0] == "sks, x a (red:1.5) house, a tree"
    rows = _rows(planned(caption_dropout_every_n_epochs=2), model)
    dropped = [(r.epoch, r.captions) for r, _ in zip(rows, range(12), strict=False)]
    assert all((captions == [""]) == (epoch % 2 == 0) for epoch, captions in dropped)
    assert {epoch for epoch, _ in dropped} == {1, 2, 3, 4}


def test_weighted_captions_are_encoded_so(planned: Any, model: AbstractModel) -> None:
    def states(**options: Any) -> torch.Tensor:
        plan = planned(network_train_unet_only=True, **options)
        adapter = plan.adapters[0]
        fresh = {"a": new_adapter(model, adapter, "")}
        with attach(model.networks, fresh, 0.0, trainable=True) as attachment:
            trainee = new_trainee(model, attachment, adapter, _latents(plan, model)["a"])
            assert trainee.text_states is not None
            return trainee.text_states(["a (red:1.5) house"]).states

    pieces = [("a ", 1.0), ("red", 1.5), (" house", 1.0)]
    assert torch.equal(states(weighted_captions=True), model.encode_weighted_text([pieces]).states)
    assert torch.equal(states(), model.encode_text(["a (red:1.5) house"]).states)


def test_the_check_tells_the_prompts_that_are_trained(planned: Any, tmp_path: Path) -> None:
    first = planned(caption_prefix="x", trigger="sks").summary()["adapters"][0]["prompts"][0]
    data = DataOptions(train_data_dir=tmp_path / "photos", caption_prefix="x", trigger="sks")
    reports = {
        wildcards: next(
            event.report
            for event in check(
                CheckOptions(data=data.model_copy(update={"enable_wildcard": wildcards}))
            )
            if isinstance(event, Examined)
        )
        for wildcards in (False, True)
    }
    assert first in json.dumps(reports[False])
    unused = [
        any(each["code"] == "dataset.caption_lines" for each in report["findings"])
        for report in reports.values()
    ]
    assert unused == [True, False]
