"""What is told of published networks is what the model libraries build of their configurations."""

from __future__ import annotations

import pytest

from loraloom.formats.naming.table import FAMILIES
from tests.formats.naming.published import BUILDERS, FAMILY, weights

NETWORKS = [key for key in BUILDERS if key[1] != "vae"]


@pytest.mark.parametrize(("model", "part"), NETWORKS)
def test_every_weight_of_a_published_network_is_known_with_its_shape(model, part):
    built = {site: shape for site, shape in weights(model, part).items() if site.module}
    network = FAMILIES[FAMILY.get(model, model)].network(part)
    fitting = [
        own
        for own in network.published
        if all(own.has(site, shape) for site, shape in built.items())
    ]
    assert fitting
    # And no more than those: a depth or a block too many would let another family's names in.
    extra = {"sd2 text_encoder": "text_model.encoder.layers.23."}
    spare = extra.get(f"{model} {part}", "-")
    modules = {site.module for site in built}
    allowed = ("guidance_embedder", "norm_", "embed_tokens", "pos_embed", spare)
    more = [m for m in fitting[0].shapes if m not in modules and not any(a in m for a in allowed)]
    assert more == []


@pytest.mark.parametrize(("model", "part"), NETWORKS)
def test_another_width_or_depth_is_none_of_it(model, part):
    network = FAMILIES[FAMILY.get(model, model)].network(part)
    linear = [
        (site, shape)
        for site, shape in weights(model, part).items()
        if len(shape) == 2
        and site.parameter == "weight"
        and "embed" not in site.module
        and site.module != "shared"
    ]
    assert linear
    for site, (rows, columns) in linear[::97]:
        assert network.is_published({site: (rows, columns)})
        assert not network.is_published({site: (rows, columns + 1)})
        assert not network.is_published({site: (rows + 1, columns)})
        assert network.is_published({site: (None, columns)})
