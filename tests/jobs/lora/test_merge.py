"""`loraloom lora merge` and `lora resize`: the weighted sum of what adapters do."""

import pytest
import torch

from loraloom.cli.main import main
from loraloom.events import Advanced, PhaseStarted, Saved
from loraloom.formats.files import read_adapter
from loraloom.jobs.lora.fuse import fuse
from loraloom.jobs.lora.merge import merge
from loraloom.jobs.lora.options import FuseOptions, MergeOptions, ResizeOptions
from loraloom.jobs.lora.resize import resize


def changes(path):
    """Return alpha / rank * up @ down at each site, in float64."""
    found = {}
    for site, delta in read_adapter(path).deltas.items():
        parts = delta.parts()
        product = parts["up"].double() @ parts["down"].double()
        found[str(site)] = delta.alpha / delta.rank * product
    return found


def assert_close(found, expected, within=1e-6):
    assert found.keys() == expected.keys()
    assert found
    for site, change in expected.items():
        assert torch.linalg.norm(found[site] - change) <= within * torch.linalg.norm(change)


def test_the_sum_is_exact(files, tmp_path, run):
    output = tmp_path / "sum.safetensors"
    run("merge", f"{files['one']}:0.7", f"{files['two']}:-0.3", "-o", output)
    one, two = changes(files["one"]), changes(files["two"])
    assert_close(changes(output), {site: 0.7 * one[site] - 0.3 * two[site] for site in one})


def test_the_same_file_twice_at_halves_is_itself(files, tmp_path, run):
    output = tmp_path / "self.safetensors"
    run("merge", f"{files['one']}:0.5", f"{files['one']}:0.5", "-o", output)
    assert_close(changes(output), changes(files["one"]))


def test_a_rank_cuts_the_sum_and_tells_what_is_kept(files, tmp_path, run):
    output = tmp_path / "cut.safetensors"
    words = (files["one"], f"{files['two']}:0.5", "--mode", "svd", "--rank", "3", "-o", output)
    told = run("merge", *words)
    one, two = changes(files["one"]), changes(files["two"])
    lost = whole = 0.0
    for site in one:
        values = torch.linalg.svdvals(one[site] + 0.5 * two[site]).square()
        kept = float(values[:3].sum() / values.sum())  # Eckart and Young
        assert told["measured"][f"energy {site}"] == pytest.approx(kept, rel=1e-4)
        off = (1 - kept) ** 0.5
        assert told["measured"][f"error_at {site}"] == pytest.approx(off, rel=1e-4)
        lost, whole = lost + float(values[3:].sum()), whole + float(values.sum())
    assert told["measured"]["error"] == pytest.approx((lost / whole) ** 0.5, rel=1e-4)
    assert told["measured"]["energy_of_all"] == pytest.approx(1 - lost / whole, rel=1e-4)
    assert {delta.rank for delta in read_adapter(output).deltas.values()} == {3}


def test_blocks_change_the_weight_of_one_adapter_below_a_name(files, tmp_path, run):
    output = tmp_path / "blocks.safetensors"
    blocks = ("--blocks", "two:unet=0.5", "--blocks", "text_encoder=0")
    run("merge", files["one"], f"{files['two']}:0.8", *blocks, "-o", output)
    one, two = changes(files["one"]), changes(files["two"])
    unet = {site: one[site] + 0.4 * two[site] for site in one if site.startswith("unet.")}
    assert len(unet) < len(one)
    assert_close(changes(output), unet)


def test_a_web_uis_list_of_block_weights_is_taken(files, tmp_path, run):
    output = tmp_path / "blocks.safetensors"
    numbers = ",".join(["0.5", *("0.25" for _ in range(25))])
    run("merge", files["one"], f"{files['two']}:0.8", "--blocks", f"two:{numbers}", "-o", output)
    one, two = changes(files["one"]), changes(files["two"])
    assert_close(
        changes(output),
        {site: one[site] + (0.2 if "unet." in site else 0.4) * two[site] for site in one},
    )


def test_progress_is_told_and_a_job_that_is_asked_to_stop_writes_nothing(
    tiny_base, files, tmp_path
):
    merged, small = tmp_path / "merged.safetensors", tmp_path / "small.safetensors"
    words = (str(files["one"]), str(files["two"]))
    jobs = [
        (merge, MergeOptions(adapters=words, output=merged)),
        (resize, ResizeOptions(source=files["one"], output=small, rank="2")),
        (fuse, FuseOptions(base=str(tiny_base), adapters=words, output=tmp_path / "model")),
    ]
    for job, options in jobs:
        events = list(job(options, lambda: True))
        assert events[-1].interrupted, job
        assert not any(isinstance(event, Saved) for event in events)
        assert list(tmp_path.iterdir()) == []
    for job, options in jobs:
        events = list(job(options))
        (started,) = (event for event in events if isinstance(event, PhaseStarted))
        done = [event.done for event in events if isinstance(event, Advanced)]
        assert done == sorted(done)
        if job is not fuse:  # it counts megabytes, of which the model is less than one
            assert done[-1] == len(done) == started.total
        assert not events[-1].interrupted


@pytest.mark.parametrize(("language", "said"), [("en", "share of the energy"), ("ko", "에너지")])
def test_measures_are_told_in_words(files, tmp_path, capsys, language, said):
    words = ("resize", files["one"], "--rank", "2", "-o", tmp_path / "small.safetensors")
    assert main(["lora", *map(str, words), "--lang", language]) == 0
    assert said in capsys.readouterr().err


def test_a_vote_needs_a_density_and_keeps_kinds_apart(files, tmp_path, run, refused):
    output = tmp_path / "ties.safetensors"
    words = ("merge", files["one"], files["two"], "--mode", "ties", "-o", output)
    assert "composing.density_needed" in refused(*words, status=2)
    assert "lora.takes_low_rank" in refused(*words, "--density", "0.5", "--to", "peft", status=4)
    run(*words, "--density", "0.5", "--to", "lycoris")
    assert {delta.kind for delta in read_adapter(output).deltas.values()} == {"full"}


def test_a_merge_of_which_nothing_is_left_says_so(files, tmp_path, run):
    words = (files["one"], files["two"], "--mode", "dare", "--to", "lycoris")
    told = run("merge", *words, "--density", "1e-9", "-o", tmp_path / "none.safetensors")
    assert [warning["code"] for warning in told["warnings"]] == ["lora.nothing_left"]
    assert (told["measured"]["energy_of_all"], told["measured"]["error"]) == (0, pytest.approx(1))
    told = run("merge", *words, "--density", "0.5", "-o", tmp_path / "half.safetensors")
    assert told["warnings"] == []
    assert told["measured"]["error"] > 0.5


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--blocks", "unet"), "lora.block"),
        (("--blocks", "three:unet=1"), "lora.block_owner"),
        (("--blocks", "unet.nowhere=1"), "composing.no_block"),
        (("--rank", "8"), "composing.cat_rank"),
        (("--rank", "many", "--mode", "svd"), "lora.rank"),
        (("--rank", "auto:2", "--mode", "svd"), "composing.rule_number"),
    ],
)
def test_a_merge_that_makes_no_sense_is_refused(words, code, files, tmp_path, refused):
    output = tmp_path / "none.safetensors"
    assert f"[{code}]" in refused("merge", files["one"], *words, "-o", output, status=2)
    assert not output.exists()


def test_resizing_keeps_the_largest_directions(files, tmp_path, run):
    output = tmp_path / "small.safetensors"
    told = run("resize", files["one"], "--rank", "auto:0.9", "--max_rank", "3", "-o", output)
    ranks = {str(site): delta.rank for site, delta in read_adapter(output).deltas.items()}
    for site, change in changes(files["one"]).items():
        values = torch.linalg.svdvals(change).square()
        shares = values.cumsum(0) / values.sum()
        rank = min(3, int((shares < 0.9).sum()) + 1)
        assert ranks[site] == rank
        assert told["measured"][f"energy {site}"] == pytest.approx(float(shares[rank - 1]), 1e-4)
