"""`loraloom lora diff`, `interference`, `hash`, `meta`: what is told about files."""

import hashlib
import math

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.cli.main import main
from loraloom.formats.files import read_adapter, write_adapter
from loraloom.jobs.lora.heat_map import colour
from loraloom.jobs.lora_info import lora_info


def test_adapters_are_compared_with_themselves_and_each_other(files, tmp_path, run):
    same = run("diff", files["one"], files["one"])
    assert same["metadata"] == same["layers"] == {}
    assert {each["error"] for each in same["differences"]} == {0.0}
    scaled = tmp_path / "scaled.safetensors"
    run("merge", f"{files['one']}:0.75", "-o", scaled)
    told = run("diff", files["one"], scaled)
    assert told["metadata"]
    assert told["differences"]
    for each in told["differences"]:
        assert each["error"] == pytest.approx(0.25, rel=1e-5)


def test_interference_is_the_cosine_of_the_changes(files, tmp_path, run):
    picture = tmp_path / "map.png"
    told = run("interference", files["one"], files["two"], "-o", picture)
    flat = [
        torch.cat(
            [delta.delta(None).double().flatten() for delta in read_adapter(path).deltas.values()]
        )
        for path in files.values()
    ]
    expected = float(torch.nn.functional.cosine_similarity(*flat, dim=0))
    (pair,) = told["pairs"]
    assert pair["adapters"] == ["one", "two"]
    assert pair["cosine"] == pytest.approx(expected, abs=1e-5)
    assert told["blocks"]
    with Image.open(picture) as drawn:
        assert drawn.size[1] > 28 * len(told["blocks"])
        cells = [next(iter(pairs))["cosine"] for pairs in told["blocks"].values()]
        pixels = {found for _, found in drawn.convert("RGB").getcolors(1 << 20)}
        assert {colour(cosine) for cosine in cells} <= pixels


def test_a_pair_and_its_only_block_have_one_cosine(tmp_path, run):
    """The second has fewer weights: those that the first has alone meet nothing."""
    block = "down_blocks.0.attentions.0.transformer_blocks.0"
    sites = [Site("unet", f"{block}.attn1.to_{each}.weight") for each in "qkv"]
    paths = []
    for seed, own in enumerate((sites, sites[:2])):
        generator = torch.Generator().manual_seed(seed)
        deltas = {
            each: Lora(
                torch.randn(2, 8, generator=generator), torch.randn(8, 2, generator=generator), 2.0
            )
            for each in own
        }
        paths.append(tmp_path / f"{seed}.safetensors")
        write_adapter(Adapter(deltas=deltas, card=Card(family="sd1")), paths[-1])
    told = run("interference", *paths)
    (pair,) = told["pairs"]
    ((met,),) = told["blocks"].values()
    assert (pair["shared"], pair["alone"]) == (2, [1, 0])
    assert met["cosine"] == pair["cosine"]
    assert told["warnings"] == []


def test_adapters_that_never_meet_are_told_so(files, tmp_path, run, capsys):
    path = tmp_path / "flux.safetensors"
    site = Site("transformer", "single_transformer_blocks.0.proj_out.weight")
    lora = Lora(torch.ones(2, 8), torch.ones(8, 2), 2.0)
    write_adapter(Adapter(deltas={site: lora}, card=Card(family="flux")), path)
    told = run("interference", files["one"], path)
    (pair,) = told["pairs"]
    assert (pair["shared"], pair["cosine"]) == (0, None)
    codes = [warning["code"] for warning in told["warnings"]]
    assert codes == ["interference.families", "interference.nothing_shared"]
    assert main(["lora", "interference", str(files["one"]), str(path)]) == 0
    assert "flux" in capsys.readouterr().out


def test_a_cosine_has_its_colour():
    assert colour(0.0) == (255, 255, 255)
    red, _, blue = colour(0.9)
    assert red > blue
    red, _, blue = colour(-0.9)
    assert blue > red
    assert len({colour(None), colour(0.0), colour(1.0), colour(-1.0)}) == 4


def test_one_adapter_interferes_with_nothing(files, refused):
    assert "lora.two_adapters" in refused("interference", files["one"], status=2)


def test_hashes_are_those_of_file_and_tensors(files, run):
    content = files["one"].read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    (told,) = run("hash", files["one"])["files"]
    assert told["sha256"] == hashlib.sha256(content).hexdigest()
    assert told["autov2"] == told["sha256"][:10]
    assert told["autov3"] == hashlib.sha256(content[start:]).hexdigest()[:12]
    assert told["told_is_right"] is True
    info = lora_info(files["one"], hashed=True)["hashes"]
    assert info == {files["one"].name: {k: told[k] for k in next(iter(info.values()))}}
    assert lora_info(files["one"])["hashes"] == {}


def test_metadata_change_and_tensors_do_not(files, tmp_path, run, refused):
    output = tmp_path / "titled.safetensors"
    words = ("meta", "set", files["one"], "note=a=b", "--remove", "ss_output_name", "-o", output)
    run(*words)
    old, new = (run("meta", "show", path)["metadata"] for path in (files["one"], output))
    del old["ss_output_name"]
    assert new == {**old, "note": "a=b"}
    hashes = run("hash", files["one"], output)["files"]
    assert hashes[0]["tensors"] == hashes[1]["tensors"]
    assert "lora.output_exists" in refused("meta", "set", output, "x=y", status=1)
    run("meta", "set", output, "x=y", "--force")
    assert run("meta", "show", output)["metadata"] == {**new, "x": "y"}
    assert "lora.no_entry" in refused("meta", "set", output, "--remove", "zz", status=2)


def test_every_weight_is_told_if_asked_for(files):
    info = lora_info(files["one"], weights=True)
    deltas = read_adapter(files["one"]).deltas
    assert info["weights"].keys() == {str(site) for site in deltas}
    assert {tuple(each.values()) for each in info["weights"].values()} == {("lora", 4, 2.0, 0.5)}
    assert math.isclose(info["scale"][0], 0.5)


@pytest.mark.parametrize(
    "words", [("verify",), ("diff", "two"), ("interference", "two"), ("hash",), ("meta show",)]
)
@pytest.mark.parametrize("language", ["en", "ko"])
def test_people_get_tables_in_their_language(words, language, files, capsys):
    from loraloom.cli.main import main

    command, *others = words
    paths = [str(files["one"]), *(str(files[other]) for other in others)]
    assert main(["lora", *command.split(), *paths, "--lang", language]) == 0
    assert len(capsys.readouterr().out.strip()) > 10


def test_a_pickle_is_told_of_like_any_other_file(files, tmp_path, run, refused):
    old = tmp_path / "old.pt"
    torch.save(load_file(files["one"]), old)
    (info,) = run("info", old, "--hash")["adapters"]
    (same,) = run("info", files["one"])["adapters"]
    assert {**info, "rank": same["rank"], "sites": same["sites"]} == info
    (told,) = run("hash", old)["files"]
    sha256 = hashlib.sha256(old.read_bytes()).hexdigest()
    assert (told["sha256"], told["autov2"], told["autov3"]) == (sha256, sha256[:10], None)
    for words in (("show", old), ("set", old, "a=b")):
        assert "[lora.no_metadata]" in refused("meta", *words, status=4)


def test_a_file_for_another_base_is_named(files, tmp_path, refused):
    sizes = {"lora_down": (4, 9), "lora_up": (9, 4)}
    wide = {
        key: next((torch.zeros(size) for part, size in sizes.items() if part in key), each)
        for key, each in load_file(files["one"]).items()
    }
    save_file(wide, tmp_path / "wide.safetensors")
    said = refused("verify", tmp_path / "wide.safetensors", "--base", "playground", status=4)
    assert "[composing.shapes]" in said
    assert "and wide for one of (9, 9)" in said
