"""Nothing that a command reads is ever written over, by whatever name it is called."""

import os
import shutil
import sys

import pytest

from loraloom.cli.main import main

FULL = "/dev/full"


@pytest.fixture
def base(tiny_base, tmp_path):
    """Return a copy of a whole model's folder that a command may try to destroy."""
    return shutil.copytree(tiny_base, tmp_path / "base")


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_no_command_writes_over_its_base(files, base, tmp_path, refused):
    unet = next(base.glob("unet/*.safetensors"))
    (tmp_path / "link.safetensors").symlink_to(unet)
    os.link(unet, tmp_path / "twin.safetensors")
    (tmp_path / "way").symlink_to(base)
    before = contents(tmp_path)
    outputs = [
        unet,
        base / "unet" / "new.safetensors",
        tmp_path / "link.safetensors",
        tmp_path / "twin.safetensors",
        tmp_path / "way" / "unet" / unet.name,
    ]
    for output in outputs:
        last = ("--base", base, "--force")
        merge = ("merge", files["one"], files["two"], "-o", output)
        convert = ("convert", files["one"], output, "--to", "kohya")
        extract = ("extract", base, base, "-o", output, "--force")
        for words in ((*merge, *last), (*convert, *last), extract):
            assert "[lora.onto_source]" in refused(*words, status=1), words
    picture = base / "heat.png"
    words = ("interference", files["one"], files["two"], "-o", picture, "--base", base)
    assert "[lora.onto_source]" in refused(*words, status=1)
    assert contents(tmp_path) == before


def test_a_hard_link_in_the_folder_that_is_written_counts_too(files, tmp_path, refused):
    folder = tmp_path / "peft"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    source = tmp_path / "one.safetensors"
    shutil.copy(files["one"], source)
    os.link(source, folder / "adapter_model.safetensors")
    said = refused("convert", source, folder, "--to", "peft", "--force", status=1)
    assert "[lora.onto_source]" in said


def test_a_peft_folder_is_refused_before_the_work(files, tmp_path, refused, run):
    folder = tmp_path / "peft"
    run("convert", files["one"], folder, "--to", "peft")
    said = refused("merge", files["one"], "-o", folder, "--to", "peft", status=1)
    assert "[lora.output_exists]" in said
    assert "--force" in said
    run("merge", files["one"], "-o", folder, "--to", "peft", "--force")


def test_events_are_not_appended_to_what_is_no_log_of_events(files, tmp_path, refused, run):
    source = tmp_path / "one.safetensors"
    shutil.copy(files["one"], source)
    before = source.read_bytes()
    words = ("resize", source, "--rank", "2", "-o", tmp_path / "small.safetensors")
    assert "[cli.events_foreign]" in refused(*words, "--events", source, status=1)
    assert source.read_bytes() == before
    log = tmp_path / "log.jsonl"
    run(*words, "--events", log)
    first = log.read_text()
    run(*words, "--force", "--events", log)
    assert log.read_text().startswith(first)
    assert len(log.read_text()) > len(first)


def test_an_impossible_name_is_an_error_of_ours(files, tmp_path, refused):
    long = tmp_path / ("x" * 300 + ".safetensors")
    said = refused("resize", files["one"], "--rank", "2", "-o", long, status=1)
    assert "[output.name_too_long]" in said
    assert "[output.name_too_long]" in refused(
        "meta", "set", files["one"], "a=b", "-o", long, status=1
    )
    assert "[file.missing]" in refused("info", long, status=4)
    ring = tmp_path / "ring.safetensors"
    ring.symlink_to(ring)
    output = tmp_path / "out.safetensors"
    for words in (("merge", ring), ("resize", ring, "--rank", "2")):
        assert "[file.missing]" in refused(*words, "-o", output, status=4)
    assert "[lora.no_model]" in refused("extract", ring, ring, "-o", output, status=4)
    assert "error [" in refused(
        "resize", files["one"], "--rank", "2", "-o", ring / "a.safetensors", status=1
    )


@pytest.mark.skipif(not os.path.exists(FULL), reason="no device that is always full")
def test_a_full_standard_output_is_told_in_a_sentence(files, monkeypatch, capsys):
    for words in (("info", files["one"]), ("info", files["one"], "--json"), ("info", "--help")):
        with open(FULL, "w") as full, monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", full)
            assert main(["lora", *map(str, words)]) == 1
        said = capsys.readouterr().err
        assert "error [output.stream]" in said
        assert "Traceback" not in said
