"""Every weight has one name in every spelling, and every name means the weights it was made of."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from loraloom.adapters.site import Site
from loraloom.formats.naming.grammar import flattened
from loraloom.formats.naming.renaming import Spelling
from loraloom.formats.naming.table import FAMILIES
from loraloom.formats.naming.unet_layout import UNetLayout

WEIGHTS = [
    (family.name, network.part, name)
    for family in FAMILIES.values()
    for network in family.networks
    for name in network.grammar.names
]
NUMBERS = st.integers(0, 5)
LAYOUTS = st.builds(UNetLayout, st.integers(1, 4), st.frozensets(st.integers(0, 5)))


@given(
    st.sampled_from(sorted(FAMILIES)).flatmap(
        lambda family: st.lists(
            st.tuples(
                st.sampled_from([each for each in WEIGHTS if each[0] == family]),
                st.lists(NUMBERS, min_size=4, max_size=4),
            ),
            min_size=1,
            max_size=6,
        )
    ),
    st.sampled_from([Spelling.FLAT, Spelling.MODULE]),
    LAYOUTS,
)
@settings(max_examples=150)
def test_a_weight_is_found_again_under_its_name(chosen, spelling, layout):
    """Unless the layout has no such place: of two layers in a block none is the third."""
    family = FAMILIES[chosen[0][0][0]]
    sites = []
    for (_, part, name), numbers in chosen:
        path = name.replace("#", "%d") % tuple(numbers[: name.count("#")])
        sites.append(Site(part, f"{path}.weight"))
    names = family.names_for(sites, spelling, "the test", layout)
    held = {site: holder for site in sites if (holder := names.holder(site)) is not None}
    read = family.names_in(
        [holder.name for holder in held.values()],
        spelling,
        "the test",
        layout,
    )
    for site, holder in held.items():
        assert site in holder.meaning.sites
        assert read.meaning(holder.name) == holder.meaning
    # Names differ unless one name means all of the weights.
    for one, first in held.items():
        for other, second in held.items():
            assert (first.name == second.name) == (other in first.meaning.sites), (one, other)


@given(st.sampled_from(WEIGHTS), st.lists(st.integers(0, 10**6), min_size=4, max_size=4))
@settings(max_examples=150)
def test_dots_and_underscores_undo_each_other(weight, numbers):
    family, part, name = weight
    grammar = FAMILIES[family].network(part).grammar
    dotted = name.replace("#", "%d") % tuple(numbers[: name.count("#")])
    assert grammar.flatten(dotted) == flattened(dotted)
    assert grammar.unflatten(flattened(dotted)) == dotted
