"""`loraloom lora convert` and `lora verify`: the same update in every format."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.full import Full
from loraloom.adapters.site import Site
from loraloom.formats.files import read_adapter, write_adapter

SITE = Site("unet", "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight")


@pytest.mark.parametrize("to", ["lycoris", "peft", "diffusers", "native"])
def test_every_format_keeps_the_update(to, files, tmp_path, run):
    output = tmp_path / ("out" if to == "peft" else "out.safetensors")
    told = run("convert", files["one"], output, "--to", to)
    assert told["outputs"] == [str(output)]
    verdict = run("verify", files["one"], output)
    assert verdict["ok"]
    assert verdict["largest"] <= 1e-6
    assert verdict["differences"]


def test_there_and_back_is_the_same_file(files, tmp_path, run):
    there, back = tmp_path / "there", tmp_path / "back.safetensors"
    run("convert", files["one"], there, "--to", "peft")
    run("convert", there, back, "--to", "kohya")
    first, last = load_file(files["one"]), load_file(back)
    assert first.keys() == last.keys()
    assert all(torch.equal(first[key], last[key]) for key in first)


def test_a_number_type_rounds_by_as_much_as_it_may(files, tmp_path, run):
    output = tmp_path / "half.safetensors"
    run("convert", files["one"], output, "--to", "kohya", "--dtype", "fp16")
    factors = [t for key, t in load_file(output).items() if not key.endswith(".alpha")]
    assert {tensor.dtype for tensor in factors} == {torch.float16}
    verdict = run("verify", files["one"], output, status=1)
    assert 0 < verdict["largest"] < 2 * 2**-11
    assert run("verify", files["one"], output, "--tolerance", "1e-3")["ok"]


def test_what_a_format_cannot_express_takes_leave_and_tells_its_error(tmp_path, run, refused):
    torch.manual_seed(0)
    diff = torch.randn(8, 6)
    source, output = tmp_path / "full.safetensors", tmp_path / "low.safetensors"
    write_adapter(Adapter(deltas={SITE: Full(diff)}, card=Card(family="sd1")), source, "lycoris")
    said = refused("convert", source, output, "--to", "diffusers", status=4)
    assert "lora.takes_low_rank" in said
    assert "to_q" in said
    assert "--lossy svd:" in said
    assert not output.exists()
    told = run("convert", source, output, "--to", "diffusers", "--lossy", "svd:2")
    values = torch.linalg.svdvals(diff.double()).square()
    kept = float(values[:2].sum() / values.sum())  # Eckart and Young
    assert told["measured"][f"energy {SITE}"] == pytest.approx(kept, rel=1e-5)
    assert told["measured"]["error"] == pytest.approx((1 - kept) ** 0.5, rel=1e-5)
    assert [warning["code"] for warning in told["warnings"]] == ["lora.approximated"]
    error = run("verify", source, output, status=1)["largest"]
    assert error == pytest.approx((1 - kept) ** 0.5, rel=1e-5)


def test_nothing_is_replaced_unasked_and_no_source_ever(files, tmp_path, run, refused):
    output = tmp_path / "out.safetensors"
    output.write_bytes(b"mine")
    assert "lora.output_exists" in refused(
        "convert", files["one"], output, "--to", "native", status=1
    )
    assert output.read_bytes() == b"mine"
    run("convert", files["one"], output, "--to", "native", "--overwrite")
    before = output.read_bytes()
    words = ("convert", output, output, "--to", "kohya", "--force")
    assert "lora.onto_source" in refused(*words, status=1)
    assert output.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), "required.source"),
        (("a",), "required.destination"),
        (("a", "b"), "required.to"),
        (("a", "b", "c", "--to", "peft"), "cli.too_many_words"),
        (("a", "b", "--to", "ckpt"), "option.expects_choice"),
        (("a", "b", "--to", "peft", "--lossy", "16"), "lora.lossy"),
        (("a", "b", "--to", "peft", "--lossy", "svd:x"), "lora.rank"),
    ],
)
def test_a_request_that_is_off_is_told_with_the_way_out(words, code, refused):
    said = refused("convert", *words, status=2)
    assert f"[{code}]" in said
    assert "Fix: " in said


def test_how_much_the_header_tells_is_chosen(files, tmp_path, run):
    told = {}
    for level in ("none", "minimal", "verbatim"):
        output = tmp_path / f"{level}.safetensors"
        run("convert", files["one"], output, "--to", "kohya", "--metadata", level)
        told[level] = run("meta", "show", output)["metadata"]
    assert told["verbatim"] == run("meta", "show", files["one"])["metadata"]
    assert len(told["none"]) < len(told["minimal"])
    assert "oneword" in str(told["minimal"])
    assert "oneword" not in str(told["none"])


def test_numbers_that_are_none_are_found(files, tmp_path, run):
    tensors = load_file(files["one"])
    key = next(key for key in tensors if key.endswith("lora_up.weight"))
    tensors[key][0, 0] = float("nan")
    broken = tmp_path / "broken.safetensors"
    save_file(tensors, broken)
    verdict = run("verify", broken, status=1)
    assert [(f["code"], f["part"], f["count"]) for f in verdict["findings"]] == [
        ("not_a_number", "up", 1)
    ]
    assert run("verify", files["one"])["ok"]


def test_the_card_goes_along(files, tmp_path, run):
    output = tmp_path / "native.safetensors"
    run("convert", files["one"], output, "--to", "native")
    card = read_adapter(output).card
    assert (card.name, card.triggers) == ("one", ("oneword",))
