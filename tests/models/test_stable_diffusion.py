"""The model's parts against the libraries that they come from."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from loraloom.errors import UsageError
from loraloom.models.conditioning import Conditioning
from loraloom.models.sd1.stable_diffusion import StableDiffusion

PROMPTS = ("a red house", "a black cat sits beside a white boat")


def test_sizes(tiny: StableDiffusion) -> None:
    assert (tiny.resolution, tiny.resolution_step) == (16, 4)
    assert tiny.latent_shape(24, 16) == (4, 8, 12)
    for width, height in ((18, 16), (16, 2), (0, 16)):
        with pytest.raises(UsageError, match="multiples of 4"):
            tiny.latent_shape(width, height)


@pytest.mark.parametrize("clip_skip", [1, 2])
def test_text_states_are_those_of_the_layer(tiny: StableDiffusion, clip_skip: int) -> None:
    tokens: Any = tiny.tokenizer(
        list(PROMPTS), padding="max_length", max_length=77, return_tensors="pt"
    )
    encoder: Any = tiny.text_encoder
    layers = encoder(tokens["input_ids"], output_hidden_states=True).hidden_states
    norm = next(m for name, m in encoder.named_modules() if name.endswith("final_layer_norm"))
    states = tiny.encode_text(PROMPTS, clip_skip).states
    assert states.shape == (2, 77, 32)
    assert torch.equal(states, norm(layers[-clip_skip]))


def test_layers_that_are_not_there(tiny: StableDiffusion) -> None:
    for clip_skip in (0, 3):
        with pytest.raises(UsageError, match="1 to 2"):
            tiny.encode_text(PROMPTS, clip_skip)


def test_weights_scale_the_states_of_their_tokens(tiny: StableDiffusion) -> None:
    plain = tiny.encode_text(["a red house"]).states
    one = tiny.encode_weighted_text([[("a red house", 1.0)]])
    torch.testing.assert_close(one.states, plain)
    counts = [tiny.count_tokens(word) for word in ("a ", "red", " house")]
    pieces = [("a ", 1.0), ("red", 1.5), (" house", -0.5)]
    expected = torch.ones(77)
    expected[1 + counts[0] : 1 + counts[0] + counts[1]] = 1.5
    expected[1 + counts[0] + counts[1] : 1 + sum(counts)] = -0.5
    weighted = tiny.encode_weighted_text([pieces, pieces[:1]])
    torch.testing.assert_close(weighted.states[:1], plain * expected[None, :, None])
    long = tiny.encode_weighted_text([[("a " * 80, 2.0)]]).states
    cut = tiny.encode_text(["a " * 80]).states
    factors = torch.tensor([1.0] + [2.0] * 75 + [1.0])
    torch.testing.assert_close(long, cut * factors[None, :, None])


def test_the_image_encoder_is_told_by_its_weights(tiny: StableDiffusion) -> None:
    before = tiny.image_encoder_hash()
    vae: Any = tiny.vae
    weight = vae.encoder.conv_in.weight
    kept = weight[0, 0, 0, 0].item()
    weight[0, 0, 0, 0] += 1
    assert tiny.image_encoder_hash() != before
    weight[0, 0, 0, 0] = kept
    assert tiny.image_encoder_hash() == before
    decoder = vae.decoder.conv_in.weight
    kept = decoder[0, 0, 0, 0].item()
    decoder[0, 0, 0, 0] += 1
    assert tiny.image_encoder_hash() == before
    decoder[0, 0, 0, 0] = kept


def test_tokens_are_counted_without_marks(tiny: StableDiffusion) -> None:
    assert tiny.token_limit == 75
    assert tiny.count_tokens("") == 0
    assert tiny.count_tokens("a a") == 2
    assert tiny.count_tokens("a " * 100) == 100
    assert torch.equal(
        tiny.encode_text(["a " * 75]).states, tiny.encode_text(["a " * 75 + "house"]).states
    )


def test_pictures_to_latents_and_back(tiny: StableDiffusion, generator: torch.Generator) -> None:
    pixels = torch.rand(2, 3, 16, 24, generator=generator) * 2 - 1
    vae: Any = tiny.vae
    posterior = vae.encode(pixels).latent_dist
    mean, deviation = tiny.encode_image(pixels)
    scale = vae.config.scaling_factor
    assert mean.shape == (2, *tiny.latent_shape(24, 16))
    assert torch.equal(mean, posterior.mean * scale)
    assert torch.equal(deviation, posterior.std * scale)
    assert torch.equal(tiny.decode(mean), vae.decode(mean / scale).sample.clamp(-1, 1))


def test_prediction_is_the_unet_s(tiny: StableDiffusion, generator: torch.Generator) -> None:
    noisy = torch.randn(2, 4, 8, 8, generator=generator)
    conditioning = tiny.encode_text(PROMPTS)
    unet: Any = tiny.unet
    both = tiny.predict(noisy, torch.tensor([10, 900]), conditioning)
    for row, t in enumerate((10, 900)):
        one = unet(noisy[row : row + 1], t, conditioning.states[row : row + 1]).sample
        assert torch.allclose(both[row : row + 1], one, atol=1e-6)


def test_conditioning_joins_row_by_row() -> None:
    states = torch.arange(24.0).view(4, 3, 2)
    joined = Conditioning.joined([Conditioning(states[1:]), Conditioning(states[:1])])
    assert len(joined) == 4
    assert torch.equal(joined.states, states[[1, 2, 3, 0]])
