"""LoKr, every form of it, against torch.kron."""

from __future__ import annotations

import pytest
import torch

from loraloom.adapters.lokr import Division, Lokr
from loraloom.errors import ModelError

# out = 2 * 5, in = 3 * 4; the kernel is 3 x 2.
FIRST = {"whole": {"w1": (2, 3)}, "divided": {"w1_a": (2, 2), "w1_b": (2, 3)}}
SECOND = {
    "whole": {"w2": (5, 4)},
    "divided": {"w2_a": (5, 2), "w2_b": (2, 4)},
    "whole kernel": {"w2": (5, 4, 3, 2)},
    "flat kernel": {"w2_a": (5, 2), "w2_b": (2, 24)},
    "divided kernel": {"w2_a": (5, 2), "w2_b": (2, 4, 3, 2)},
    "tucker": {"w2_a": (2, 5), "w2_b": (2, 4), "t2": (2, 2, 3, 2)},
}


def _formula(parts):
    w = {name: tensor.double() for name, tensor in parts.items()}
    w1 = w["w1"] if "w1" in w else w["w1_a"] @ w["w1_b"]
    if "w2" in w:
        w2 = w["w2"].flatten(1)
    elif "t2" in w:
        w2 = torch.einsum("ijk,ip,jq->pqk", w["t2"].flatten(2), w["w2_a"], w["w2_b"]).flatten(1)
    else:
        w2 = w["w2_a"] @ w["w2_b"].flatten(1)
    return torch.kron(w1[:, :, None], w2.view(5, 4, -1))


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("second", SECOND)
def test_the_update_is_the_kronecker_product(first, second, generator):
    shapes = {**FIRST[first], **SECOND[second]}
    parts = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    delta = Lokr.from_parts(parts, 0.7, {"scale": 0.5})
    shape = (10, 12) if second in ("whole", "divided") else (10, 12, 3, 2)
    assert delta.fits(shape)
    # Two whole factors have no rank: alpha means nothing, though LyCORIS writes one.
    whole = first == "whole" and second.startswith("whole")
    assert delta.rank == (None if whole else 2)
    assert delta.scale == (0.5 if whole else 0.5 * 0.7 / 2)
    expected = delta.scale * _formula(parts)
    found = delta.delta(torch.zeros(shape))
    torch.testing.assert_close(found.double(), expected.view(shape), rtol=1e-5, atol=1e-5)
    assert torch.equal(delta.delta(None).reshape(shape), found)
    assert not any(delta.fits(other) for other in ((12, 10), (10, 12, 7), (10,)))
    unscaled = Lokr.from_parts(parts, None)
    assert unscaled.scale == 1
    assert unscaled.alpha == (None if whole else 2.0)


def test_the_sizes_are_the_tensors_own(generator):
    """PEFT divides (64, 16) into 16 * 4 and 4 * 16, LyCORIS the other way round: both are read."""
    for first, second in (((16, 4), (4, 4)), ((4, 4), (16, 4))):
        w1, w2 = torch.randn(first, generator=generator), torch.randn(second, generator=generator)
        delta = Lokr.from_parts({"w1": w1, "w2": w2}, None)
        assert delta.claimed_shape == (64, 16)
        assert torch.equal(delta.delta(None), torch.kron(w1, w2))


@pytest.mark.parametrize(
    ("division", "rank", "names"),
    [
        (Division(), 4, {"w1", "w2"}),
        (Division(), 3, {"w1", "w2_a", "w2_b"}),
        (Division(factor=2), 3, {"w1", "w2_a", "w2_b"}),
        (Division(factor=2, tucker=True), 3, {"w1", "w2_a", "w2_b", "t2"}),
        (Division(factor=2, full_matrix=True), 3, {"w1", "w2"}),
        (Division(factor=1, unbalanced=True, decompose_both=True), 12, {"w1_a", "w1_b", "w2"}),
    ],
)
def test_what_is_divided(division, rank, names, generator):
    delta = Lokr.fresh((32, 20, 3, 3), rank, 1.0, generator, division=division)
    assert delta.parts().keys() == names
    assert delta.fits((32, 20, 3, 3))
    zero = {name for name, tensor in delta.parts().items() if not tensor.any()}
    assert zero == names & {"w2", "w2_b"} - ({"w2_b"} if "w2" in names else set())


@pytest.mark.parametrize(
    "shapes",
    [
        {"w1_a": (2, 2), "w1_b": (3, 3), "w2": (5, 4)},
        {"w1_a": (2, 3), "w1_b": (3, 3), "w2_a": (5, 2), "w2_b": (2, 4)},
        {"w1": (2, 3), "w2_a": (5, 2), "w2_b": (2, 4), "t2": (2, 2, 3, 3)},
        {"w1": (2, 3), "w2": (0, 4)},
        {"w1": (2,), "w2": (5, 4)},
        {"w1": (2, 3, 3, 3), "w2": (5, 4)},
    ],
    ids=str,
)
def test_factors_that_do_not_belong_together(shapes):
    with pytest.raises(ModelError, match="lokr") as caught:
        Lokr.from_parts({name: torch.ones(shape) for name, shape in shapes.items()}, 1.0)
    assert caught.value.code == "adapter.factors"


@pytest.mark.parametrize(
    "names", [{"w1"}, {"w1", "w2_a"}, {"w1", "w1_a", "w2"}, {"w2", "w1_b"}], ids=sorted
)
def test_half_a_form_is_none(names):
    with pytest.raises(ModelError) as caught:
        Lokr.from_parts({name: torch.ones(2, 2) for name in names}, 1.0)
    assert caught.value.code == "adapter.parts"
