"""One way of writing adapters down: what tensors are called, and what the header says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, final

from loraloom.adapters.site import Site
from loraloom.formats.contents import Config, Contents
from loraloom.formats.outline import Outline

ALPHA: Final = "alpha"
"""The part that is no factor: the scale's numerator, a tensor of one number."""


@final
@dataclass(frozen=True)
class Claim:
    """What a tensor of a file is: one part of the delta at one site."""

    site: Site
    part: str


class AbstractCodec(ABC):
    """One grammar of files, both ways.

    A codec knows names and numbers; tensors are moved by `coding.decode` and `coding.encode`,
    which are the same for all. So a header can be understood where torch is not loaded.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    is_folder: ClassVar[bool]
    """Whether it writes a folder of files with configurations. A tensor, a metadata entry and a
    configuration that lie in a subfolder are then named `subfolder/name`."""
    is_hashed: ClassVar[bool]
    """Whether kohya's two hashes of the tensors belong into the header."""

    @abstractmethod
    def claims(self, contents: Contents) -> Mapping[str, Claim]:
        """Return what the tensors are, leaving out those that this grammar does not know."""

    @abstractmethod
    def alphas(self, contents: Contents, ranks: Mapping[Site, int]) -> Mapping[Site, float]:
        """Return the alphas that metadata or configuration tell; what nothing tells is left out."""

    @abstractmethod
    def spell(self, outline: Outline, site: Site, part: str) -> str | None:
        """Return a tensor's name, the inverse of `claims`; None if this grammar has none for it.

        A grammar that keeps alpha in a tensor names the part `ALPHA` too.
        """

    @abstractmethod
    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        """Return the metadata and the configuration to write."""

    def matches(self, contents: Contents) -> bool:
        """Whether every tensor of a file is of this grammar."""
        return 0 < len(contents.shapes) == len(self.claims(contents))
