"""A delta on a span: one update of a fused weight, worn on the layers that it is made of."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach
from loraloom.adapters.card import Card
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.operation import Operation
from loraloom.adapters.site import Site
from loraloom.adapters.span import Span
from loraloom.errors import ModelError

EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
ROWS = {"to_q": 8, "to_k": 8, "proj_mlp": 16}
STRENGTHS = (0.5, -1.7, torch.tensor([1.0, 0.5, 0.0, -0.3]))


class Block(nn.Module):
    """Three linear layers of different sizes on one input; on the same or on copies of it."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_k = nn.Linear(16, 8), nn.Linear(16, 8, bias=False)
        self.proj_mlp = nn.Linear(16, 16)

    def forward(self, x, shared=True):
        """Return all outputs side by side."""
        outputs = [layer(x if shared else x.clone()) for layer in self.children()]
        return torch.cat(outputs, dim=-1)


@pytest.fixture
def block():
    torch.manual_seed(0)
    return Block().requires_grad_(False)


def _span(part="model"):
    return Span(tuple(Site(part, f"{name}.weight") for name in ROWS), tuple(ROWS.values()))


def _adapter(kind, generator, place=None):
    weight = torch.randn(32, 16, generator=generator)
    fresh = kind.fresh((32, 16), 4, 3.0, generator, weight=weight)
    parts = {
        name: tensor + torch.randn(tensor.shape, generator=generator) / 3
        for name, tensor in fresh.parts().items()
    }
    delta = kind.from_parts(parts, fresh.alpha, fresh.settings)
    return Adapter(deltas={place or _span(): delta}, card=Card(family="", name="a"))


def _expected(block, adapter, strength, x):
    """Return base + s * delta(W) x with the fused W, in float64."""
    (delta,) = adapter.deltas.values()
    parts = {name: tensor.double() for name, tensor in delta.parts().items()}
    exact = type(delta).from_parts(parts, delta.alpha, delta.settings)
    weight = torch.cat([layer.weight for layer in block.children()]).double()
    by_row = torch.as_tensor(strength).double().view(-1, 1, 1)
    return block(x).double() + by_row * (x.double() @ exact.delta(weight).T)


@EVERY_KIND
def test_the_outputs_are_those_of_the_changed_fused_weight(kind, block, generator):
    adapter, x = _adapter(kind, generator), torch.randn(4, 5, 16, generator=generator)
    base = block(x)
    wanted = [_expected(block, adapter, strength, x) for strength in STRENGTHS]
    with attach({"model": block}, adapter, 0.0) as attachment:
        assert torch.equal(block(x), base)
        for strength, expected in zip(STRENGTHS, wanted, strict=True):
            attachment.set_strengths(strength)
            for shared in (True, False):
                found = block(x, shared)
                assert (found - expected).abs().max() <= 2e-6 * expected.abs().max()
                with torch.inference_mode():
                    found = block(x, shared)
                assert (found - expected).abs().max() <= 2e-6 * expected.abs().max()
        (out,) = attachment.adapter("a").deltas
        assert out == _span()
    assert torch.equal(block(x), base)


@pytest.fixture
def counted(monkeypatch, block, generator):
    """Return a LoKr on the span, and a list that grows with every evaluation of it."""
    kind, calls = KINDS["lokr"], []
    branch = kind.branch

    def count(delta, x, y, weight, operation):
        calls.append(x)
        assert weight.is_meta  # nobody put the fused weight together
        return branch(delta, x, y, weight, operation)

    monkeypatch.setattr(kind, "branch", count)
    return _adapter(kind, generator), calls


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_it_is_computed_once_where_the_layers_share_their_input(mode, block, counted, generator):
    adapter, calls = counted
    x = torch.randn(4, 5, 16, generator=generator)
    with mode(), attach({"model": block}, adapter) as attachment:
        block(x)
        assert len(calls) == 1
        block(x)
        assert len(calls) == 2
        block(x, shared=False)
        assert len(calls) == 5
        attachment.set_strengths(torch.tensor([1.0, 0.5, 0.0, 0.0]))
        block(x)
        assert len(calls) == 6
        assert len(calls[-1]) == 2


def test_an_input_that_is_written_between_two_layers_is_looked_at_again(block, counted, generator):
    adapter, calls = counted
    x = torch.randn(4, 5, 16, generator=generator)
    with attach({"model": block}, adapter):
        first = block.to_q(x)
        x.mul_(2)
        second = block.to_k(x)
        third = block.proj_mlp(x)
        assert len(calls) == 2
        again = [layer(x.clone()) for layer in block.children()]
    torch.testing.assert_close(second, again[1])
    torch.testing.assert_close(third, again[2])
    assert not torch.allclose(first, again[0])


def test_a_delta_that_is_trained_between_two_layers_is_looked_at_again(block, counted, generator):
    adapter, _ = counted
    x = torch.randn(4, 5, 16, generator=generator)
    with attach({"model": block}, adapter, trainable=True) as attachment, torch.no_grad():
        block.to_q(x)
        for parameter in attachment.parameters("a"):
            parameter.mul_(3)
        found = block.to_k(x)
        torch.testing.assert_close(found, block.to_k(x.clone()))


def test_nothing_outlives_the_forward_pass(block, generator):
    x = torch.randn(4, 5, 16, generator=generator)
    with attach({"model": block}, _adapter(KINDS["dora"], generator)):
        (hook,) = block.to_k._forward_hooks.values()
        (piece,) = hook._pieces
        block.to_q(x)
        watched = weakref.ref(piece.fused._kept.change)
        block.to_k(x)
        block.proj_mlp(x)
        assert watched() is None
        assert piece.fused._kept is None
        block.to_q(x)
        watched = weakref.ref(x)
        del x
        gc.collect()
        assert watched() is None


def test_layers_of_one_span_may_have_strengths_of_their_own(block, generator):
    adapter, x = _adapter(KINDS["lokr"], generator), torch.randn(4, 5, 16, generator=generator)
    full = _expected(block, adapter, 1.0, x)
    base = block(x).double()
    scale = torch.tensor([1.0] * 8 + [0.0] * 8 + [-0.5] * 16).double()
    strengths = {"a": {"": 1.0, "model.to_k": 0.0, "model.proj_mlp.weight": -0.5}}
    with attach({"model": block}, adapter, strengths):
        found = block(x)
    assert torch.equal(found[..., 8:16].double(), base[..., 8:16])
    torch.testing.assert_close(found.double(), base + scale * (full - base), rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_the_changed_fused_weight(block, generator):
    block = block.double()
    adapter = _adapter(KINDS["lokr"], generator)
    (given,) = adapter.deltas.values()
    parts = {name: tensor.double() for name, tensor in given.parts().items()}
    delta = type(given).from_parts(parts, given.alpha, given.settings)
    adapter = Adapter(deltas={_span(): delta}, card=adapter.card)
    x = torch.randn(4, 5, 16, generator=generator).double()
    exact = type(given).from_parts(parts, given.alpha, given.settings).requires_grad_(True)
    expected = torch.autograd.grad(
        (block(x) + 0.5 * x @ exact.delta(None).T).square().sum(), list(exact.parameters())
    )
    for shared in (True, False):
        with attach({"model": block}, adapter, 0.5, trainable=True) as attachment:
            block(x, shared).square().sum().backward()
            found = [parameter.grad for parameter in attachment.parameters("a")]
        for gradient, wanted in zip(found, expected, strict=True):
            torch.testing.assert_close(gradient, wanted)


@EVERY_KIND
@pytest.mark.parametrize("law", ["peft", "lycoris"])
def test_other_laws_hold_on_spans_too(kind, law, block, generator):
    adapter, x = _adapter(kind, generator), torch.randn(4, 5, 16, generator=generator)
    (delta,) = adapter.deltas.values()
    weight = torch.cat([layer.weight for layer in block.children()])
    base = block(x)
    with attach({"model": block}, adapter, {"a": {"": -0.7}}, law=law):
        found = block(x)
    update = delta.lawful(weight, -0.7, law)
    assert update.abs().max() > 0.01
    torch.testing.assert_close(found, base + x @ update.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda block: setattr(block, "to_k", nn.Linear(16, 7)), "attach.span"),
        (lambda block: setattr(block, "to_k", nn.Linear(15, 8)), "attach.span"),
        (lambda block: setattr(block, "to_k", nn.Conv2d(16, 8, 1)), "attach.span"),
        (lambda block: delattr(block, "to_k"), "attach.no_site"),
    ],
)
def test_layers_that_do_not_stack_are_refused(change, code, block, generator):
    change(block)
    with pytest.raises(ModelError) as caught:
        attach({"model": block}, _adapter(KINDS["lokr"], generator))
    assert caught.value.code == code
    assert "model.to_k.weight" in str(caught.value)


def test_a_delta_of_another_size_is_refused(block, generator):
    place = Span(tuple(Site("model", f"{name}.weight") for name in ("to_q", "to_k")))
    with pytest.raises(ModelError) as caught:
        attach({"model": block}, _adapter(KINDS["lokr"], generator, place))
    assert caught.value.code == "attach.shape"
    assert "(16, 16)" in str(caught.value)
    assert "(32, 16)" in str(caught.value)
    assert Operation.of(block.to_q) == Operation(kind="linear")
