"""Every kind that LyCORIS makes: its forward pass with random numbers is ours.

Its forward pass is what people train with, and so the truth; where its merging differs from it,
that is a defect of version 4.1.3, and shown to be one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import lycoris.functional.general as general
import lycoris.modules as lycoris
import pytest
import torch
from torch import nn

from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.factorization import butterfly_factorization, factorization
from loraloom.adapters.full import Full
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.lokr import Division
from loraloom.adapters.operation import Operation

PARTS = {
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora_mid.weight": "mid",
    "dora_scale": "magnitude",
    "oft_blocks": "blocks",
    "rescale": "rescale",
    "weight": "scale",
    **{f"hada_{part}": part for part in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{f"lokr_{part}": part for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
    **{f"{part}.weight": part for part in ("a1", "a2", "b1", "b2")},
}
LINEAR = nn.Linear(12, 16)
CONV1D = nn.Conv1d(12, 16, 3, padding=1)
CONV2D = nn.Conv2d(12, 16, (3, 2), stride=2, padding=1)
GROUPED = nn.Conv2d(12, 16, 3, groups=2)
LAYERS = (LINEAR, CONV1D, CONV2D)


@dataclass(frozen=True)
class Case:
    """A LyCORIS module with its options, and how we call the same."""

    module: str
    kind: str
    options: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    layers: tuple[nn.Module, ...] = LAYERS

    def __str__(self) -> str:
        return f"{self.kind} {dict(self.options)}"

    def oracle(
        self,
        layer: nn.Module,
        strength: float,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> nn.Module:
        """Return the LyCORIS module on a layer, with random numbers that `dtype` holds."""
        module = getattr(lycoris, self.module)("name", layer, strength, 3, 1.5, **self.options)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                positive = name in ("dora_scale", "rescale")
                random = torch.randn(parameter.shape, generator=generator) / 2 + positive
                parameter.copy_(random.to(dtype))
        return module.eval()

    def ours(self, module: nn.Module, dtype: torch.dtype = torch.float32) -> AbstractDelta:
        """Return our delta with the module's numbers, as a file of that type has them."""
        if self.kind == "full":
            return Full.from_parts({"diff": module.weight.detach().to(dtype)}, None)
        tensors = dict(module.state_dict())
        alpha = tensors.pop("alpha", None)
        on_input = tensors.pop("on_input", None)
        settings = dict(self.settings)
        if on_input is not None:
            settings["on_input"] = bool(on_input)
        scale = None if alpha is None or "oft_blocks" in tensors else float(alpha)
        parts = {
            PARTS[name]: tensor.detach().to(dtype)
            for name, tensor in tensors.items()
            if name in PARTS
        }
        return KINDS[self.kind].from_parts(parts, scale, settings)


DORA = {"weight_decompose": True}
INPUT = {**DORA, "wd_on_out": False}
CASES = (
    Case("LoConModule", "lora", layers=(*LAYERS, GROUPED)),
    Case("LoConModule", "lora", {"use_tucker": True}),
    Case("LoConModule", "lora", {"rs_lora": True}),
    Case("LoConModule", "dora", DORA, {"axis": "output"}),
    Case("LoConModule", "dora", INPUT, {"axis": "input"}),
    Case("LohaModule", "loha", layers=(*LAYERS, GROUPED)),
    Case("LohaModule", "loha", {"use_tucker": True}),
    Case("LohaModule", "doha", DORA, {"axis": "output"}),
    Case("LohaModule", "doha", INPUT, {"axis": "input"}),
    Case("LokrModule", "lokr"),
    Case("LokrModule", "lokr", {"factor": 2}),
    Case("LokrModule", "lokr", {"full_matrix": True}),
    Case("LokrModule", "lokr", {"factor": 2, "unbalanced_factorization": True}),
    Case("LokrModule", "lokr", {"factor": 1, "use_tucker": True}),
    Case(
        "LokrModule",
        "lokr",
        {"factor": 1, "decompose_both": True, "unbalanced_factorization": True},
    ),
    Case("LokrModule", "dokr", {**DORA, "factor": 2}, {"axis": "output"}),
    Case("LokrModule", "dokr", INPUT, {"axis": "input"}),
    Case("DiagOFTModule", "oft", layers=(*LAYERS, GROUPED)),
    Case("DiagOFTModule", "oft", {"rescaled": True}),
    Case("DiagOFTModule", "oft", {"constraint": 0.05}, {"constraint": 0.05}),
    Case("ButterflyOFTModule", "boft"),
    Case("ButterflyOFTModule", "boft", {"rescaled": True}),
    Case("ButterflyOFTModule", "boft", {"constraint": 0.05}, {"constraint": 0.05}),
    Case("IA3Module", "ia3"),
    Case("IA3Module", "ia3", {"train_on_input": True}),
    Case("GLoRAModule", "glora"),
    Case("FullModule", "full"),
)
SHORTCUTS = [case for case in CASES if case.kind not in ("loha", "doha", "full")]
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=str)


def _input(layer: nn.Module, generator: torch.Generator) -> torch.Tensor:
    size = {nn.Linear: (2, 5, 12), nn.Conv1d: (2, 12, 7)}.get(type(layer), (2, 12, 5, 6))
    return torch.randn(size, generator=generator)


def _close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return bool((found - expected).abs().max() <= 1e-5 * expected.abs().max())


def test_all_that_lycoris_makes_and_keeps_whole_is_here():
    """Not T-LoRA, whose files lack what it began as; DyLoRA's files are LoRA's."""
    made = {case.module for case in CASES}
    listed = {each.__name__ for each in lycoris.MODULE_LIST}
    assert listed - made == {"NormModule", "DyLoraModule", "TLoraModule"}
    assert {case.kind for case in CASES} == set(KINDS)


@EVERY_CASE
@pytest.mark.parametrize(
    ("strength", "dtype"),
    [
        (1.0, torch.float32),
        (1.0, torch.float16),
        (1.0, torch.bfloat16),
        (0.5, torch.float32),
        (-1.7, torch.float32),
    ],
)
@torch.no_grad()
def test_the_forward_pass_is_ours(case, strength, dtype, generator):
    for layer in case.layers:
        oracle, x = case.oracle(layer, strength, generator, dtype), _input(layer, generator)
        delta, operation = case.ours(oracle, dtype), Operation.of(layer)
        assert delta.fits(tuple(layer.weight.shape))
        y = layer(x) + operation.apply(x, delta.lawful(layer.weight, strength, "lycoris"))
        if case.kind == "full":
            bias = Full.from_parts({"diff": oracle.bias.detach()}, None)
            y = operation.add_bias(y, bias.lawful(layer.bias, strength, "lycoris"))
        assert _close(y, oracle(x))


@pytest.mark.parametrize("case", SHORTCUTS, ids=str)
@torch.no_grad()
def test_the_shortcut_is_their_forward_pass_too(case, generator):
    for layer in case.layers:
        oracle, x = case.oracle(layer, 1.0, generator), _input(layer, generator)
        delta, operation = case.ours(oracle), Operation.of(layer)
        bare = operation.apply(x, layer.weight)
        change = delta.branch(x, bare, layer.weight, operation)
        if change is None:
            assert operation.groups > 1
        else:
            assert _close(layer(x) + change, oracle(x))


@pytest.mark.parametrize("layer", [nn.LayerNorm(12), nn.GroupNorm(3, 12)], ids=str)
@torch.no_grad()
def test_norms_are_full_differences(layer, generator):
    oracle = lycoris.NormModule("name", layer, -1.7).eval()
    for parameter in (oracle.w_norm, oracle.b_norm):
        parameter.copy_(torch.randn(12, generator=generator))
    x = torch.randn(2, 12, generator=generator)
    ours = copy.deepcopy(layer)
    for name, diff in (("weight", oracle.w_norm), ("bias", oracle.b_norm)):
        live = ours.get_parameter(name)
        live += Full.from_parts({"diff": diff.detach()}, None).lawful(live, -1.7, "lycoris")
    assert _close(ours(x), oracle(x))


@pytest.mark.parametrize("case", [case for case in CASES if case.kind in ("loha", "lokr")], ids=str)
@torch.no_grad()
def test_their_merged_weight_has_alpha_twice_and_ours_has_it_once(case, generator):
    layer = case.layers[0]
    oracle, x = case.oracle(layer, 1.0, generator), _input(layer, generator)
    merged, _ = oracle.get_merged_weight()
    delta = case.ours(oracle)
    ours = nn.functional.linear(x, layer.weight + delta.delta(layer.weight), layer.bias)
    assert _close(ours, oracle(x))
    theirs = nn.functional.linear(x, merged, layer.bias)
    whole = delta.rank is None  # their scale is 1 then, and so is its square
    assert _close(theirs, oracle(x)) == whole


@torch.no_grad()
def test_dora_at_strength_0_is_the_base_here_and_not_there(generator):
    case = Case("LoConModule", "dora", DORA, {"axis": "output"})
    oracle, x = case.oracle(LINEAR, 0.0, generator), _input(LINEAR, generator)
    delta = case.ours(oracle)
    assert torch.count_nonzero(delta.lawful(LINEAR.weight, 0.0, "linear")) == 0
    assert not _close(oracle(x), LINEAR(x))


@pytest.mark.parametrize(
    ("case", "error"),
    [
        (Case("LoConModule", "dora", INPUT, {"axis": "input"}), RuntimeError),
        (CASES[12], RuntimeError),
        (Case("IA3Module", "ia3"), TypeError),
    ],
    ids=lambda value: str(value) if isinstance(value, Case) else "",
)
@torch.no_grad()
def test_we_load_what_lycoris_writes_and_cannot_load(case, error, generator):
    oracle, x = case.oracle(LINEAR, 1.0, generator), _input(LINEAR, generator)
    state = {f"name.{key}": tensor for key, tensor in oracle.state_dict().items()}
    kind, parameters = lycoris.get_module(state, "name")
    with pytest.raises(error):
        lycoris.make_module(kind, parameters, "name", LINEAR)
    weight = LINEAR.weight + case.ours(oracle).delta(LINEAR.weight)
    assert _close(nn.functional.linear(x, weight, LINEAR.bias), oracle(x))


FRESH = {
    "LoConModule": {"tucker": True},
    "LohaModule": {"tucker": True},
    "LokrModule": {"division": Division(factor=4, tucker=True)},
    "DiagOFTModule": {"with_rescale": True},
    "ButterflyOFTModule": {"with_rescale": True},
}


@pytest.mark.parametrize("module", sorted({case.module for case in CASES} - {"FullModule"}))
def test_a_fresh_adapter_is_drawn_as_theirs(module, generator):
    case = next(case for case in CASES if case.module == module)
    options = {"use_tucker": True, "rescaled": True, "factor": 4}
    for layer in (nn.Linear(48, 64), nn.Conv2d(32, 64, (3, 2))):
        torch.manual_seed(0)
        theirs = Case(module, case.kind, options).ours(
            getattr(lycoris, module)("name", layer, 1.0, 6, 1.5, **options)
        )
        shape = tuple(layer.weight.shape)
        ours = KINDS[case.kind].fresh(shape, 6, 1.5, generator, **FRESH.get(module, {}))
        assert ours.alpha == theirs.alpha
        assert ours.parts().keys() == theirs.parts().keys()
        for name, tensor in ours.parts().items():
            expected = theirs.parts()[name]
            assert tensor.numel() == expected.numel(), name
            # The deviation of n normal draws is itself off by 1 / sqrt(2 n).
            spread = 5 / (2 * tensor.numel()) ** 0.5
            assert float(tensor.std()) == pytest.approx(float(expected.std()), rel=spread), name
            assert float(tensor.mean()) == pytest.approx(float(expected.mean()), abs=0.3), name


def test_dimensions_are_divided_as_lycoris_does():
    for dimension in (*range(1, 130), 320, 640, 768, 1000, 1280, 3072, 9216):
        for factor in (-1, 1, 2, 3, 4, 8, 10, 16, 40, 128):
            expected = general.factorization(dimension, factor)
            assert factorization(dimension, factor) == expected, (dimension, factor)
            if factor != 1:
                m, n = general.power2factorization(dimension, factor)
                found = butterfly_factorization(dimension, factor)
                assert found == ((m, n) if n else None), (dimension, factor)
