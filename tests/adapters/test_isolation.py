"""Adapters trained in one batch: none feels what happens to the others' rows."""

from __future__ import annotations

import pytest
import torch

from loraloom.adapters.attachment import attach

SPLIT = {"a": torch.tensor([1.0, 1.0, 0.0, 0.0]), "b": torch.tensor([0.0, 0.0, 1.0, 1.0])}


def _train_rows(zoo, make, pictures, rows, spoil=None):
    """Return the gradients of two adapters worn by `rows`; `spoil` fills one with NaN first."""
    adapters = {"a": make("a", 1), "b": make("b", 2)}
    with attach({"model": zoo}, adapters, rows, trainable=True) as attachment:
        for parameter in attachment.parameters(spoil) if spoil else ():
            parameter.data.fill_(torch.nan)
        output = zoo(pictures)
        output.square().sum(1).nan_to_num(0.0).sum().backward()
        gradients = {n: [p.grad for p in attachment.parameters(n)] for n in adapters}
    return output, gradients


def test_gradients_are_those_of_the_own_rows_alone(zoo, make, pictures):
    _, together = _train_rows(zoo, make, pictures, SPLIT)
    _, alone = _train_rows(zoo, make, pictures[:2], {"a": 1.0, "b": 0.0})
    assert all(gradient is None for gradient in alone["b"])
    for found, expected in zip(together["a"], alone["a"], strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "rows",
    [SPLIT, {"a": torch.tensor([1.0, 0.0, 1.0, 0.0]), "b": torch.tensor([0.0, 1.0, 0.0, 1.0])}],
    ids=["slices", "scattered"],
)
def test_what_breaks_one_adapter_does_not_reach_the_others_rows(zoo, make, pictures, rows):
    sound, expected = _train_rows(zoo, make, pictures, rows)
    output, gradients = _train_rows(zoo, make, pictures, rows, spoil="a")
    for row in range(4):
        if rows["a"][row]:
            assert output[row].isnan().all()
        else:
            assert torch.equal(output[row], sound[row])
    for found, wanted in zip(gradients["b"], expected["b"], strict=True):
        assert torch.equal(found, wanted)


def test_the_base_gets_no_gradient(zoo, make, pictures):
    zoo.requires_grad_(False)
    _train_rows(zoo, make, pictures, SPLIT)
    assert all(parameter.grad is None for parameter in zoo.parameters())
