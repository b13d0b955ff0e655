"""What the demonstration leaves behind, and what to try next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from loraloom.evaluation.report import FileKind, NextCommand, WrittenFile
from loraloom.jobs.demonstration.datasets import OFFERED, TAUGHT
from loraloom.jobs.recipe import Recipe
from loraloom.playground.styles import STYLES


def written_files(root: Path, recipe: Recipe) -> tuple[WrittenFile, ...]:
    """Return the files and folders below `root` that are worth knowing of."""
    return tuple(
        WrittenFile(path=path.relative_to(root).as_posix(), bytes=_size(path), kind=kind)
        for path, kind in _found(root, recipe)
        if path.exists()
    )


def next_commands(root: Path) -> tuple[NextCommand, ...]:
    """Return command lines that go on from here."""
    loras = (root / "loras").as_posix()
    words = ", ".join(STYLES[name].trigger or name for name in TAUGHT[:2])
    tags = " ".join(f"<lora:{name}:0.6>" for name in TAUGHT[:2])
    own = "--model playground --trigger mystyle"
    return (
        NextCommand(
            kind="mix",
            command=f'loraloom generate "{words}, a teal boat at sunset {tags}" '
            f"--model playground --lora_dir {loras}",
        ),
        NextCommand(
            kind="held_out_styles",
            command=f"loraloom train {(root / 'data' / OFFERED[0]).as_posix()} --model playground "
            f"--trigger {STYLES[OFFERED[0]].trigger} --learning_rate 2e-3 "
            "--train_batch_size 8 --max_train_steps 150",
        ),
        NextCommand(kind="own_folder", command=f"loraloom train ./photos {own}"),
    )


def _found(root: Path, recipe: Recipe) -> Iterator[tuple[Path, FileKind]]:
    for adapter in recipe.adapters:
        yield recipe.output_dir / f"{adapter.name}.safetensors", "adapter"
        yield adapter.data.train_data_dir, "dataset"
    yield recipe.run_dir / "recipe.toml", "recipe"
    yield recipe.run_dir / "events.jsonl", "log"
    yield root / "grid.png", "grid"
    yield root / "images", "pictures"


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
