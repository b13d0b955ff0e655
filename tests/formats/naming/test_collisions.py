"""No two names of a family can be taken for each other, whatever the numbers in them."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import pytest

from loraloom.formats.naming.checkpoints.arrangement import ARRANGEMENTS
from loraloom.formats.naming.grammar import flattened
from loraloom.formats.naming.renaming import Renaming, Spelling
from loraloom.formats.naming.table import FAMILIES
from loraloom.formats.naming.template import Template


def _meeting(texts: list[str]) -> list[tuple[str, str]]:
    """Return the pairs that some numbers make the same."""
    alike: dict[str, list[tuple[str, Template]]] = defaultdict(list)
    for text in texts:
        template = Template(text)
        alike[template.skeleton].append((text, template))
    return [
        (one, other)
        for group in alike.values()
        for (one, first), (other, second) in combinations(group, 2)
        if first.meets(second)
    ]


def _theirs(renaming: Renaming, spelling: Spelling) -> list[str]:
    return [
        template.form.replace("%d", "#")
        for line in renaming._lines
        for template in set(line.theirs[spelling].values())
    ]


def test_meeting_names_are_found():
    assert _meeting(["a.#.b", "a.0.b", "a.1.c"]) == [("a.#.b", "a.0.b")]


@pytest.mark.parametrize("name", FAMILIES)
def test_flat_names_within_one_network_differ(name):
    for network in FAMILIES[name].networks:
        assert network.grammar.names
        flat = [flattened(each) for each in network.grammar.names]
        if network.native is not None:
            flat += _theirs(network.native, Spelling.FLAT)
        # SD3 has one layer whose name is the same in both spellings, and it is the same layer.
        assert set(_meeting(flat)) <= {("context_embedder", "context_embedder")}, network.part


@pytest.mark.parametrize("name", FAMILIES)
def test_native_names_and_ours_are_one_to_one(name):
    for network in FAMILIES[name].networks:
        if network.native is not None:
            assert _meeting(_theirs(network.native, Spelling.MODULE)) == []
            assert _meeting(_theirs(network.native, Spelling.PARAMETER)) == []
            ours = [module for rule in network.native._rules for module in rule.ours]
            assert _meeting(ours) == []
            # Both spellings know the same layers.
            assert set(ours) == set(network.grammar.names)


def test_the_parts_of_a_single_file_do_not_meet():
    assert ARRANGEMENTS
    for arrangement in ARRANGEMENTS:
        texts = [
            section.prefixes[0] + text
            for section in arrangement.sections
            for text in _theirs(section.renaming, Spelling.PARAMETER)
        ]
        assert _meeting(texts) == []
