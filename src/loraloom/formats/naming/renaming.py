"""Two spellings of the names in one network, tied together by a table of rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from functools import cached_property
from typing import final

from loraloom.adapters.site import Site
from loraloom.formats.naming.grammar import Grammar, flattened
from loraloom.formats.naming.meaning import Holder, Meaning
from loraloom.formats.naming.rule import AbstractNumbering, Derive, Evidence, Rule, renamed
from loraloom.formats.naming.template import Index, Numbers, Template


class Spelling(Enum):
    """What a name looks like."""

    MODULE = "module"
    """`double_blocks.0.img_attn.qkv`"""
    FLAT = "flat"
    """`double_blocks_0_img_attn_qkv`"""
    PARAMETER = "parameter"
    """`double_blocks.0.img_attn.qkv.weight`"""


@final
class _Line:
    """A rule of one network, ready for use."""

    def __init__(self, part: str, rule: Rule) -> None:
        self.zone = rule.zone
        self.ours = tuple(Template(module) for module in rule.ours)
        self._part = part
        self._rule = rule

    @cached_property
    def theirs(self) -> Mapping[Spelling, Mapping[str, Template]]:
        """Their names of the module, and of its parameters, by our names of the parameters."""
        rule = self._rule
        dotted = Template(rule.theirs)
        flat = Template(flattened(rule.theirs))
        modules = rule.parameters.items() if rule.theirs else ()
        return {
            Spelling.MODULE: {ours: dotted for _, ours in modules},
            Spelling.FLAT: {ours: flat for _, ours in modules},
            Spelling.PARAMETER: {
                ours: Template(f"{rule.theirs}.{theirs}".lstrip("."))
                for theirs, ours in rule.parameters.items()
            },
        }

    def meaning(self, ours: Numbers, parameter: str) -> Meaning:
        """Return what is meant, given our numbers and our name of the parameter."""
        return Meaning(
            sites=tuple(Site(self._part, f"{each.form % ours}.{parameter}") for each in self.ours),
            rows=self._rule.rows,
            halves=self._rule.halves,
            transposed=self._rule.transposed,
        )


@final
class Renaming:
    """Their names of one network's modules and parameters, and ours, both ways.

    A name of a module means its weight. With `derive`, blocks and layers are counted in another
    way, which depends on the network; look-ups then need the numbering that the names show.
    """

    def __init__(self, part: str, rules: Iterable[Rule], derive: Derive | None = None) -> None:
        self.part = part
        self.derive = derive
        self._rules = tuple(rules)

    @classmethod
    def plain(cls, part: str, grammar: Grammar, root: str = "") -> Renaming:
        """Return the renaming of names that are ours already; a first level may be left out."""
        rootless = [name for name in grammar.names if root and name.startswith(root)]
        return cls(
            part,
            (
                *renamed({name: name for name in grammar.names}),
                *renamed({name.removeprefix(root): name for name in rootless}),
            ),
        )

    @cached_property
    def _lines(self) -> tuple[_Line, ...]:
        return tuple(_Line(self.part, rule) for rule in self._rules)

    @cached_property
    def _theirs(self) -> Mapping[Spelling, Index[tuple[_Line, str]]]:
        # A module's name means its weight, which a table of parameters names first.
        return {
            Spelling.MODULE: Index(self._entries(Spelling.MODULE, 1)),
            Spelling.FLAT: Index(self._entries(Spelling.FLAT, 1)),
            Spelling.PARAMETER: Index(self._entries(Spelling.PARAMETER, None)),
        }

    def _entries(
        self, spelling: Spelling, count: int | None
    ) -> Iterable[tuple[Template, tuple[_Line, str]]]:
        return (
            (template, (line, parameter))
            for line in self._lines
            for parameter, template in list(line.theirs[spelling].items())[:count]
        )

    @cached_property
    def _ours(self) -> Index[_Line]:
        return Index((module, line) for line in self._lines for module in line.ours)

    def meaning(
        self, name: str, spelling: Spelling, numbering: AbstractNumbering | None = None
    ) -> Meaning | None:
        """Return what their name means; None if it is none of theirs."""
        found = self._theirs[spelling].find(name)
        if found is None:
            return None
        (line, parameter), numbers = found
        if line.zone:
            counted = None if numbering is None else numbering.ours(line.zone, numbers)
            return None if counted is None else line.meaning(counted, parameter)
        return line.meaning(numbers, parameter)

    def has(self, name: str, spelling: Spelling) -> bool:
        """Whether a name is one of theirs, however blocks and layers are counted."""
        return self._theirs[spelling].find(name) is not None

    def holder(
        self, site: Site, spelling: Spelling, numbering: AbstractNumbering | None = None
    ) -> Holder | None:
        """Return their name that holds a weight, and all it means; None if they have none."""
        found = self._ours.find(site.module) if site.part == self.part else None
        if found is None or site.parameter not in found[0].theirs[spelling]:
            return None
        line, numbers = found
        counted: Numbers | None = numbers
        if line.zone:
            counted = None if numbering is None else numbering.theirs(line.zone, numbers)
        if counted is None:
            return None
        name = line.theirs[spelling][site.parameter].form % counted
        return Holder(name, line.meaning(numbers, site.parameter))

    def shown_by_names(self, names: Iterable[str], spelling: Spelling, where: str) -> Evidence:
        """Return what their names show of how blocks and layers are counted."""
        index = self._theirs[spelling]
        found = (entry for name in names if (entry := index.find(name)) is not None)
        return _evidence(where, ((line.zone, numbers) for (line, _), numbers in found), False)

    def shown_by_sites(self, sites: Iterable[Site], where: str) -> Evidence:
        """Return what our names show of how blocks and layers are counted."""
        modules = (site.module for site in sites if site.part == self.part)
        found = (entry for module in modules if (entry := self._ours.find(module)) is not None)
        return _evidence(where, ((line.zone, numbers) for line, numbers in found), True)


def _evidence(where: str, found: Iterable[tuple[str, Numbers]], is_ours: bool) -> Evidence:
    zones: dict[str, set[Numbers]] = {}
    for zone, numbers in found:
        if zone:
            zones.setdefault(zone, set()).add(numbers)
    return Evidence(
        where=where, is_ours=is_ours, found={zone: frozenset(each) for zone, each in zones.items()}
    )
