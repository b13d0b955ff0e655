"""Everything that the READMEs tell to type is typed here."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from loraloom.cli.figures import kept_figures, readme_path, with_figures
from loraloom.cli.main import main
from loraloom.generation import sampling
from loraloom.playground.scenes import sample_scene
from loraloom.playground.styles import render
from loraloom.text import LANGUAGES

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"<!-- executed(?:: (\S+))? -->\n```(\w+)\n(.*?)```", re.DOTALL)


def blocks(name: str) -> list[tuple[str, str, str]]:
    """Return (file, language, content) of the blocks of a README that are to be executed."""
    return _BLOCK.findall((ROOT / name).read_text(encoding="utf-8"))


def test_the_readme_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    from PIL import Image

    # As many steps as it takes to see that pictures come out; how good they are is not asked here.
    set_timesteps = sampling._set_timesteps
    monkeypatch.setattr(
        sampling,
        "_set_timesteps",
        lambda scheduler, settings, model: set_timesteps(
            scheduler, replace(settings, steps=3), model
        ),
    )
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for folder, style in (("photos", "plain"), ("drawings", "pencil")):
        (tmp_path / folder).mkdir()
        for number in range(3):
            picture = render(sample_scene(generator), style)
            Image.fromarray(picture).save(tmp_path / folder / f"{number}.png")
            caption = tmp_path / folder / f"{number}.txt"
            caption.write_text("a picture", encoding="utf-8")
    found = blocks("README.md")
    assert [language for _, language, _ in found] == ["sh", "toml", "sh", "python"]
    for file, language, content in found:
        if language == "toml":
            (tmp_path / file).write_text(content, encoding="utf-8")
        elif language == "sh":
            for line in content.splitlines():
                program, *words = shlex.split(line)
                assert (program, main(words)) == ("loraloom", 0), line
        else:
            exec(compile(content, "README.md", "exec"), {})
    assert (tmp_path / "comparison.png").is_file()
    assert len(list((tmp_path / "outputs").glob("*.png"))) >= 3


def test_the_korean_readme_tells_the_same() -> None:
    def plain(name: str) -> list[tuple[str, str, str]]:
        return [
            (file, language, re.sub(r" --lang ko|  # .*", "", content))
            for file, language, content in blocks(name)
        ]

    assert plain("README.ko.md") == plain("README.md")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_figures_shown_are_those_kept(language: str) -> None:
    shown = readme_path(ROOT, language).read_text(encoding="utf-8")
    expected = with_figures(shown, kept_figures(ROOT), language)
    assert shown == expected, "run `python -m loraloom.cli.figures`"
