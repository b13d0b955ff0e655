"""Several LoRAs on one base from Python: load, mix, compare, and lay out side by side."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, final

from PIL import Image

from loraloom.errors import UsageError
from loraloom.generation.grid import Label, draw_grid
from loraloom.generation.images import INFOTEXT_KEY, write_png
from loraloom.generation.infotext import Infotext, describe
from loraloom.generation.prompt import LoraTag, parse_prompt
from loraloom.generation.request import ImageRequest, SamplingSettings
from loraloom.jobs.base_model import open_model
from loraloom.jobs.device import choose_device, choose_dtype
from loraloom.jobs.drawing import Drawn, draw_pictures
from loraloom.jobs.wardrobe import Wardrobe, read_loras
from loraloom.models.model import AbstractModel

LoraConfig: TypeAlias = Sequence[tuple[str, float]]
"""Names of loaded LoRAs with their strengths: `[("anime", 0.6), ("watercolor", 0.4)]`."""

Comparison: TypeAlias = list[tuple[str, Image.Image]]
"""Pictures with what they show."""

_MARKS: Final = frozenset("<>:=")


@final
class MultiLoRAGenerator:
    """Draws pictures with any mix of the LoRAs that were loaded.

    `model` is "playground", which comes with the package, a folder, a checkpoint file or a name on
    the hub; `dtype` is "auto", "fp32", "fp16" or "bf16". Every picture's `info["parameters"]` tells
    how it was made.
    """

    def __init__(
        self, model: str = "playground", *, device: str = "auto", dtype: str = "auto"
    ) -> None:
        place = choose_device(device)
        self._model: AbstractModel = open_model(model, place, choose_dtype(dtype, place))
        self._model_hash = self._model.base_hash()
        self._files: dict[str, Path] = {}
        self._wardrobe = Wardrobe.of(self._model, {}, {})

    @property
    def loras(self) -> Mapping[str, Path]:
        """The loaded LoRAs and their files."""
        return dict(self._files)

    def load_lora(self, path: str | Path, name: str) -> None:
        """Load a LoRA under a name; a file's ending may be left out.

        A name loaded before is replaced. What cannot be read or does not fit is a `ModelError`; a
        name that a prompt's tag could not hold is a `UsageError`.
        """
        if not name or name != name.strip() or set(name) & _MARKS:
            raise UsageError("multi_lora.name", name=name, marks=" ".join(sorted(_MARKS)))
        path = Path(path)
        with_ending = path.with_name(f"{path.name}.safetensors")
        files = {**self._files, name: path if os.path.exists(path) else with_ending}
        wardrobe = Wardrobe.of(self._model, files, read_loras(files))
        self._wardrobe.attachment.close()
        self._files, self._wardrobe = files, wardrobe

    def generate(
        self,
        prompt: str,
        lora_configs: LoraConfig = (),
        num_images: int = 1,
        seed: int | None = None,
        **settings: Any,
    ) -> list[Image.Image]:
        """Draw pictures; each takes the next seed, the first a random one if `seed` is None.

        LoRAs named in the prompt (`<lora:anime:0.8>`) are added to `lora_configs`. `settings` are
        `negative_prompt`, `batch_size` and the fields of `SamplingSettings`.
        """
        first = _seed(seed)
        wishes = [(lora_configs, first + number) for number in range(num_images)]
        return self._draw(prompt, wishes, **settings)

    def generate_comparison(
        self,
        prompt: str,
        lora_configs_list: Sequence[LoraConfig],
        include_base: bool = True,
        seed: int | None = None,
        **settings: Any,
    ) -> Comparison:
        """Draw one prompt with each mix from the same noise, the base alone first."""
        configs: list[LoraConfig] = [*([()] if include_base else []), *lora_configs_list]
        first = _seed(seed)
        pictures = self._draw(prompt, [(config, first) for config in configs], **settings)
        return [
            (" + ".join(f"{name} {weight:g}" for name, weight in config) or "base", picture)
            for config, picture in zip(configs, pictures, strict=True)
        ]

    def close(self) -> None:
        """Take all LoRAs off."""
        self._wardrobe.attachment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _draw(
        self,
        prompt: str,
        wishes: Sequence[tuple[LoraConfig, int]],
        *,
        negative_prompt: str = "",
        batch_size: int = 4,
        **settings: Any,
    ) -> list[Image.Image]:
        side = self._model.resolution
        fields: dict[str, Any] = {"width": side, "height": side, **settings}
        chosen = SamplingSettings(**fields)
        requests: list[ImageRequest] = []
        texts: list[Infotext] = []
        for config, seed in wishes:
            tagged = prompt + "".join(f"<lora:{name}:{float(weight)}>" for name, weight in config)
            parsed = parse_prompt(tagged)
            requests.append(
                ImageRequest(
                    prompt=parsed.text,
                    negative_prompt=negative_prompt,
                    seed=seed,
                    strengths=self._wardrobe.strengths(parsed.loras),
                )
            )
            texts.append(self._told(tagged, negative_prompt, chosen, seed, parsed.loras))
        drawn = draw_pictures(
            self._model, self._wardrobe.attachment, requests, chosen, batch_size=batch_size
        )
        pictures = [event.picture for event in drawn if isinstance(event, Drawn)]
        for picture, text in zip(pictures, texts, strict=True):
            picture.info[INFOTEXT_KEY] = str(text)
        return pictures

    def _told(
        self,
        prompt: str,
        negative_prompt: str,
        settings: SamplingSettings,
        seed: int,
        loras: Sequence[LoraTag],
    ) -> Infotext:
        fields = describe(
            settings,
            seed,
            model=self._model.name,
            model_hash=self._model_hash,
            lora_hashes=self._wardrobe.hashes_of(loras),
        )
        return Infotext(prompt=prompt, negative_prompt=negative_prompt, fields=fields)


def create_comparison_grid(
    comparison: Sequence[tuple[str, Image.Image]],
    save_path: str | Path | None = None,
    *,
    overwrite: bool = False,
) -> Image.Image:
    """Lay labelled pictures side by side; with `save_path`, write them as a PNG too.

    The file carries the first picture's infotext. One that exists is an `OutputError` unless
    `overwrite`.
    """
    if not comparison:
        raise UsageError("grid.empty")
    pictures = [picture for _, picture in comparison]
    grid = draw_grid([pictures], [Label("")], [Label(label) for label, _ in comparison])
    if save_path is not None:
        text = str(pictures[0].info.get(INFOTEXT_KEY, ""))
        write_png(grid, Path(save_path), text, overwrite=overwrite)
    return grid


def _seed(seed: int | None) -> int:
    return secrets.randbelow(2**32) if seed is None else seed
