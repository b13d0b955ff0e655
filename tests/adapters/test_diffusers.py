"""Strengths and several adapters on a UNet, where diffusers loses its way."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
from diffusers.utils import logging as diffusers_logging
from peft import LoraConfig
from torch import nn

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach
from loraloom.adapters.card import Card
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site

from ..tiny_base import build_tiny

TARGETS = ["to_q", "to_v"]
STRENGTH = 0.3


@pytest.fixture(scope="module")
def unet():
    """Return a tiny UNet. Not to be changed."""
    return build_tiny().networks["unet"].requires_grad_(False)


def _factors(unet, seed):
    """Return down and up of rank 2 for the layers that are targeted."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (
            torch.randn(2, layer.in_features, generator=generator) / 2,
            torch.randn(layer.out_features, 2, generator=generator) / 2,
        )
        for name, layer in unet.named_modules()
        if isinstance(layer, nn.Linear) and name.endswith(tuple(TARGETS))
    }


def _ours(factors, name):
    deltas = {
        Site("unet", f"{path}.weight"): Lora(down, up, 4.0) for path, (down, up) in factors.items()
    }
    return Adapter(deltas=deltas, card=Card(family="sd1", name=name))


def _theirs(factors):
    return {
        f"{path}.{key}.weight": tensor
        for path, pair in factors.items()
        for key, tensor in zip(("lora_A", "lora_B"), pair, strict=True)
    }


def _loaded(unet, adapters):
    copied = copy.deepcopy(unet)
    config = LoraConfig(r=2, lora_alpha=4, target_modules=TARGETS).to_dict()
    for name, factors in adapters.items():
        copied.load_lora_adapter(
            _theirs(factors), prefix=None, adapter_name=name, metadata=dict(config)
        )
    return copied


def _run(unet, width=None, **more):
    generator = torch.Generator().manual_seed(2)
    noisy = torch.randn(1, 4, 8, 8, generator=generator)
    context = torch.randn(1, 6, unet.config.cross_attention_dim, generator=generator)
    return unet(noisy, torch.tensor([10]), context, **more).sample


def test_a_strength_of_0_is_forgotten_with_the_call_and_not_the_strength_before_it(unet):
    """diffusers' scale of 0 resets what `set_adapters` had set to 1 for good."""
    factors = _factors(unet, 1)
    theirs = _loaded(unet, {"a": factors})
    theirs.set_adapters(["a"], [STRENGTH])
    before = _run(theirs)
    off = _run(theirs, cross_attention_kwargs={"scale": 0.0})
    torch.testing.assert_close(off, _run(unet), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(_run(theirs), before, rtol=1e-3, atol=1e-4)
    with attach({"unet": unet}, _ours(factors, "a"), STRENGTH) as attached:
        first = _run(unet)
        torch.testing.assert_close(first, before, rtol=1e-4, atol=1e-5)
        attached.set_strengths(0.0)
        zero = _run(unet)
        attached.set_strengths(STRENGTH)
        assert torch.equal(_run(unet), first)
    assert torch.equal(zero, _run(unet))


def test_a_second_adapter_is_put_on_without_false_alarm(unet, recwarn, caplog):
    """diffusers finds keys of the first adapter missing in the second, as its name is in them."""
    first, second = _factors(unet, 1), _factors(unet, 2)
    logger = diffusers_logging.get_logger("diffusers")
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.WARNING, logger="diffusers"):
            theirs = _loaded(unet, {"default_1": first, "default": second})
    finally:
        logger.removeHandler(caplog.handler)
    assert "missing" in caplog.text
    assert "default_1" in caplog.text
    theirs.set_adapters(["default_1", "default"], [STRENGTH, -1.0])
    caplog.clear()
    recwarn.clear()
    adapters = {"default_1": _ours(first, "default_1"), "default": _ours(second, "default")}
    with attach({"unet": unet}, adapters, {"default_1": STRENGTH, "default": -1.0}):
        torch.testing.assert_close(_run(unet), _run(theirs), rtol=1e-4, atol=1e-5)
    assert caplog.text == ""
    assert not recwarn.list
