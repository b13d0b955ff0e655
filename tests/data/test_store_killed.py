"""A cache that is filled by processes which are killed at any moment, alone and in pairs."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loraloom.data.augment import Augmentation
from loraloom.data.cache import LatentCache
from loraloom.data.cached_files import PASSING, SUFFIX, entries, remove, superfluous
from loraloom.data.pixels import open_picture, pixels
from loraloom.data.shot import Shot
from loraloom.data.store import LatentStore


def _shots(folder: Path) -> list[Shot]:
    """Return the pictures of a folder, each with two views."""
    flip = Augmentation(flip=True)
    paths = sorted(folder.iterdir())
    return [Shot(path=path, size=(16, 16), target=(16, 16), augmentation=flip) for path in paths]


def _store(folder: Path) -> LatentStore:
    return LatentStore(folder, encoder="ab" * 32, dtype="float32", title="tiny")


def _encoded(shown):
    """Return what stands for latents; as a real encoder's, they round as the batch is large."""
    means = shown[:, :2].repeat(1, 2, 4, 4) + len(shown) * 1e-6
    return means, means.abs()


def _hash(shown) -> str:
    return hashlib.sha256(shown.contiguous().numpy().tobytes()).hexdigest()


def fill(folder: Path, cache: Path, log: Path) -> None:
    """Fill a cache, and write into a log what is about to be encoded."""
    file = os.open(log, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def encode(shown):
        for each in shown:
            os.write(file, f"{_hash(each)}\n".encode())
        return _encoded(shown)

    shots = _shots(folder)
    list(LatentCache(encode, _store(cache)).fill(shots, first=os.getpid() * 7 % len(shots)))
    os.close(file)


def main(root: Path, rounds: int, most: int) -> None:
    """Kill fillings at random, then let one end; print what each round found and encoded."""
    folder, cache, log = root / "pictures", root / "cache", root / "log"
    names = {
        _hash(pixels(open_picture(shot), shot, view)): str(_store(cache).path((shot, view)))
        for shot in _shots(folder)
        for view in shot.augmentation.views()
    }
    log.touch()
    generator = random.Random(0)
    told = []
    for number in range(rounds + 1):
        whole = [str(entry.path) for entry in entries(cache) if entry.path.suffix == SUFFIX]
        before = log.stat().st_size
        is_last = number == rounds
        workers = [_started(folder, cache, log) for _ in range(1 if is_last else 1 + number % 2)]
        if not is_last:
            _wait_for(log, before + 65 * generator.randint(1, most), workers)
            time.sleep(generator.uniform(0, 0.003))
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
        ends = [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]
        lines = log.read_text()[before:].splitlines()
        told.append({"whole": whole, "encoded": [names[line] for line in lines], "ends": ends})
    sys.stdout.write(json.dumps(told))


def _started(folder: Path, cache: Path, log: Path) -> int:
    """Start a filling in a process of its own, at once, for all modules are here already."""
    worker = os.fork()
    if worker == 0:
        fill(folder, cache, log)
        os._exit(0)
    return worker


def _wait_for(log: Path, size: int, workers: list[int]) -> None:
    """Wait until a log has grown to a size, or no worker is left to write."""
    while log.stat().st_size < size:
        for worker in workers:
            if os.waitid(os.P_PID, worker, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return
        time.sleep(0.0002)


_MAIN = "import sys; from pathlib import Path; from tests.data import test_store_killed as t; "


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
@pytest.mark.parametrize(
    ("count", "rounds", "most"),
    [
        pytest.param(30, 4, 8, id="few"),
        pytest.param(600, 60, 15, id="many", marks=pytest.mark.slow),
    ],
)
def test_a_cache_survives_whatever_is_killed(
    tmp_path: Path, count: int, rounds: int, most: int
) -> None:
    folder, cache = tmp_path / "pictures", tmp_path / "cache"
    folder.mkdir()
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{number:04}.png")
    driver = [sys.executable, "-c", f"{_MAIN}t.main(Path({str(tmp_path)!r}), {rounds}, {most})"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
    done = subprocess.run(driver, env=environment, check=True, capture_output=True, timeout=300)
    told = json.loads(done.stdout)

    killed = [end for each in told[:-1] for end in each["ends"] if end == -signal.SIGKILL]
    assert len(killed) >= rounds
    assert told[-1]["ends"] == [0]
    for each in told:
        # What was whole is left alone; what was lacking, no process encodes twice.
        assert not set(each["whole"]) & set(each["encoded"])
        assert max(Counter(each["encoded"]).values(), default=0) <= len(each["ends"])
    last = told[-1]
    assert len(last["whole"]) + len(last["encoded"]) == 2 * count
    # Each process that was killed can have lost the two views of one picture.
    encoded = sum(len(each["encoded"]) for each in told if len(each["ends"]) == 1)
    assert encoded <= 2 * count + 2 * len(killed)

    fill(folder, tmp_path / "at_once", tmp_path / "other_log")
    found = {path.relative_to(cache): path for path in cache.rglob("*") if path.is_file()}
    left = [path for path in found.values() if path.suffix == PASSING]
    assert len(left) <= len(killed)
    later = time.time() + 3601
    for entry in superfluous(list(entries(cache)), now=later):
        remove(entry)
    assert not any(path.exists() for path in left)
    expected = [path for path in (tmp_path / "at_once").rglob("*") if path.is_file()]
    assert len(expected) == 2 * count == len(found) - len(left)
    for path in expected:
        assert (cache / path.relative_to(tmp_path / "at_once")).read_bytes() == path.read_bytes()
