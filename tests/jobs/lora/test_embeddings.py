"""Token embeddings kept, left out, or written to files of their own."""

from __future__ import annotations

import os
import unicodedata

import pytest
import torch
from safetensors.torch import load_file, save_file

from loraloom.errors import ModelError, OutputError
from loraloom.events import Saved, Warned
from loraloom.jobs.lora.convert import convert
from loraloom.jobs.lora.merge import merge
from loraloom.jobs.lora.options import ConvertOptions, MergeOptions

FLAT = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"


def _file(path, number: float):
    tensors = {
        f"{FLAT}.lora_down.weight": torch.ones(2, 8),
        f"{FLAT}.lora_up.weight": torch.full((8, 2), float(number)),
        "bundle_emb.tok.clip_l": torch.full((2, 768), float(number)),
        "bundle_emb.tok.clip_g": torch.full((2, 1280), float(number)),
        "bundle_emb.a/b.string_to_param.*": torch.full((1, 768), 3.0),
    }
    save_file(tensors, path)
    return path


def _teaching(path, *tokens):
    """Write a LoRA whose tokens are taught 0, 1, 2, … in their order."""
    tensors = {
        f"{FLAT}.lora_down.weight": torch.ones(2, 8),
        f"{FLAT}.lora_up.weight": torch.ones(8, 2),
    }
    for number, token in enumerate(tokens):
        tensors[f"bundle_emb.{token}.string_to_param.*"] = torch.full((1, 768), float(number))
    save_file(tensors, path)
    return path


def _contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _split(source, output, **options):
    """Return what is taught in each file beside the output, and which files are told as renamed."""
    events = _convert(source, output, words={"embeddings": "split"}, **options)
    saved = [each.path for each in events if isinstance(each, Saved) and each.what == "embedding"]
    taught = {path.name: load_file(path)["emb_params"].mean().item() for path in saved}
    (told,) = [e for e in events if isinstance(e, Warned)] or [None]
    if told is None:
        return taught, ""
    assert told.code == "lora.embeddings_renamed"
    return taught, told.details["files"]


def _convert(source, output, **options):
    return list(
        convert(ConvertOptions(source=source, destination=output, to="diffusers", **options))
    )


def test_a_format_without_a_place_says_what_to_do(tmp_path):
    source = _file(tmp_path / "lora.safetensors", 1.0)
    with pytest.raises(ModelError) as caught:
        _convert(source, tmp_path / "out.safetensors")
    assert caught.value.code == "format.no_words"
    assert "comfyui" not in str(caught.value)
    assert "--embeddings split" in str(caught.value)


def test_embeddings_are_split_into_files_that_others_load(tmp_path):
    source = _file(tmp_path / "lora.safetensors", 2.0)
    out = tmp_path / "new" / "out.safetensors"
    events = _convert(source, out, words={"embeddings": "split"})
    saved = {event.path.name for event in events if isinstance(event, Saved)}
    assert saved == {"out.safetensors", "tok.safetensors", "a_b.safetensors"}
    both = load_file(out.with_name("tok.safetensors"))
    assert {name: tuple(each.shape) for name, each in both.items()} == {
        "clip_l": (2, 768),
        "clip_g": (2, 1280),
    }
    assert load_file(out.with_name("a_b.safetensors"))["emb_params"].eq(3).all()
    assert all("lora" in name for name in load_file(out))
    out.unlink()
    with pytest.raises(OutputError):
        _convert(source, out, words={"embeddings": "split"})
    assert not out.exists()


def test_embeddings_that_are_dropped_are_told(tmp_path):
    source = _file(tmp_path / "lora.safetensors", 2.0)
    events = _convert(source, tmp_path / "out.safetensors", words={"embeddings": "drop"})
    (told,) = [each for each in events if isinstance(each, Warned)]
    assert told.code == "lora.embeddings_dropped"
    assert told.details["words"] == "a/b, tok"
    assert {path.name for path in tmp_path.iterdir()} == {"lora.safetensors", "out.safetensors"}


@pytest.mark.parametrize("way", ["split", "drop"])
def test_adapters_whose_embeddings_clash_are_merged_without_them(tmp_path, way):
    one, two = (_file(tmp_path / f"{name}.safetensors", n) for n, name in enumerate("xy", 1))
    out = tmp_path / "out" / "sum.safetensors"
    adapters = (str(one), str(two))
    with pytest.raises(ModelError) as caught:
        list(merge(MergeOptions(adapters=adapters, output=out)))
    assert caught.value.code == "composing.embeddings"
    list(merge(MergeOptions(adapters=adapters, output=out, words={"embeddings": way})))
    found = {path.name for path in out.parent.iterdir()}
    split = {"tok.safetensors", "tok-y.safetensors", "a_b.safetensors"}
    assert found == {out.name} | (split if way == "split" else set())
    if way == "split":
        assert load_file(out.with_name("tok.safetensors"))["clip_l"].eq(1).all()
        assert load_file(out.with_name("tok-y.safetensors"))["clip_l"].eq(2).all()


@pytest.mark.parametrize("force", [True, False])
def test_no_embedding_is_written_over_what_is_read(tmp_path, refused, force):
    tok, other = (_file(tmp_path / f"{name}.safetensors", 1.0) for name in ("tok", "other"))
    (tmp_path / "twin").mkdir()
    os.link(other, tmp_path / "twin" / "tok.safetensors")
    out, twin = tmp_path / "p.safetensors", tmp_path / "twin" / "p.safetensors"
    before = _contents(tmp_path)
    last = ("--embeddings", "split", *(("--force",) if force else ()))
    for words in (
        ("convert", tok, out, "--to", "kohya"),
        ("convert", other, twin, "--to", "kohya"),
        ("convert", other, out, "--to", "kohya", "--base", tok),
        ("convert", other, tmp_path / "p", "--to", "peft", "--base", tok),
        ("merge", other, tok, "-o", out),
        ("merge", other, "-o", out, "--base", tok),
    ):
        said = refused(*words, *last, status=1)
        assert "[lora.onto_source]" in said, words
        assert "tok.safetensors" in said
    assert _contents(tmp_path) == before


def test_an_embedding_does_not_replace_a_folder(tmp_path):
    source = _teaching(tmp_path / "lora.safetensors", "tok")
    (tmp_path / "tok.safetensors").mkdir()
    out = tmp_path / "out.safetensors"
    for force in (False, True):
        with pytest.raises(OutputError) as caught:
            _split(source, out, file={"force": force})
        assert caught.value.code == "output.is_folder"
    assert not out.exists()


def test_an_embedding_that_is_there_already_is_replaced_with_force(tmp_path, refused):
    source = _teaching(tmp_path / "lora.safetensors", "tok")
    held, out = tmp_path / "tok.safetensors", tmp_path / "out.safetensors"
    held.write_bytes(b"mine")
    words = ("convert", source, out, "--to", "kohya", "--embeddings", "split")
    said = refused(*words, status=1)
    assert "[lora.output_exists]" in said
    assert "--force" in said
    assert held.read_bytes() == b"mine"
    assert not out.exists()
    assert _split(source, out, file={"force": True}) == ({"tok.safetensors": 0.0}, "")


def test_tokens_that_would_be_one_file_are_numbered(tmp_path):
    source = _teaching(
        tmp_path / "lora.safetensors", "a:b", "a/b", "a_b", "a*b", "A_B", "\u00e9", "e\u0301"
    )
    taught, told = _split(source, tmp_path / "new" / "out.safetensors")
    assert sorted(taught.values()) == [0, 1, 2, 3, 4, 5, 6]
    names = {unicodedata.normalize("NFC", name).casefold() for name in taught}
    ends = ("", "-2", "-3", "-4", "-5")
    assert names == {
        *(f"a_b{end}.safetensors" for end in ends),
        "\u00e9.safetensors",
        "\u00e9-2.safetensors",
    }
    assert taught["A_B.safetensors"] == 4  # A token that is a name itself goes first.
    assert "(a:b)" in told


@pytest.mark.parametrize(
    ("token", "stem"),
    [
        ("CON", "_CON"),
        ("console", "console"),
        ('<s0>:"|?*\\', "_s0_______"),
        ("\u202ecod\u2066\x07\x9b", "_cod___"),
        (" / ", "___"),
        ("\ud1a0\ud070", "\ud1a0\ud070"),
    ],
)
def test_a_token_makes_a_name_that_every_system_has_a_place_for(tmp_path, token, stem):
    source = _teaching(tmp_path / "lora.safetensors", token)
    taught, told = _split(source, tmp_path / "new" / "out.safetensors")
    assert taught == {f"{stem}.safetensors": 0.0}
    assert bool(told) == (stem != token)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"out.safetensors", *taught}


@pytest.mark.parametrize("letter", ["x", "\ud1a0", "\U0001f600"])
def test_long_tokens_are_cut_and_stay_apart(tmp_path, letter):
    start = letter * 300
    source = _teaching(tmp_path / "lora.safetensors", f"{start}a", f"{start}b", f"{start}:", start)
    taught, told = _split(source, tmp_path / "new" / "out.safetensors")
    assert sorted(taught.values()) == [0, 1, 2, 3]
    assert all(240 < len(name.encode()) <= 255 for name in taught)
    assert all(name in told for name in taught)


@pytest.mark.parametrize("name", ["tok.safetensors", "TOK.safetensors"])
def test_an_output_named_as_a_token_is_told_so(tmp_path, refused, name):
    source = _file(tmp_path / "lora.safetensors", 1.0)
    words = ("--embeddings", "split", "--force")
    for ending in (("-o", tmp_path / name), (tmp_path / name, "--to", "kohya")):
        said = refused(
            "merge" if ending[0] == "-o" else "convert", source, *ending, *words, status=1
        )
        assert "[lora.embedding_is_output]" in said
        assert "token embedding tok" in said
    assert [path.name for path in tmp_path.iterdir()] == ["lora.safetensors"]


def test_the_embeddings_are_among_the_outputs(tmp_path, run):
    source = _file(tmp_path / "lora.safetensors", 1.0)
    for job in ("convert", "merge"):
        out = tmp_path / job / "out.safetensors"
        place = (out, "--to", "kohya") if job == "convert" else ("-o", out)
        told = run(job, source, *place, "--embeddings", "split")
        names = ("out", "a_b", "tok")
        assert sorted(told["outputs"]) == sorted(
            str(out.with_name(f"{name}.safetensors")) for name in names
        )
        assert told["outputs"][0] == str(out)


def test_an_adapter_without_embeddings_has_none_to_split(tmp_path, run):
    source = _teaching(tmp_path / "lora.safetensors")
    out = tmp_path / "out.safetensors"
    told = run("convert", source, out, "--to", "kohya", "--embeddings", "split")
    assert told["outputs"] == [str(out)]


def test_beside_the_working_folder_is_not_in_it(tmp_path, monkeypatch):
    source = _teaching(tmp_path / "lora.safetensors", "adapter_model")
    (tmp_path / "peft").mkdir()
    monkeypatch.chdir(tmp_path / "peft")
    options = {"source": source, "destination": ".", "to": "peft"}
    list(convert(ConvertOptions(words={"embeddings": "split"}, **options)))
    assert load_file(tmp_path / "adapter_model.safetensors")["emb_params"].eq(0).all()
    weights = load_file("adapter_model.safetensors")
    assert all("lora" in name for name in weights)
