"""What every kind of adapter promises, for each in the table, in every form it comes in."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.kinds import KINDS
from loraloom.errors import ModelError

from .variants import LAYERS, SMALL_LAYERS, VARIANTS

EVERY_VARIANT = pytest.mark.parametrize(
    "variant", VARIANTS, ids=[f"{variant.kind.kind} {variant.name}" for variant in VARIANTS]
)
DTYPES = {torch.float64: 1e-11, torch.float32: 2e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}
EXACT = {torch.float64: 1e-11}


def _largest(tensor: Tensor) -> float:
    return float(tensor.detach().double().abs().max())


def test_the_table_is_not_empty_and_names_are_right():
    assert len(KINDS) == 11
    assert all(kind.kind == name for name, kind in KINDS.items())


def test_every_kind_is_worn_on_every_sort_of_layer():
    assert {variant.kind for variant in VARIANTS} == set(KINDS.values())
    for variant in VARIANTS:
        assert variant.layers()
        assert variant.name != "plain" or variant.layers() == LAYERS


@EVERY_VARIANT
def test_a_fresh_adapter_changes_nothing(variant, generator):
    for layer in variant.layers():
        weight, x = layer.weight(generator), layer.input(generator)
        delta = variant.fresh(layer, generator, weight)
        assert torch.count_nonzero(delta.delta(weight)) == 0
        change = delta.branch(x, layer.operation.apply(x, weight), weight, layer.operation)
        assert change is None or torch.count_nonzero(change) == 0


@EVERY_VARIANT
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_fresh_adapter_changes_nothing_in_any_type(variant, dtype, generator):
    for layer in variant.layers(SMALL_LAYERS):
        weight = layer.weight(generator, dtype)
        delta = variant.fresh(layer, generator, weight, dtype)
        assert torch.count_nonzero(delta.delta(weight)) == 0


@EVERY_VARIANT
def test_the_shortcut_is_the_definition(variant, generator):
    for layer in variant.layers():
        exact, input_ = layer.weight(generator, torch.float64), layer.input(generator)
        few = layer in SMALL_LAYERS or layer.operation.kind == "embedding"
        for dtype, tolerance in DTYPES.items() if few else EXACT.items():
            weight = exact.to(dtype)
            x = input_.to(dtype) if input_.is_floating_point() else input_
            delta = variant.random(layer, generator, weight.double(), dtype)
            y = layer.operation.apply(x, weight)
            change = delta.branch(x, y, weight, layer.operation)
            if change is None:
                continue
            wide = x.double() if x.is_floating_point() else x
            expected = layer.operation.apply(wide, delta.delta(weight).double())
            assert change.dtype == dtype
            assert change.shape == expected.shape
            scale = max(_largest(expected), _largest(y) if delta.needs_weight else 0)
            assert _largest(change.double() - expected) <= tolerance * scale


# Where forming the update is all that can be done, or is less work. An answer of `None` would be
# right everywhere, and slow: this list is what must stay fast.
WITHOUT_SHORTCUT = {
    "lora": lambda operation: operation.groups == 16,
    "loha": lambda operation: operation.kind != "embedding",
    "lokr": lambda operation: operation.groups > 1,
    "dora": lambda operation: operation.groups == 16,
    "doha": lambda operation: operation.kind != "embedding",
    "dokr": lambda operation: operation.groups > 1,
    "full": lambda operation: True,
    "ia3": lambda operation: False,
    "oft": lambda operation: operation.groups > 1 or operation.kind == "embedding",
    "boft": lambda operation: operation.groups > 1 or operation.kind == "embedding",
    "glora": lambda operation: operation.groups > 1,
}


def test_every_kind_has_its_shortcuts(generator):
    assert WITHOUT_SHORTCUT.keys() == KINDS.keys()
    for variant in (each for each in VARIANTS if each.name == "plain"):
        for layer in LAYERS:
            weight, x, operation = layer.weight(generator), layer.input(generator), layer.operation
            delta = variant.random(layer, generator, weight)
            change = delta.branch(x, operation.apply(x, weight), weight, operation)
            assert (change is None) == WITHOUT_SHORTCUT[delta.kind](operation), layer.name


@EVERY_VARIANT
def test_parts_and_alpha_and_settings_make_it_again(variant, generator):
    for layer in variant.layers(SMALL_LAYERS):
        weight = layer.weight(generator)
        for dtype in DTYPES:
            delta = variant.random(layer, generator, weight, dtype)
            parts = delta.parts()
            again = type(delta).from_parts(parts, delta.alpha, delta.settings)
            assert again.parts().keys() == parts.keys()
            assert all(torch.equal(again.parts()[name], tensor) for name, tensor in parts.items())
            assert {tensor.dtype for tensor in again.parts().values()} == {dtype}
            assert (again.alpha, again.rank) == (delta.alpha, delta.rank)
            assert dict(again.settings) == dict(delta.settings)
            assert again.claimed_shape == delta.claimed_shape
            assert torch.equal(again.delta(weight), delta.delta(weight))
            assert delta.kept_exact <= {"magnitude", "rescale"}


@EVERY_VARIANT
def test_settings_are_told_and_change_something(variant, generator):
    for layer in variant.layers(SMALL_LAYERS):
        weight = layer.weight(generator)
        delta = variant.random(layer, generator, weight)
        for name, value in variant.settings.items():
            assert delta.settings[name] == value
        if variant.settings:
            parts = (
                {"blocks": torch.randn(4, 2, 2)} if "shared" in variant.settings else delta.parts()
            )
            side = {key: delta.settings[key] for key in ("side", "axis") if key in delta.settings}
            other = type(delta).from_parts(parts, delta.alpha, side)
            shared = variant.settings.get("shared")
            assert shared or not torch.allclose(other.delta(weight), delta.delta(weight))


@EVERY_VARIANT
def test_the_update_has_the_precision_of_the_factors(variant, generator):
    for layer in variant.layers(SMALL_LAYERS):
        weight = layer.weight(generator)
        for dtype in DTYPES:
            delta = variant.random(layer, generator, weight, dtype)
            wide = torch.float64 if dtype == torch.float64 else torch.float32
            for each in (weight, weight.double(), weight.half()):
                assert delta.delta(each).dtype == wide == delta.precision
                assert delta.delta(each).shape == layer.shape


@EVERY_VARIANT
def test_factors_of_eight_bits_are_widened(variant, generator):
    layer = LAYERS[0]
    weight = layer.weight(generator)
    delta = variant.random(layer, generator, weight)
    narrow = {name: each.to(torch.float8_e4m3fn) for name, each in delta.parts().items()}
    wide = {name: each.float() for name, each in narrow.items()}
    found, expected = (
        variant.kind.from_parts(parts, delta.alpha, delta.settings).delta(weight)
        for parts in (narrow, wide)
    )
    assert torch.equal(found, expected)


@EVERY_VARIANT
def test_it_claims_the_shape_it_fits(variant, generator):
    for layer in variant.layers():
        delta = variant.random(layer, generator, layer.weight(generator))
        out, columns, *kernel = layer.shape
        assert delta.fits(layer.shape)
        other = (out + 1, columns + 1, *kernel)
        if delta.settings.get("shared"):
            continue  # it fits every multiple of its block
        assert not delta.fits(other)
        assert not delta.fits(())
        assert not delta.fits((out * columns + 1,))
        claimed = delta.claimed_shape
        if len(claimed) == len(layer.shape) and "blocks" not in delta.parts():
            assert all(
                ours in (None, theirs) for ours, theirs in zip(claimed, layer.shape, strict=True)
            )
        assert delta.fitted(layer.shape).fits(layer.shape)
        with pytest.raises(ModelError, match=str(columns + 1)):
            delta.fitted(other)


@EVERY_VARIANT
def test_it_says_whether_it_needs_the_weight(variant, generator):
    for layer in variant.layers(SMALL_LAYERS):
        weight = layer.weight(generator)
        delta = variant.random(layer, generator, weight)
        if delta.needs_weight:
            with pytest.raises(ModelError, match=delta.kind):
                delta.delta(None)
            assert not torch.equal(delta.delta(weight), delta.delta(weight * 2))
        else:
            nothing = torch.empty_like(weight, device="meta")
            assert torch.equal(delta.delta(weight), delta.delta(nothing))
            assert torch.equal(delta.delta(None).reshape(layer.shape), delta.delta(weight))


@EVERY_VARIANT
def test_strength_is_linear_and_at_1_all_laws_agree(variant, generator):
    for layer in variant.layers(SMALL_LAYERS):
        weight = layer.weight(generator)
        delta = variant.random(layer, generator, weight, torch.float64)
        update = delta.delta(weight)
        for strength in (0.0, 0.5, -1.7):
            assert torch.equal(delta.lawful(weight, strength, "linear"), strength * update)
        for law in ("linear", "peft", "lycoris"):
            torch.testing.assert_close(delta.lawful(weight, 1.0, law), update)


@EVERY_VARIANT
def test_a_fresh_adapter_gets_a_finite_gradient_that_is_not_zero(variant, generator):
    for layer in variant.layers(SMALL_LAYERS):
        weight, x = layer.weight(generator), layer.input(generator)
        delta = variant.fresh(layer, generator, weight)
        assert not any(parameter.requires_grad for parameter in delta.parameters())
        delta.requires_grad_(True)
        (delta.delta(weight) * torch.randn(layer.shape, generator=generator)).sum().backward()
        _check_gradients(delta)
        delta.zero_grad()
        change = delta.branch(x, layer.operation.apply(x, weight), weight, layer.operation)
        if change is not None:
            (change * torch.randn(change.shape, generator=generator)).sum().backward()
            _check_gradients(delta)


def _check_gradients(delta: AbstractDelta) -> None:
    gradients = [parameter.grad for parameter in delta.parameters()]
    assert gradients
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(_largest(gradient) > 0 for gradient in gradients)


@EVERY_VARIANT
def test_the_gradient_is_the_derivative(variant, generator):
    for layer in variant.layers(SMALL_LAYERS):
        weight = layer.weight(generator, torch.float64)
        delta = variant.random(layer, generator, weight, torch.float64)
        if delta.settings.get("detached_norm"):
            continue  # its gradient is another function's, on purpose
        given = tuple(each.data.clone().requires_grad_(True) for each in delta.parameters())
        update = partial(_Update(delta).at, weight)
        assert torch.autograd.gradcheck(update, given, fast_mode=True)


@EVERY_VARIANT
def test_the_shortcut_has_the_gradient_of_the_definition(variant, generator):
    for layer in variant.layers():
        weight, x = layer.weight(generator, torch.float64), layer.input(generator)
        x = x.double().requires_grad_(True) if x.is_floating_point() else x
        delta = variant.random(layer, generator, weight, torch.float64).requires_grad_(True)
        inputs = [*delta.parameters(), *([x] if x.is_floating_point() else [])]
        change = delta.branch(x, layer.operation.apply(x, weight), weight, layer.operation)
        if change is None:
            continue
        along = torch.randn(change.shape, generator=generator, dtype=torch.float64)
        found = torch.autograd.grad((change * along).sum(), inputs)
        definition = layer.operation.apply(x, delta.delta(weight))
        expected = torch.autograd.grad((definition * along).sum(), inputs)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)


class _Update(nn.Module):
    """delta(W) as a function of every parameter."""

    def __init__(self, delta: AbstractDelta) -> None:
        super().__init__()
        self.worn = delta

    def forward(self, weight: Tensor) -> Tensor:
        return self.worn.delta(weight)

    def at(self, weight: Tensor, *tensors: Tensor) -> Tensor:
        names = [name for name, _ in self.named_parameters()]
        return functional_call(self, dict(zip(names, tensors, strict=True)), weight)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_what_is_missing_or_unknown_is_told(kind, generator):
    weight = torch.randn(16, 8, generator=generator)
    delta = kind.fresh((16, 8), 3, 1.5, generator, weight=weight)
    parts = delta.parts()
    for broken in ({}, {**parts, "stranger": weight}, dict(list(parts.items())[1:])):
        with pytest.raises(ModelError, match="not the tensors of") as caught:
            kind.from_parts(broken, 1.0)
        assert caught.value.code == "adapter.parts"
    with pytest.raises(ModelError, match="strange='x'") as caught:
        kind.from_parts(parts, 1.0, {"strange": "x"})
    assert caught.value.code == "adapter.setting"
    for name, value in delta.settings.items():
        wrong = 3.5 if isinstance(value, str | bool | int) else "x"
        with pytest.raises(ModelError, match=name):
            kind.from_parts(parts, 1.0, {name: wrong})
    for name, tensor in parts.items():
        with pytest.raises(ModelError) as caught:
            kind.from_parts({**parts, name: tensor.new_zeros(0)}, 1.0)
        assert caught.value.code == "adapter.factors"
