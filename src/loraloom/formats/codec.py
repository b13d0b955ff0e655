"""One way of writing adapters down: what tensors are called, and what the header says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, TypeAlias, final

from loraloom.adapters.span import Place
from loraloom.events import Warned
from loraloom.formats.contents import Config, Contents
from loraloom.formats.endings import Ending
from loraloom.formats.naming.meaning import Holder, Meaning
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.rearrangement import AS_IS, Settings, Shape
from loraloom.formats.words import Word, bundle_key, bundled


@final
@dataclass(frozen=True)
class Claim:
    """What a tensor of a file is: one part of the delta at the weights that its name means.

    `rows` are the row counts of stacked weights where the file tells them, `family` is the model
    family that has such names, where they are one family's own.
    """

    meaning: Meaning
    ending: Ending
    rows: tuple[int | None, ...] = ()
    family: str = ""


def claimed(meaning: Meaning, ending: Ending, family: str = "") -> Claim:
    """Return the claim of a tensor, given what its module's name means: the module's weight."""
    own = meaning if ending.parameter == "weight" else meaning.of(ending.parameter)
    return Claim(own, ending, family=family)


@final
@dataclass(frozen=True)
class Told:
    """What metadata or a configuration tell of one delta beyond its tensors."""

    alpha: float | None = None
    settings: Settings = field(default_factory=lambda: MappingProxyType({}))


@final
@dataclass(frozen=True)
class Spelling:
    """The end of a tensor's name, with what parts it from the module's, and the tensor's shape.

    `shape` None is that of the part itself, after its rearrangement. A `scaled` tensor takes part
    in the scale of the module's weight, as `Ending.scaled`.
    """

    ending: str
    rearrangement: str
    shape: Shape | None = None
    scaled: bool = False


Naming: TypeAlias = Callable[[Place], Holder | None]
"""From a weight, or a run of weights, to the name that holds it and all that the name means."""


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
    keeps_scale: ClassVar[bool] = True
    """Whether it has a place for the scale of a delta without rank; else the scale is multiplied
    into a factor."""

    @abstractmethod
    def claims(self, contents: Contents) -> Mapping[str, Claim]:
        """Return what the tensors are, leaving out those that this grammar does not know."""

    def told(self, contents: Contents, layers: Mapping[Place, Layer]) -> Mapping[Place, Told]:
        """Return what metadata or configuration tell; what they leave open is left out."""
        return {}

    def words(self, contents: Contents) -> Mapping[str, Word]:
        """Return the token embeddings among the tensors."""
        return bundled(contents.shapes, contents.metadata)

    def spell_word(self, word: str, part: str) -> Spelling | None:
        """Return the name of a tensor of an embedding, the inverse of `words`; None without one."""
        key = bundle_key(word, part)
        return None if key is None else Spelling(key, AS_IS)

    def warnings(self, contents: Contents, layers: Mapping[Place, Layer]) -> tuple[Warned, ...]:
        """Return what whoever uses a file of this grammar should know."""
        return ()

    def bound(self, contents: Contents, key: str, alpha: float) -> Settings:
        """Return the setting that alpha is where it bounds a rotation, at the tensor of that name.

        LyCORIS's rotations are bound by an alpha above 0.
        """
        return {"constraint": alpha} if alpha > 0 else {}

    @abstractmethod
    def naming(self, outline: Outline) -> Naming:
        """Return how weights are called: the names that `claims` understands."""

    def require_names(self, outline: Outline) -> None:
        """Raise ModelError where names depend on a family, and the weights do not tell which."""
        return

    @abstractmethod
    def spell(self, place: Place, layer: Layer, part: str) -> Spelling | None:
        """Return a tensor's ending, the inverse of `claims`; None if this grammar has none for it.

        `part` is a part of the delta there, or one of `endings.NUMBERS`: a grammar that keeps
        alpha in a tensor has an ending for it.
        """

    def misfits(self, outline: Outline) -> Collection[Place]:
        """Return what this grammar has endings for, and yet cannot express beside the rest."""
        return ()

    @abstractmethod
    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        """Return the metadata and the configuration without which a file is not understood."""

    def folders(self, outline: Outline) -> tuple[str, ...]:
        """Return what the names in each file of a folder begin with; "" for one file alone."""
        return ("",)

    def description_of(self, outline: Outline) -> dict[str, str]:
        """Return the metadata in which tools of this grammar expect an adapter to be described."""
        return {}

    def copies(self, contents: Contents, claims: Mapping[str, Claim]) -> frozenset[str]:
        """Return the tensors of the base that lie beside the adapter, which are no part of it."""
        return frozenset()

    def explain(self, contents: Contents, rest: Collection[str]) -> None:
        """Raise ModelError if it is known what the `rest` of a file's tensors are."""
        return

    def known(self, contents: Contents, claims: Mapping[str, Claim]) -> frozenset[str]:
        """Return the names of the tensors that are of this grammar; none without a delta's."""
        if not claims:
            return frozenset()
        return frozenset((*claims, *self.words(contents), *self.copies(contents, claims)))

    def matches(self, contents: Contents) -> bool:
        """Whether every tensor of a file is of this grammar."""
        return 0 < len(contents.shapes) == len(self.known(contents, self.claims(contents)))
