"""The playground's model card: what it is made from, how, and how good it is, by measurement."""

# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from loraloom.jobs.building.autoencoder import to_unit
from loraloom.jobs.building.logs import log_file, read_entries
from loraloom.jobs.building.quality import judge_accuracy, peak_signal_to_noise, restored
from loraloom.jobs.building.retelling import retold
from loraloom.jobs.building.work import (
    AUTOENCODER_SEED,
    BASE_SEED,
    CAPTIONER_SEED,
    DECODER_SEED,
    JUDGE_SEED,
    Work,
)
from loraloom.playground.judge import load_judge

_SEEDS = {
    "autoencoder": AUTOENCODER_SEED,
    "base": BASE_SEED,
    "judge": JUDGE_SEED,
    "decoder": DECODER_SEED,
    "captioner": CAPTIONER_SEED,
}
_STAGES = {
    "autoencoder": "drawn pictures of all styles; 64-pixel crops, then whole pictures",
    "base": "plain pictures only, without the held-out combinations; captions in several forms",
    "judge": "drawn pictures of all styles with one thing each; never a generated picture",
    "decoder": "the autoencoder's decoder, on whole pictures; the encoder stays as it was",
    "captioner": "drawn pictures of all styles, without the held-out combinations",
}
_RETOLD = {
    "one_thing": "the object and its colour",
    "two_things": "both objects, each with its colour",
    "background": "the background",
}


def write_card(work: Work, target: Path) -> None:
    """Measure the packaged weights and write `card.json` and its readable form, `README.md`.

    What is told of stages that were not trained in `work` is taken over from the card before.
    """
    card = target / "card.json"
    told: Mapping[str, Any] = json.loads(card.read_text("utf-8")) if card.exists() else {}
    told_stages: Mapping[str, Any] = told.get("stages", {})
    trained = [name for name in _STAGES if log_file(work.folder, name).exists()]
    facts = {
        "made": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, CPU",
        "stages": {
            name: _stage(work, name) if name in trained else told_stages[name]
            for name in _STAGES
            if name in trained or name in told_stages
        },
        "quality": {
            **told.get("quality", {}),
            **({} if trained == ["captioner"] else _quality(work, target)),
            **(_retold(work, target) if "captioner" in trained else {}),
        },
        "sha256": dict(_hashes(target)),
    }
    card.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    (target / "README.md").write_text("\n".join(_lines(facts)) + "\n", encoding="utf-8")


def _stage(work: Work, name: str) -> Mapping[str, Any]:
    checkpoint = work.checkpoint(name)
    steps, anew = int(checkpoint["step"]), int(checkpoint["ramped_from"])
    entries = [
        entry for entry in read_entries(log_file(work.folder, name)) if entry["step"] < steps
    ]
    # The clock of the log starts again with each sitting.
    ends = [
        entry["seconds"]
        for entry, following in zip(entries, [*entries[1:], {"seconds": -1}], strict=True)
        if following["seconds"] < entry["seconds"]
    ]
    return {
        "data": _STAGES[name],
        "seed": _SEEDS[name],
        "steps": steps,
        "optimizer_anew_at": anew if 0 < anew < steps else 0,
        "seconds": round(sum(ends)),
        "last_loss": entries[-1]["loss"],
    }


def _retold(work: Work, target: Path) -> Mapping[str, Any]:
    for _ in work.recounted.draw():
        pass
    styles = retold(target / "captioner", work.recounted)
    return {
        "retold_pictures": work.recounted.count,
        "retold": {style: _rounded(shares) for style, shares in styles},
    }


def _quality(work: Work, target: Path) -> Mapping[str, Any]:
    pool = work.examined
    for _ in pool.draw():
        pass
    pictures = pool.pixels()
    autoencoder = AutoencoderKL.from_pretrained(target / "base" / "vae", torch_dtype=torch.float32)
    judge = load_judge(target / "judge.safetensors")
    truth, passed = to_unit(pictures), restored(autoencoder, pictures)
    styles = len(pool.styles)
    psnr = {
        style: round(peak_signal_to_noise(passed[place::styles], truth[place::styles]), 2)
        for place, style in enumerate(pool.styles)
    }
    return {
        "pictures": pool.count,
        "autoencoder_psnr_db": psnr,
        "judge_on_drawings": _rounded(judge_accuracy(judge, truth, pool)),
        "judge_on_restored": _rounded(judge_accuracy(judge, passed, pool)),
    }


def _rounded(shares: Mapping[str, float]) -> Mapping[str, float]:
    return {name: round(share, 4) for name, share in shares.items()}


def _hashes(target: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(target.rglob("*.safetensors")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        yield path.relative_to(target).as_posix(), digest


def _commit() -> str:
    """Return the commit of the sources, or an empty string outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    quality = facts["quality"]
    yield "# The playground's weights"
    yield ""
    yield (
        "A Stable Diffusion 1.x in miniature (128x128 pictures, 16x16x4 latents), a judge of its "
        "pictures and a BLIP that captions them, trained by "
        "`python -m loraloom.jobs.build_playground` from drawings of this package alone. No "
        "other data, no other weights. Apache-2.0, like the package."
    )
    yield ""
    yield (
        f"Made {facts['made']} at commit {facts['commit'] or 'unknown'}, "
        f"torch {facts['torch']}, {facts['machine']}."
    )
    yield ""
    yield "| stage | data | seed | steps | optimizer begun anew at | seconds |"
    yield "|---|---|---|---|---|---|"
    for name, stage in facts["stages"].items():
        yield (
            f"| {name} | {stage['data']} | {stage['seed']} | {stage['steps']} "
            f"| {stage['optimizer_anew_at'] or 'never'} | {stage['seconds']} |"
        )
    yield ""
    yield f"Measured on {quality['pictures']} drawings that nothing was trained on:"
    yield ""
    yield "| autoencoder | " + " | ".join(quality["autoencoder_psnr_db"]) + " |"
    yield "|---|" + "---|" * len(quality["autoencoder_psnr_db"])
    yield "| PSNR, dB | " + " | ".join(map(str, quality["autoencoder_psnr_db"].values())) + " |"
    yield ""
    yield "| judge, share right | " + " | ".join(quality["judge_on_drawings"]) + " |"
    yield "|---|" + "---|" * len(quality["judge_on_drawings"])
    for row in ("drawings", "restored"):
        values = quality[f"judge_on_{row}"].values()
        yield f"| {row} | " + " | ".join(f"{value:.2%}" for value in values) + " |"
    yield ""
    styles = quality["retold"]
    yield (
        f"The captioner, on {quality['retold_pictures']} drawings of combinations that it was "
        "never shown. Its captions, one greedy sentence each, are read word by word and compared "
        "with what was drawn: right where exactly the objects in the picture are named, each with "
        "its colour."
    )
    yield ""
    yield "| captioner, share right | " + " | ".join(styles) + " |"
    yield "|---|" + "---|" * len(styles)
    for row, words in _RETOLD.items():
        values = [shares[row] for shares in styles.values()]
        yield f"| {words} | " + " | ".join(f"{value:.2%}" for value in values) + " |"
    yield ""
    yield "| file | sha256 |"
    yield "|---|---|"
    for name, digest in facts["sha256"].items():
        yield f"| `{name}` | `{digest}` |"
