"""`loraloom lora verify` and `diff` on what adapters teach their tokens."""

from dataclasses import replace

import pytest
import torch

from loraloom.cli.main import main
from loraloom.formats.files import read_adapter, write_adapter

VECTOR = torch.tensor([[3.0, 4.0]])


@pytest.fixture
def bundles(files, tmp_path):
    """Return files of one adapter with other tokens each; `other` is off by 1 in a norm of 5."""
    adapter = read_adapter(files["one"])
    tokens = {
        "plain": {},
        "taught": {"<cat>": {"clip_l": VECTOR}},
        "other": {"<cat>": {"clip_l": torch.tensor([[3.0, 3.0]])}},
        "longer": {"<cat>": {"clip_l": VECTOR.repeat(2, 1)}},
        "half": {"<cat>": {"clip_l": VECTOR.half() * 1.001}},
    }
    paths = {name: tmp_path / f"{name}.safetensors" for name in tokens}
    for name, embeddings in tokens.items():
        write_adapter(replace(adapter, embeddings=embeddings, origin=None), paths[name])
    return paths


@pytest.mark.parametrize(
    ("second", "error", "only"),
    [
        ("taught", 0.0, None),
        ("other", 0.2, None),
        ("longer", 1.0, None),
        ("plain", 1.0, "first"),
    ],
)
def test_tokens_that_differ_are_a_difference(bundles, run, second, error, only):
    paths = (bundles["taught"], bundles[second])
    for command, status in (("diff", 0), ("verify", 1 if error else 0)):
        told = run(command, *paths, status=status)
        (found,) = told["embeddings"]
        assert found == {"word": "<cat>", "error": pytest.approx(error), "only": only}
        assert {each["error"] for each in told["differences"]} == {0.0}
    assert (told["embeddings_beyond"], told["ok"]) == (int(error > 0), error == 0)


def test_a_token_that_only_the_second_has(bundles, run):
    (found,) = run("diff", bundles["plain"], bundles["taught"])["embeddings"]
    assert (found["word"], found["only"]) == ("<cat>", "second")


def test_the_tolerance_is_that_of_the_weights(bundles, run):
    paths = (bundles["taught"], bundles["half"])
    run("verify", *paths, status=1)
    assert run("verify", *paths, "--tolerance", "0.01")["ok"]


@pytest.mark.parametrize("command", ["verify", "diff"])
@pytest.mark.parametrize(("language", "said"), [("en", "1 of 1"), ("ko", "1개 중 1개")])
def test_people_are_told_which_tokens(bundles, capsys, command, language, said):
    main(["lora", command, str(bundles["taught"]), str(bundles["other"]), "--lang", language])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if said in line]
    assert [line.split() for line in lines if "<cat>" in line] == [["<cat>", "0.2"]]
