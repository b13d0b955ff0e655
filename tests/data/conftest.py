"""Small training folders, and what a refusal must say."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loraloom.errors import LoraLoomError


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[Mapping[str, object]], Path]:
    """Return a function that writes a folder; None stands for a small picture, no two alike."""

    def write(files: Mapping[str, object]) -> Path:
        root = tmp_path / "set"
        root.mkdir()
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            match content:
                case str():
                    path.write_text(content, encoding="utf-8")
                case bytes():
                    path.write_bytes(content)
                case _:
                    generator = np.random.default_rng(zlib.crc32(name.encode()))
                    Image.fromarray(generator.integers(0, 256, (6, 8, 3), np.uint8)).save(path)
        return root

    return write


@pytest.fixture
def refuses() -> Callable[..., AbstractContextManager[None]]:
    """Return a context that expects an error by code, which names things and says what to do."""

    @contextmanager
    def expect(code: str, *names: str, exit_code: int = 3) -> Generator[None]:
        with pytest.raises(LoraLoomError) as caught:
            yield
        error = caught.value
        assert (error.code, error.exit_code) == (code, exit_code)
        for language, fix in (("en", "\nFix: "), ("ko", "\n해결: ")):
            what, _, todo = error.message(language).partition(fix)
            assert todo
            for name in names:
                assert name in what + todo

    return expect
