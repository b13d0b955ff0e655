"""Keys of sd-scripts that pack others: `network_args = ["conv_dim=4"]`; unpacked when read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from loraloom.errors import UsageError
from loraloom.jobs.keys import nearest, plain
from loraloom.jobs.settling import Given


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A key whose values read `inner=value`; each inner key stands for one or several of ours."""

    name: str
    inner: Mapping[str, tuple[str, ...]]
    example: str
    helps: Mapping[str, str]

    def unpack(self, given: Given) -> Iterator[Given]:
        """Yield the keys that the values stand for."""
        values: Any = [given.value] if isinstance(given.value, str) else given.value
        if not isinstance(values, list | tuple):
            raise UsageError("packed.not_list", given=given, example=self.example)
        for value in values:  # pyright: ignore[reportUnknownVariableType]
            yield from self._one(str(value), given)  # pyright: ignore[reportUnknownArgumentType]

    def _one(self, value: str, given: Given) -> Iterator[Given]:
        inner, equals, content = value.partition("=")
        inner = plain(inner)
        if not equals:
            raise UsageError("packed.no_value", given=given, example=self.example)
        if inner not in self.inner:
            known = nearest(inner, self.inner) or ", ".join(self.inner)
            raise UsageError("packed.unknown", given=given, key=inner, known=known)
        names = self.inner[inner]
        contents = [part.strip() for part in content.strip(" ()[]").split(",")]
        if len(contents) != len(names):
            raise UsageError("packed.count", given=given, key=inner, count=len(names))
        for name, part in zip(names, contents, strict=True):
            yield Given(spelling=name, value=part, place=given.place, within=given.spelling)


PACKED: Final[Mapping[str, Packed]] = MappingProxyType(
    {
        "network_args": Packed(
            name="network_args",
            inner=MappingProxyType({"conv_dim": ("conv_dim",), "conv_alpha": ("conv_alpha",)}),
            example="conv_dim=4",
            helps={
                "en": "conv_dim=N or conv_alpha=N, as sd-scripts takes them.",
                "ko": "sd-scripts와 같은 형식의 conv_dim=N 또는 conv_alpha=N.",
            },
        ),
        "optimizer_args": Packed(
            name="optimizer_args",
            inner=MappingProxyType(
                {
                    "weight_decay": ("weight_decay",),
                    "betas": ("adam_beta1", "adam_beta2"),
                    "eps": ("adam_epsilon",),
                }
            ),
            example="weight_decay=0.01",
            helps={
                "en": "weight_decay=X, betas=X,Y or eps=X, as sd-scripts takes them.",
                "ko": "sd-scripts와 같은 형식의 weight_decay=X, betas=X,Y 또는 eps=X.",
            },
        ),
    }
)
