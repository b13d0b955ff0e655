"""What every tensor of a model's file is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import final

from loraloom.adapters.site import Site, canonical_path
from loraloom.errors import ModelError
from loraloom.formats.excerpt import excerpt
from loraloom.formats.naming.checkpoints.arrangement import ARRANGEMENTS, Section
from loraloom.formats.naming.meaning import Holder, Meaning
from loraloom.formats.naming.names import Shown
from loraloom.formats.naming.renaming import Spelling


@final
@dataclass(frozen=True, kw_only=True)
class CheckpointNames:
    """The tensors of a model's file, by name and by the weights they hold.

    `families` are those whose files are arranged so; a UNet alone may be of several. Tensors that
    are not among `meanings` are no weights of a network: buffers, moving averages, schedules.
    """

    families: tuple[str, ...]
    meanings: Mapping[str, Meaning]
    holders: Mapping[Site, Holder]


def names_in_file(names: Collection[str], where: str) -> CheckpointNames:
    """Return what the tensors of a single-file model are, of whatever family.

    A file in which no family's names occur is a `ModelError`, and so is one in which two tensors
    are the same weight.
    """
    found: dict[Section, dict[str, Meaning]] = {}  # families share some
    read: list[tuple[str, dict[str, Meaning]]] = []
    for arrangement in ARRANGEMENTS:
        meanings: dict[str, Meaning] = {}
        for section in arrangement.sections:
            if section not in found:
                found[section] = _meanings(section, names, where)
            meanings |= found[section]
        read.append((arrangement.family, meanings))
    most = max(len(meanings) for _, meanings in read)
    if not most:
        raise ModelError("naming.no_checkpoint", where=where, keys=excerpt(names))
    fullest = [(family, meanings) for family, meanings in read if len(meanings) == most]
    families = tuple(dict.fromkeys(family for family, _ in fullest))
    return _checkpoint(families, fullest[0][1], where)


def names_in_folder(
    part: str, names: Collection[str], where: str, turned: Collection[str] = ()
) -> CheckpointNames:
    """Return what the tensors of one network are that diffusers saved in a folder.

    They have our names already, but for a level that transformers 5 leaves out. Those that are
    `turned` keep a weight with the inputs for rows.
    """
    meanings = {
        name: Meaning(sites=(Site(part, canonical_path(part, name)),), transposed=name in turned)
        for name in names
    }
    return _checkpoint((), meanings, where)


def _checkpoint(
    families: tuple[str, ...], meanings: Mapping[str, Meaning], where: str
) -> CheckpointNames:
    holders: dict[Site, Holder] = {}
    for name, meaning in meanings.items():
        for site in meaning.sites:
            first = holders.setdefault(site, Holder(name, meaning)).name
            if first != name:
                raise ModelError("format.claimed_twice", where=where, first=first, second=name)
    return CheckpointNames(families=families, meanings=meanings, holders=holders)


def _meanings(section: Section, names: Collection[str], where: str) -> dict[str, Meaning]:
    """Return what the tensors of one network mean."""
    renaming = section.renaming
    rests: dict[str, str] = {}
    for prefix in section.prefixes:
        rests = rests or {n: n.removeprefix(prefix) for n in names if n.startswith(prefix)}
    numbering = None
    if renaming.derive is not None:
        show = partial(renaming.shown_by_names, rests.values(), Spelling.PARAMETER, where)
        numbering = Shown(renaming.derive, show)
    found = {
        name: renaming.meaning(rest, Spelling.PARAMETER, numbering) for name, rest in rests.items()
    }
    return {name: meaning for name, meaning in found.items() if meaning is not None}
