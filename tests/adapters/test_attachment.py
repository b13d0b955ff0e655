"""Adapters on a network: the arithmetic of strengths, isolation, and leaving no trace."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach
from loraloom.adapters.card import Card
from loraloom.adapters.lora import Lora
from loraloom.adapters.operation import Operation
from loraloom.adapters.site import Site
from loraloom.errors import ModelError, UsageError


def _fused(zoo, adapters, strengths):
    """Return a copy with W + sum of s_i * delta_i(W) as its weights, in float64."""
    fused = copy.deepcopy(zoo).double()
    for adapter, strength in zip(adapters, strengths, strict=True):
        for site, delta in adapter.deltas.items():
            weight = fused.get_submodule(site.module).weight
            down, up = (part.double() for part in delta.parts().values())
            change = torch.einsum("or,ri...->oi...", up.flatten(1), down)
            weight.data += strength * delta.alpha / delta.rank * change
    return fused


def _close(found, expected):
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("strength", [1.0, 0.5, -1.7, 0.0])
def test_one_adapter_is_the_formula(zoo, make, pictures, strength):
    adapter = make("a", 1)
    expected = _fused(zoo, [adapter], [strength])(pictures.double())
    with attach({"model": zoo}, adapter, strength):
        _close(zoo(pictures), expected)


def test_at_strength_0_the_output_is_the_bases_bit_for_bit(zoo, make, pictures):
    base = zoo(pictures)
    with attach({"model": zoo}, make("a", 1), 0.0) as attachment:
        assert torch.equal(zoo(pictures), base)
        attachment.set_strengths(torch.zeros(4))
        assert torch.equal(zoo(pictures), base)


def test_a_fresh_adapter_changes_no_bit(zoo, pictures, generator):
    base = zoo(pictures)
    deltas = {
        Site("model", f"{name}.weight"): Lora.fresh(tuple(layer.weight.shape), 2, 1.0, generator)
        for name, layer in zoo.named_modules()
        if Operation.of(layer) is not None
    }
    assert len(deltas) == 7
    adapter = Adapter(deltas=deltas, card=Card(family=""))
    with attach({"model": zoo}, adapter):
        assert torch.equal(zoo(pictures), base)


def test_several_adapters_add_up_in_any_order(zoo, make, pictures):
    adapters = [make("a", 1), make("b", 2, ("head", "plain")), make("c", 3, ("grouped",))]
    strengths = [0.8, -0.5, 0.3]
    expected = _fused(zoo, adapters, strengths)(pictures.double())
    for order in ([0, 1, 2], [2, 0, 1]):
        chosen = {adapters[i].card.name: strengths[i] for i in order}
        with attach({"model": zoo}, [adapters[i] for i in order], chosen):
            _close(zoo(pictures), expected)


def test_an_adapter_that_strengths_leave_out_is_off(zoo, make, pictures):
    adapters = [make("a", 1), make("b", 2)]
    expected = _fused(zoo, adapters, [0.0, 0.5])(pictures.double())
    with attach({"model": zoo}, adapters, {"b": 0.5}):
        _close(zoo(pictures), expected)


ROWS = {
    "slices that tile the batch": ([1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]),
    "slices of other lengths and strengths": ([0.5, 0.5, 0.5, 0.0], [0.0, 0.0, 0.0, -0.7]),
    "halves of other strengths": ([0.5, 0.5, 0.0, 0.0], [0.0, 0.0, -0.7, -0.7]),
    "the same in the other order": ([0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]),
    "slices with a gap": ([0.7, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.7]),
    "slices that overlap": ([1.0, 1.0, 1.0, 0.0], [0.0, 0.5, 0.5, 0.5]),
    "scattered rows": ([1.0, 0.0, 1.0, 0.0], [0.0, 0.5, 0.0, 0.5]),
    "every row its own": ([1.0, 0.5, 0.0, -0.3], [0.2, 0.0, 1.1, 0.4]),
    "one for all, one by row": (0.6, [0.0, 1.0, 0.0, 0.3]),
}


@pytest.mark.parametrize("strengths", ROWS.values(), ids=ROWS.keys())
def test_each_row_is_as_if_alone(zoo, make, pictures, strengths):
    adapters = {"a": make("a", 1), "b": make("b", 2)}
    given = {
        name: strength if isinstance(strength, float) else torch.tensor(strength)
        for name, strength in zip(adapters, strengths, strict=True)
    }
    with attach({"model": zoo}, adapters, given):
        together = zoo(pictures)
    for row in range(4):
        own = [s if isinstance(s, float) else s[row] for s in strengths]
        alone = _fused(zoo, adapters.values(), own)(pictures[row : row + 1].double())
        _close(together[row : row + 1], alone)


def test_rows_on_none_of_the_adapters_are_the_bases_bit_for_bit(zoo, make, pictures):
    base = zoo(pictures)
    with attach({"model": zoo}, make("a", 1), torch.tensor([1.0, 0.0, 0.0, 1.0])):
        worn = zoo(pictures)
    assert torch.equal(worn[1:3], base[1:3])
    assert not torch.allclose(worn[0], base[0])


def test_each_part_has_its_own_strength(zoo, make, pictures):
    other = copy.deepcopy(zoo)
    one = make("a", 1)
    deltas = {Site(part, s.path): d for part in ("unet", "model") for s, d in one.deltas.items()}
    both = Adapter(deltas=deltas, card=Card(family="", name="a"))
    weak, inverse = (_fused(zoo, [one], [s])(pictures.double()) for s in (0.25, -1.0))
    with attach({"unet": other, "model": zoo}, both, {"a": {"unet": 0.25, "model": -1.0}}):
        _close(other(pictures), weak)
        _close(zoo(pictures), inverse)


def test_each_block_has_its_own_strength_and_the_longest_prefix_wins(zoo, make, pictures):
    adapter = make("a", 1)
    by_layer = {site.module: site for site in adapter.deltas}
    own = {"plain": 0.25, "tokens": -1.0, "head": 0.0}
    pieces = [
        Adapter(deltas={site: adapter.deltas[site]}, card=Card(family=""))
        for site in by_layer.values()
    ]
    expected = _fused(zoo, pieces, [own.get(layer, 0.5) for layer in by_layer])(pictures.double())
    strengths = {"model": 0.5, "model.plain": 0.25, "model.tokens.weight": -1.0, "model.head": 0}
    with attach({"model": zoo}, adapter, {"a": strengths}) as attachment:
        _close(zoo(pictures), expected)
        attachment.set_strengths({"a": {**strengths, "model": 0.0, "": 3.0}})
        found = zoo(pictures)
    expected = _fused(zoo, pieces, [own.get(layer, 0.0) for layer in by_layer])(pictures.double())
    _close(found, expected)


def test_rows_may_differ_in_one_block_alone(zoo, make, pictures):
    adapter, rows = make("a", 1), torch.tensor([1.0, 0.0, 0.5, -0.3])
    strengths = {"model": 0.5, "model.tokens": rows}
    pieces = [
        Adapter(deltas={site: delta}, card=Card(family=""))
        for site, delta in adapter.deltas.items()
    ]
    wanted = []
    for row in range(4):
        own = [float(rows[row]) if "tokens" in str(site) else 0.5 for site in adapter.deltas]
        wanted.append(_fused(zoo, pieces, own)(pictures[row : row + 1].double()))
    with attach({"model": zoo}, adapter, {"a": strengths}):
        _close(zoo(pictures), torch.cat(wanted))


def test_an_unknown_prefix_is_refused_and_changes_nothing(zoo, make, pictures):
    with attach({"model": zoo}, [make("a", 1), make("b", 2)], 0.5) as attachment:
        before = zoo(pictures)
        with pytest.raises(UsageError) as caught:
            attachment.set_strengths({"a": 0.0, "b": {"model.haed": 1.0}})
        assert caught.value.code == "attach.unknown_place"
        assert "model.head" in str(caught.value)
        assert torch.equal(zoo(pictures), before)


def test_attachments_add_up_and_are_closed_in_any_order(zoo, make, pictures):
    base, one, other = zoo(pictures), make("a", 1), make("b", 2, ("head", "plain"))
    both = _fused(zoo, [one, other, other], [0.8, -0.5, 0.3])(pictures.double())
    last = _fused(zoo, [other], [0.3])(pictures.double())
    first = attach({"model": zoo}, one, 0.8)
    second = attach({"model": zoo}, other, -0.5)
    third = attach({"model": zoo}, other, 0.3)
    _close(zoo(pictures), both)
    with torch.inference_mode():
        _close(zoo(pictures), both)
    first.close()
    second.close()
    _close(zoo(pictures), last)
    third.close()
    assert torch.equal(zoo(pictures), base)


def test_outputs_that_others_look_at_are_not_written(zoo, make, pictures):
    seen = []
    watching = zoo.head.register_forward_hook(lambda layer, inputs, y: seen.append(y))
    with torch.no_grad():
        zoo(pictures)
        with attach({"model": zoo}, make("a", 1, ("head",))):
            zoo(pictures)
    watching.remove()
    assert torch.equal(seen[0], seen[1])


def test_inputs_by_keyword_are_seen(zoo, make):
    x = torch.randn(4, 5)
    with attach({"model": zoo}, make("a", 1, ("head",))):
        assert torch.equal(zoo.head(input=x), zoo.head(x))


def test_leaving_restores_the_network_bit_for_bit(zoo, make, pictures):
    base, before = zoo(pictures), copy.deepcopy(zoo.state_dict())
    attributes = {name: set(vars(module)) for name, module in zoo.named_modules()}
    forwards = {name: module.forward for name, module in zoo.named_modules()}
    attachment = attach({"model": zoo}, [make("a", 1), make("b", 2)])
    assert not torch.equal(zoo(pictures), base)
    assert zoo.state_dict().keys() == before.keys()
    attachment.close()
    attachment.close()
    assert torch.equal(zoo(pictures), base)
    for key, tensor in zoo.state_dict().items():
        assert torch.equal(tensor, before[key])
    for name, module in zoo.named_modules():
        assert set(vars(module)) == attributes[name]
        assert module.forward == forwards[name]
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_an_error_inside_still_restores(zoo, make, pictures):
    base = zoo(pictures)
    with pytest.raises(ZeroDivisionError), attach({"model": zoo}, make("a", 1)):
        raise ZeroDivisionError
    assert torch.equal(zoo(pictures), base)


def test_a_failed_attach_leaves_no_hook(zoo, make):
    stranger = Adapter(
        deltas={Site("model", "none.weight"): Lora(torch.ones(1, 2), torch.ones(2, 1), 1.0)},
        card=Card(family="", name="stranger"),
    )
    with pytest.raises(ModelError):
        attach({"model": zoo}, [make("a", 1), stranger])
    assert not any(module._forward_hooks for module in zoo.modules())


@pytest.mark.parametrize("path", ["none.weight", "head.none.weight", "weight", ""])
def test_an_unknown_site_is_named(zoo, path):
    adapter = Adapter(
        deltas={Site("model", path): Lora(torch.ones(1, 2), torch.ones(2, 1), 1.0)},
        card=Card(family="", name="cat"),
    )
    with pytest.raises(ModelError) as caught:
        attach({"model": zoo}, adapter)
    assert caught.value.code == "attach.no_site"
    assert f"model.{path}" in str(caught.value)
    assert "cat" in str(caught.value)


def test_an_unknown_network_is_named(zoo, make):
    with pytest.raises(ModelError) as caught:
        attach({"unet": zoo}, make("a", 1))
    assert caught.value.code == "attach.no_site"
    assert "unet" in str(caught.value)


def test_a_wrong_shape_is_named(zoo):
    adapter = Adapter(
        deltas={Site("model", "head.weight"): Lora(torch.ones(2, 9), torch.ones(3, 2), 1.0)},
        card=Card(family="", name="cat"),
    )
    with pytest.raises(ModelError) as caught:
        attach({"model": zoo}, adapter)
    assert caught.value.code == "attach.shape"
    assert all(word in str(caught.value) for word in ("model.head.weight", "(3, 5)", "(3, 9)"))


def test_strengths_for_another_batch_are_named(zoo, make, pictures):
    with attach({"model": zoo}, make("a", 1), torch.ones(3)), pytest.raises(UsageError) as caught:
        zoo(pictures)
    assert caught.value.code == "attach.rows"
    assert "model.plain.weight" in str(caught.value)


class Places(nn.Module):
    """A text model's beginning: a place is looked up once for all rows."""

    def __init__(self):
        super().__init__()
        self.position_embedding = nn.Embedding(5, 3)

    def forward(self, x):
        """Add the places."""
        return x + self.position_embedding(torch.arange(5).unsqueeze(0))


def test_a_layer_without_a_batch_refuses_strengths_by_row(generator):
    network, site = Places(), Site("model", "position_embedding.weight")
    delta = Lora(
        torch.randn(1, 3, generator=generator), torch.randn(5, 1, generator=generator), 1.0
    )
    adapter = Adapter(deltas={site: delta}, card=Card(family="", name="a"))
    x = torch.randn(1, 5, 3, generator=generator)
    with attach({"model": network}, adapter, torch.ones(1)) as attachment:
        torch.testing.assert_close(
            network(x), x + network.position_embedding.weight + delta.delta(None)
        )
        attachment.set_strengths(torch.tensor([1.0, 0.5]))
        with pytest.raises(UsageError) as caught:
            network(x.expand(2, 5, 3))
    assert caught.value.code == "attach.no_batch"
    assert "model.position_embedding.weight" in str(caught.value)


def test_strengths_of_unknown_adapters_are_refused(zoo, make):
    with pytest.raises(UsageError) as caught:
        attach({"model": zoo}, make("a", 1), {"b": 1.0})
    assert caught.value.code == "attach.unknown_adapter"


def test_two_adapters_of_one_name_are_refused(zoo, make):
    with pytest.raises(UsageError) as caught:
        attach({"model": zoo}, [make("a", 1), make("a", 2)])
    assert caught.value.code == "attach.same_name"


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 5e-2), (torch.float16, 5e-3)])
def test_low_precision_stays_in_its_type_and_near_the_formula(
    zoo, make, pictures, dtype, tolerance
):
    adapter = make("a", 1)
    expected = _fused(zoo, [adapter], [0.5])(pictures.double())
    low = copy.deepcopy(zoo).to(dtype)
    for trainable in (False, True):
        with attach({"model": low}, adapter, 0.5, trainable=trainable):
            found = low(pictures.to(dtype))
        assert found.dtype == dtype
        assert (found.double() - expected).abs().max() < tolerance * expected.abs().max()


def test_training_keeps_the_adapters_own_precision(zoo, make):
    low = copy.deepcopy(zoo).to(torch.bfloat16)
    with attach({"model": low}, make("a", 1), trainable=True) as attachment:
        assert {p.dtype for p in attachment.parameters("a")} == {torch.float32}
    with attach({"model": low}, make("a", 1)) as attachment:
        assert {p.dtype for p in attachment.parameters("a")} == {torch.bfloat16}


def test_what_was_attached_comes_out_again(zoo, make):
    adapter = make("a", 1)
    words = {"<cat>": {"clip_l": torch.ones(2, 3)}}
    adapter = Adapter(deltas=adapter.deltas, card=adapter.card, embeddings=words)
    with attach({"model": zoo}, adapter, trainable=True) as attachment:
        assert attachment.sites("a") == tuple(adapter.deltas)
        out = attachment.adapter("a")
        for parameter in attachment.parameters("a"):
            parameter.data.zero_()
        changed = attachment.adapter("a")
    assert out.card == adapter.card
    assert torch.equal(out.embeddings["<cat>"]["clip_l"], torch.ones(2, 3))
    for site, delta in adapter.deltas.items():
        for part, tensor in delta.parts().items():
            assert torch.equal(out.deltas[site].parts()[part], tensor)
            assert torch.count_nonzero(changed.deltas[site].parts()[part]) == 0
            assert torch.count_nonzero(tensor) > 0


def test_parameters_come_by_part(zoo, make):
    one = make("a", 1)
    deltas = {Site(part, s.path): d for part in ("unet", "model") for s, d in one.deltas.items()}
    both = Adapter(deltas=deltas, card=Card(family="", name="a"))
    networks = {"unet": copy.deepcopy(zoo), "model": zoo}
    with attach(networks, both, trainable=True) as attachment:
        assert attachment.names == ("a",)
        everything = list(attachment.parameters("a"))
        unet = list(attachment.parameters("a", "unet"))
        assert len(everything) == 2 * len(unet) == 28
        assert all(p.requires_grad and isinstance(p, nn.Parameter) for p in everything)
        assert {id(p) for p in unet} < {id(p) for p in everything}


def test_a_text_encoder_without_its_first_level_is_found():
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.ModuleDict({"proj": nn.Linear(2, 2, bias=False)})

    site = Site("text_encoder", "text_model.encoder.proj.weight")
    delta = Lora(torch.ones(1, 2), torch.ones(2, 1), 1.0)
    adapter = Adapter(deltas={site: delta}, card=Card(family=""))
    for network in (Encoder(), nn.ModuleDict({"text_model": Encoder()})):
        with attach({"text_encoder": network}, adapter):
            assert sum(len(module._forward_hooks) for module in network.modules()) == 1
