"""Every kind that PEFT makes and that is ours too: its forward pass with random numbers is ours."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import peft
import pytest
import torch
from torch import Tensor, nn

from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.operation import Operation

# Of transformers 5 about PEFT's wrapping.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")

PARTS = {
    "lora_A": "down",
    "lora_B": "up",
    "lora_magnitude_vector": "magnitude",
    "lora_embedding_A": "up",
    "lora_embedding_B": "down",
    "oft_R": "blocks",
    "boft_R": "blocks",
    "boft_s": "rescale",
    "ia3_l": "scale",
    **{f"hada_{part}": part for part in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{f"lokr_{part}": part for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
}
LAYERS = {
    "linear": (nn.Linear(12, 16), (2, 5, 12)),
    "conv1d": (nn.Conv1d(12, 16, 3), (2, 12, 7)),
    "pixel": (nn.Conv2d(12, 16, 1), (2, 12, 3, 4)),
    "conv2d": (nn.Conv2d(12, 16, 3, stride=2, padding=1), (2, 12, 5, 6)),
    "embedding": (nn.Embedding(16, 12), (2, 5)),
}
EVERYWHERE = tuple(LAYERS)


@dataclass(frozen=True)
class Case:
    """A PEFT configuration, and how we call the same."""

    config: str
    kind: str
    options: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    layers: tuple[str, ...] = EVERYWHERE[:-1]

    def __str__(self) -> str:
        return f"{self.kind} {dict(self.options)}"

    def wrap(
        self, layer: str, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> nn.Module:
        """Return PEFT's layer, with random numbers that `dtype` holds."""
        config = getattr(peft, self.config)(target_modules=["layer"], **self.options)
        model = peft.inject_adapter_in_model(
            config, nn.ModuleDict({"layer": LAYERS[layer][0]})
        ).eval()
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                positive = any(part in name for part in ("magnitude", "boft_s", "ia3"))
                random = torch.randn(parameter.shape, generator=generator) / 2 + positive
                parameter.data = random.to(dtype).float()
        return model["layer"]

    def ours(self, wrapped: nn.Module, dtype: torch.dtype = torch.float32) -> AbstractDelta:
        """Return our delta with PEFT's numbers, as a file of that type has them."""
        parts: dict[str, Tensor] = {}
        for name, parameter in wrapped.named_parameters():
            theirs = name.split(".")[0]
            if theirs in PARTS:
                parts[PARTS[theirs]] = parameter.detach().to(dtype)
        if hasattr(wrapped, "lora_embedding_A") and "default" in wrapped.lora_embedding_A:
            parts |= {name: parts[name].T for name in ("down", "up")}
        if self.kind == "ia3":
            parts["scale"] = parts["scale"].float() - 1
        if self.kind == "oft":
            parts["blocks"] = _unpacked(parts["blocks"])
        alpha = self.options.get("lora_alpha", self.options.get("alpha"))
        settings = dict(self.settings)
        if self.kind == "lokr" and not any(name.endswith("_b") for name in parts):
            settings["scale"] = alpha / self.options["r"]
        if self.kind == "ia3":
            settings["on_input"] = wrapped.is_feedforward
        return KINDS[self.kind].from_parts(parts, alpha, settings)


def _unpacked(packed: Tensor) -> Tensor:
    """Return the upper triangles that PEFT packs in rows."""
    count, length = packed.shape
    size = int((1 + (1 + 8 * length) ** 0.5) / 2)
    blocks = packed.new_zeros(count, size, size)
    rows, columns = torch.triu_indices(size, size, 1)
    blocks[:, rows, columns] = packed
    return blocks


LORA = {"r": 3, "lora_alpha": 5}
LOHA = {"r": 3, "alpha": 5}
OFT = {"oft_block_size": 4, "r": 0}
NEUMANN = {"side": "input", "cayley": "neumann"}
FLAT = ("linear", "pixel")
BOFT = {"side": "input", "cayley": "transposed", "skew": 0.5}
CASES = (
    Case("LoraConfig", "lora", LORA, layers=EVERYWHERE),
    Case("LoraConfig", "dora", {**LORA, "use_dora": True}, {"axis": "output"}),
    Case(
        "LoraConfig",
        "dora",
        {**LORA, "use_dora": True, "init_lora_weights": "gaussian"},
        {"axis": "input"},
        layers=("embedding",),
    ),
    Case("LoHaConfig", "loha", LOHA),
    Case("LoHaConfig", "loha", {**LOHA, "use_effective_conv2d": True}),
    Case("LoKrConfig", "lokr", LOHA, layers=("linear", "conv2d", "pixel")),
    Case("LoKrConfig", "lokr", {**LOHA, "decompose_factor": 2}),
    Case(
        "LoKrConfig",
        "lokr",
        {"r": 2, "alpha": 3, "decompose_both": True, "decompose_factor": 4},
        layers=("linear", "conv2d", "pixel"),
    ),
    Case("LoKrConfig", "lokr", {**LOHA, "decompose_factor": 2, "use_effective_conv2d": True}),
    Case("OFTConfig", "oft", OFT, NEUMANN, layers=FLAT),
    Case(
        "OFTConfig",
        "oft",
        {**OFT, "num_cayley_neumann_terms": 7},
        {**NEUMANN, "terms": 7},
        layers=FLAT,
    ),
    Case(
        "OFTConfig",
        "oft",
        {**OFT, "use_cayley_neumann": False},
        {"side": "input", "cayley": "transposed"},
        layers=FLAT,
    ),
    Case(
        "OFTConfig", "oft", {**OFT, "block_share": True}, {**NEUMANN, "shared": True}, layers=FLAT
    ),
    Case(
        "OFTConfig", "oft", {**OFT, "coft": True, "eps": 0.7}, {**NEUMANN, "eps": 0.7}, layers=FLAT
    ),
    Case("BOFTConfig", "boft", {"boft_block_size": 4}, BOFT, layers=("linear", "pixel", "conv2d")),
    Case("IA3Config", "ia3", {"feedforward_modules": []}, layers=("linear", "pixel", "conv2d")),
    Case(
        "IA3Config", "ia3", {"feedforward_modules": ["layer"]}, layers=("linear", "pixel", "conv2d")
    ),
)
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=str)


def _input(layer: str, generator: torch.Generator) -> Tensor:
    size = LAYERS[layer][1]
    if layer == "embedding":
        return torch.randint(16, size, generator=generator)
    return torch.randn(size, generator=generator)


def _close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> bool:
    return bool((found - expected).abs().max() <= tolerance * expected.abs().max())


@EVERY_CASE
@pytest.mark.filterwarnings("ignore:.*CUDA extension|Failed to load the CUDA|.*boft:UserWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@torch.no_grad()
def test_the_forward_pass_is_ours(case, dtype, generator):
    for layer in case.layers:
        wrapped, x = case.wrap(layer, generator, dtype), _input(layer, generator)
        base, delta = LAYERS[layer][0], case.ours(wrapped, dtype)
        operation, weight = Operation.of(base), base.weight
        assert delta.fits(tuple(weight.shape))
        bare, expected = operation.apply(x, weight), wrapped(x)
        if case.kind == "ia3" and not wrapped.is_feedforward and base.bias is not None:
            # What scales the outputs scales the bias, which is another site's delta of its own.
            expected = operation.add_bias(expected, delta.delta(base.bias), -1.0)
        assert _close(base(x) + operation.apply(x, delta.delta(weight)), expected)
        change = delta.branch(x, bare, weight, operation)
        assert change is None or _close(base(x) + change, expected)


@pytest.mark.parametrize("case", [case for case in CASES if case.kind in ("lora", "dora")], ids=str)
@pytest.mark.parametrize("strength", [0.0, 0.5, -1.7])
@torch.no_grad()
def test_their_law_of_strength(case, strength, generator):
    for layer in case.layers:
        wrapped, x = case.wrap(layer, generator), _input(layer, generator)
        base, delta = LAYERS[layer][0], case.ours(wrapped)
        wrapped.set_scale("default", strength)
        update = delta.lawful(base.weight, strength, "peft")
        assert _close(base(x) + Operation.of(base).apply(x, update), wrapped(x))
        moved = strength == 0 and not _close(wrapped(x), base(x))
        assert moved == (strength == 0 and case.kind == "dora")
        assert torch.count_nonzero(delta.lawful(base.weight, 0.0, "linear")) == 0


@torch.no_grad()
def test_their_neumann_series_is_another_rotation_than_their_exact_one(generator):
    """The flag in adapter_config.json turns the other way round; both are told apart here."""
    blocks = torch.randn(3, 4, 4, generator=generator) / 40
    weight = torch.randn(16, 12, generator=generator)
    series, exact, transposed = (
        KINDS["oft"].from_parts({"blocks": blocks}, None, {"side": "input", "cayley": cayley})
        for cayley in ("neumann", "exact", "transposed")
    )
    assert _close(series.delta(weight), exact.delta(weight), 1e-2)
    assert not _close(series.delta(weight), transposed.delta(weight), 1.0)


@torch.no_grad()
def test_their_rotated_convolution_is_not_even_the_base_without_a_rotation(generator):
    """Overlapping patches are folded back as their sum; their merged weight is right, and ours."""
    case = Case("OFTConfig", "oft", {"oft_block_size": 9, "r": 0}, NEUMANN, layers=("conv2d",))
    wrapped, x = case.wrap("conv2d", generator), _input("conv2d", generator)
    base, delta = copy.deepcopy(LAYERS["conv2d"][0]), case.ours(wrapped)
    rotation = wrapped.oft_R["default"].get_weight()
    merged = (rotation @ base.weight.flatten(1).T).T.view_as(base.weight)
    assert _close(base.weight + delta.delta(base.weight), merged)
    wrapped.oft_R["default"].weight.zero_()
    assert not _close(wrapped(x), base(x), 0.5)


@torch.no_grad()
def test_their_kronecker_product_of_three_dimensions_is_none(generator):
    """PEFT 0.21 aligns w1 with the wrong dimensions of a whole w2 of a Conv1d."""
    case = Case("LoKrConfig", "lokr", {"r": 99, "alpha": 99}, layers=("conv1d",))
    wrapped, x = case.wrap("conv1d", generator), _input("conv1d", generator)
    base, delta = LAYERS["conv1d"][0], case.ours(wrapped)
    w1, w2 = delta.parts()["w1"], delta.parts()["w2"]
    expected = torch.einsum("ac,bdk->abcdk", w1, w2).reshape(base.weight.shape)
    assert _close(delta.delta(base.weight), expected)
    assert not _close(wrapped(x), base(x) + Operation.of(base).apply(x, expected))


@pytest.mark.filterwarnings("ignore:LoRA adapter added to ConvNd")
@torch.no_grad()
def test_their_grouped_convolution_is_no_update_of_a_grouped_weight(generator):
    """Its `down` sees all inputs and `up` is grouped: every output depends on every input."""
    base = nn.Conv2d(8, 16, 3, groups=2)
    config = peft.LoraConfig(target_modules=["layer"], r=4)
    model = peft.inject_adapter_in_model(config, nn.ModuleDict({"layer": base}))
    wrapped = model["layer"].eval()
    down, up = wrapped.lora_A["default"].weight, wrapped.lora_B["default"].weight
    assert (down.shape, up.shape) == ((4, 8, 3, 3), (16, 2, 1, 1))
    up.copy_(torch.randn(up.shape, generator=generator))
    x = torch.zeros(1, 8, 3, 3)
    x[:, 4:] = torch.randn(1, 4, 3, 3, generator=generator)  # the second group's inputs only
    assert torch.equal(base(x)[:, :8], base(torch.zeros_like(x))[:, :8])
    assert not torch.allclose(wrapped(x)[:, :8], base(x)[:, :8])


def test_the_detached_norm_is_pefts_gradient(generator):
    case = CASES[1]
    wrapped, x = case.wrap("linear", generator), _input("linear", generator)
    weight, bias = (parameter.detach() for parameter in LAYERS["linear"][0].parameters())
    along = torch.randn(2, 5, 16, generator=generator)
    (wrapped(x) * along).sum().backward()
    expected = {
        PARTS[name.split(".")[0]]: parameter.grad
        for name, parameter in wrapped.named_parameters()
        if name.split(".")[0] in PARTS
    }
    assert expected.keys() == {"down", "up", "magnitude"}
    for detached in (True, False):
        delta = KINDS["dora"].from_parts(
            case.ours(wrapped).parts(), 5.0, {"detached_norm": detached}
        )
        delta.requires_grad_(True)
        y = nn.functional.linear(x, weight + delta.delta(weight), bias)
        (y * along).sum().backward()
        found = {name.split(".")[-1]: each.grad for name, each in delta.named_parameters()}
        for name, gradient in expected.items():
            same = torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-5)
            assert same == (detached or name == "magnitude")
