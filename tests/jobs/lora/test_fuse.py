"""`loraloom lora fuse` and `lora extract`: adapters into a model and out of it."""

import shutil

import torch
from safetensors.torch import load_file, save_file

from loraloom.formats.files import read_adapter


def weights(folder):
    """Return every tensor of a diffusers folder by its canonical name."""
    found = {}
    for file in folder.glob("*/*.safetensors"):
        for name, tensor in load_file(file).items():
            starts = {"text_encoder": "text_model."}
            start = starts.get(file.parent.name, "")
            start = "" if name.startswith(start) else start
            found[f"{file.parent.name}.{start}{name}"] = tensor
    return found


def test_a_folder_is_fused_whole_and_extracted_again(tiny_base, files, tmp_path, run):
    fused, extracted = tmp_path / "fused", tmp_path / "out.safetensors"
    before = {path: path.read_bytes() for path in tiny_base.rglob("*") if path.is_file()}
    run("fuse", tiny_base, f"{files['one']}:0.5", "-o", fused)
    old, new = weights(tiny_base), weights(fused)
    adapter = read_adapter(files["one"])
    changed = {str(site): delta.delta(None) for site, delta in adapter.deltas.items()}
    assert old.keys() == new.keys()
    assert changed.keys() <= new.keys()
    for name, tensor in old.items():
        expected = tensor + 0.5 * changed[name] if name in changed else tensor
        torch.testing.assert_close(new[name], expected, rtol=1e-6, atol=1e-6)
    names = {path.relative_to(tiny_base) for path in before}
    assert {path.relative_to(fused) for path in fused.rglob("*") if path.is_file()} == names
    assert all(path.read_bytes() == content for path, content in before.items())
    run("extract", fused, tiny_base, "--rank", "4", "--family", "sd1", "-o", extracted)
    verdict = run("verify", files["one"], extracted, status=1)
    assert verdict["beyond"] == len(changed)  # it was worn at 0.5
    for site, delta in read_adapter(extracted).deltas.items():
        half = 0.5 * changed[str(site)]
        assert torch.linalg.norm(delta.delta(None) - half) <= 1e-5 * torch.linalg.norm(half)


def test_shards_stay_divided(tiny_base, files, tmp_path, run):
    base, fused = tmp_path / "base", tmp_path / "fused"
    shutil.copytree(tiny_base, base)
    whole = base / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(whole)
    whole.unlink()
    shards = [f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    split = {name: shards[n % 2] for n, name in enumerate(sorted(tensors))}
    for shard in shards:
        own = {name: tensors[name] for name, place in split.items() if place == shard}
        save_file(own, base / "unet" / shard)
    index = base / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(f'{{"metadata": {{}}, "weight_map": {split!s}}}'.replace("'", '"'))
    run("fuse", base, files["one"], "-o", fused)
    run("fuse", tiny_base, files["one"], "-o", tmp_path / "whole")
    one, other = weights(fused), weights(tmp_path / "whole")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (fused / "unet" / index.name).read_bytes() == index.read_bytes()


def test_the_base_is_never_written_to(tiny_base, files, tmp_path, refused):
    said = refused("fuse", tiny_base, files["one"], "-o", tiny_base, "--force", status=1)
    assert "lora.onto_source" in said
    inside = tiny_base / "unet"
    assert "lora.onto_source" in refused("fuse", tiny_base, files["one"], "-o", inside, status=1)
    (tmp_path / "there").write_text("mine")
    said = refused("fuse", tiny_base, files["one"], "-o", tmp_path, status=1)
    assert "lora.output_exists" in said


def test_what_depends_on_the_base_asks_for_it(tiny_base, files, tmp_path, run, refused):
    torch.manual_seed(0)
    tensors = load_file(files["one"])
    for key in [key for key in tensors if key.endswith(".lora_up.weight")]:
        rows = len(tensors[key])
        name = key.replace(".lora_up.weight", ".dora_scale")
        tensors[name] = torch.rand(rows, 1) + 0.5
    dora, merged = tmp_path / "dora.safetensors", tmp_path / "merged.safetensors"
    save_file(tensors, dora, {"ss_base_model_version": "sd_v1"})
    words = ("merge", dora, files["two"], "-o", merged, "--to", "native")
    said = refused(*words, status=4)
    assert "composing.needs_base" in said
    assert "--base" in said
    run(*words, "--base", tiny_base)
    assert run("verify", merged)["ok"]


def test_a_model_that_is_none_is_told(tmp_path, files, refused):
    output = tmp_path / "out"
    assert "lora.no_model" in refused("fuse", "nowhere", files["one"], "-o", output, status=4)
    assert "lora.model_weights" in refused("fuse", tmp_path, files["one"], "-o", output, status=4)


def test_a_whole_model_beside_the_networks_is_left_out_and_told(tiny_base, files, tmp_path, run):
    base, fused = tmp_path / "base", tmp_path / "fused"
    shutil.copytree(tiny_base, base)
    names = ("v1-5-pruned.safetensors", "v1-5-pruned.ckpt")
    for name in names:
        shutil.copy(files["two"], base / name)
    told = run("fuse", base, files["one"], "-o", fused)
    (warning,) = told["warnings"]
    assert warning["code"] == "lora.files_left_out"
    for name in names:
        assert name in warning["message"]
        assert not (fused / name).exists()
    assert (fused / "model_index.json").is_file()
