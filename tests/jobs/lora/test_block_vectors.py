"""Lists of block weights, against the names that checkpoints have for the blocks."""

import pytest

from loraloom.adapters.site import Site
from loraloom.errors import UsageError
from loraloom.formats.naming.names import Shown
from loraloom.formats.naming.renaming import Spelling
from loraloom.formats.naming.unet import UNET_LDM, UNET_XL_LDM
from loraloom.jobs.lora.block_vectors import factors_of
from tests.formats.naming import published

# sd-scripts, networks/svd_merge_lora.py: what each number is for.
ORDERS = {
    17: "BASE IN01 IN02 IN04 IN05 IN07 IN08 M00 OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 "
    "OUT11",
    26: "BASE IN00 IN01 IN02 IN03 IN04 IN05 IN06 IN07 IN08 IN09 IN10 IN11 M00 OUT00 OUT01 OUT02 "
    "OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11",
    12: "BASE IN04 IN05 IN07 IN08 M00 OUT00 OUT01 OUT02 OUT03 OUT04 OUT05",
    20: "BASE IN00 IN01 IN02 IN03 IN04 IN05 IN06 IN07 IN08 M00 OUT00 OUT01 OUT02 OUT03 OUT04 OUT05 "
    "OUT06 OUT07 OUT08",
}
FAMILIES = {17: ("sd1", UNET_LDM), 26: ("sd1", UNET_LDM), 12: ("sdxl", UNET_XL_LDM)}
FAMILIES[20] = FAMILIES[12]


def block_of(name):
    """Return the block of latent-diffusion's name of a module; "" for what is in none."""
    kind, number, *_ = (*name.split("."), "")
    kinds = {"input_blocks": "IN", "output_blocks": "OUT"}
    if kind == "middle_block":
        return "M00"
    return f"{kinds[kind]}{int(number):02}" if kind in kinds else ""


@pytest.mark.parametrize("count", ORDERS)
def test_every_weight_gets_the_number_of_its_block(count):
    family, renaming = FAMILIES[count]
    sites = [site for site in published.weights(family, "unet") if site.path.endswith("weight")]
    shown = renaming.shown_by_sites(sites, "the test")
    numbering = Shown(renaming.derive, lambda: shown)
    text = Site("text_encoder", "text_model.encoder.layers.0.mlp.fc1.weight")
    given = {name: 1 + n / 100 for n, name in enumerate(ORDERS[count].split())}
    word = ",".join(map(str, given.values()))
    factors = factors_of(word, [*map(str, sites), str(text)])
    assert factors["text_encoder"] == given["BASE"]
    blocks = set()
    for site in sites:
        theirs = renaming.holder(site, Spelling.PARAMETER, numbering).name
        block = block_of(theirs)
        blocks.add(block)
        fitting = [
            factor for prefix, factor in factors.items() if f"{site}.".startswith(f"{prefix}.")
        ]
        assert fitting == ([given.get(block, 0.0)] if block else []), (site, theirs)
    assert blocks >= set(given) - {"BASE"}


@pytest.mark.parametrize("word", ["1,0", ",".join("1" * 18), ",".join("1" * 12)])
def test_a_list_that_does_not_fit_is_refused(word):
    with pytest.raises(UsageError) as caught:
        factors_of(word, ["unet.down_blocks.3.resnets.0.conv1.weight"])
    assert caught.value.code == "lora.block_count"
