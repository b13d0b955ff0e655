"""How one network of a model family is named: in files, live, and here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

from loraloom.adapters.site import Site
from loraloom.formats.naming.grammar import Grammar
from loraloom.formats.naming.published import Known, Published
from loraloom.formats.naming.renaming import Renaming, Spelling


@final
@dataclass(frozen=True)
class Width:
    """A number by which families of one grammar differ: the columns of some weights.

    `modules` are the ends of those weights' names.
    """

    columns: int
    modules: tuple[str, ...]

    def concerns(self, site: Site) -> bool:
        """Whether a weight is one of those."""
        return site.parameter == "weight" and f".{site.module}".endswith(self.modules)


@final
@dataclass(frozen=True, kw_only=True)
class Network:
    """How the modules of one network are named.

    `prefixes` begin kohya's flat names, `dotted_prefixes` ComfyUI's dotted ones; all are read, the
    first is written. `native` is the spelling of the model's authors where it is not ours, which
    dotted names have, and kohya's if the trainer runs the authors' code (`is_natively_trained`).
    `root` is a first level that files have nevertheless where the live network lacks it
    (`is_rootless`, as in transformers 5); names without it are read as if it were there.
    `published` are the networks of published models.
    """

    part: str
    grammar: Grammar
    prefixes: tuple[str, ...]
    dotted_prefixes: tuple[str, ...]
    native: Renaming | None = None
    is_natively_trained: bool = False
    root: str = ""
    is_rootless: bool = False
    width: Width | None = None
    published: tuple[Published, ...] = ()

    @cached_property
    def own(self) -> Renaming:
        """Our names, as a spelling like any other."""
        return Renaming.plain(self.part, self.grammar, self.root)

    def starts(self, spelling: Spelling) -> tuple[str, ...]:
        """Return what names in a file begin with."""
        if spelling is Spelling.FLAT:
            return tuple(f"{prefix}_" for prefix in self.prefixes)
        return tuple(f"{prefix}." if prefix else "" for prefix in self.dotted_prefixes)

    def read(self, spelling: Spelling) -> tuple[Renaming, ...]:
        """Return the names that are read in a file."""
        if self.native is None:
            return (self.own,)
        return (self.native, self.own) if spelling is Spelling.FLAT else (self.native,)

    def written(self, spelling: Spelling) -> Renaming:
        """Return the names that are written into a file."""
        if self.native is None or (spelling is Spelling.FLAT and not self.is_natively_trained):
            return self.own
        return self.native

    def is_published(self, weights: Mapping[Site, Known]) -> bool:
        """Whether a published model has all these weights of the network, in these shapes."""
        return any(
            all(each.has(site, shape) for site, shape in weights.items()) for each in self.published
        )

    def published_rows(self, site: Site, beside: Mapping[Site, Known]) -> int | None:
        """Return the rows that a weight has where published models have those `beside` it.

        None if there is no such model, or several differ.
        """
        having = [
            each for each in self.published if all(each.has(*known) for known in beside.items())
        ]
        rows = {(*each.shapes.get(site.module, ()), None)[0] for each in having}
        return rows.pop() if len(rows) == 1 else None

    def canonical(self, module: str) -> str | None:
        """Return our name of a live module; None if the network has no such module."""
        names = (module, self.root + module) if self.root else (module,)
        return next(filter(self.grammar.knows, names), None)

    def live(self, module: str) -> str:
        """Return the module's name in the live network."""
        return module.removeprefix(self.root) if self.is_rootless else module
